/**
 * Probes for those who run the server, and `GET /ping` for those who use it.
 */
import type { FastifyInstance } from 'fastify';
import { RESPONSES, VersionHeader } from './schemas.ts';

export interface ProbeRoutes {
  /** Resolves if the named dependency can be used now. */
  readonly checks: Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>;
}

/** Milliseconds that a dependency may take to say that it is there. */
const CHECK_TIMEOUT = 2_000;

export function addProbeRoutes(app: FastifyInstance, { checks }: ProbeRoutes): void {
  const config = { scope: 'public' } as const;
  const schema = { hide: true };

  /** Alive: the process answers. Says nothing of its dependencies, whose failure a restart would not mend. */
  app.get('/livez', { config, schema }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok' }),
  );

  /** Ready: every dependency answers. */
  app.get('/readyz', { config, schema }, async (request, reply) => {
    const names = Object.keys(checks);
    const results = await Promise.allSettled(
      names.map((name) => checks[name]?.(AbortSignal.timeout(CHECK_TIMEOUT))),
    );
    const dependencies = Object.fromEntries(
      names.map((name, index) => [name, results[index]?.status === 'fulfilled' ? 'ok' : 'failed']),
    );
    for (const result of results) {
      if (result.status === 'rejected') request.log.warn({ err: result.reason }, 'a dependency is not ready');
    }
    const ready = results.every((result) => result.status === 'fulfilled');
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ok' : 'failed', dependencies });
  });

  app.get(
    '/ping',
    {
      config: { scope: 'ping.read' },
      schema: {
        operationId: 'ping',
        summary: 'Check that the credentials work',
        tags: ['Ping'],
        headers: VersionHeader,
        response: RESPONSES.ping,
      },
    },
    async () => ({}),
  );
}
