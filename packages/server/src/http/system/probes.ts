/**
 * The probes `/livez` and `/readyz` for operators, and `GET /ping` for clients.
 */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Readiness } from '../../telemetry/readiness.ts';
import { NO_STORE } from '../shared/cache-policy.ts';
import { COMMON_RESPONSES, describeResponse, VersionHeader } from '../shared/schemas.ts';

export interface ProbeRoutes {
  readonly readiness: Readiness;
}

export function addProbeRoutes(app: FastifyInstance, { readiness }: ProbeRoutes): void {
  const config = { scope: 'public' } as const;
  const schema = { hide: true };

  /** Alive: the process answers. It does not check dependencies, because a restart would not repair them. */
  app.get('/livez', { config, schema }, async (_request, reply) =>
    reply.header('cache-control', NO_STORE).send({ status: 'ok' }),
  );

  /** Ready: every dependency works. The answer names the failed ones; the log has the reasons. */
  app.get('/readyz', { config, schema }, async (_request, reply) => {
    const report = await readiness.report();
    return reply
      .code(report.status === 'ok' ? 200 : 503)
      .header('cache-control', NO_STORE)
      .send(report);
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
        response: { 200: describeResponse('The credentials work.', Type.Object({})), ...COMMON_RESPONSES },
      },
    },
    async () => ({}),
  );
}
