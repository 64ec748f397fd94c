/**
 * The probes `/livez` and `/readyz` for operators, and `GET /ping` for clients.
 */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { PURPOSES, type Readiness } from '../../telemetry/readiness.ts';
import { NO_STORE } from '../shared/cache-policy.ts';
import { COMMON_RESPONSES, describeResponse, VersionHeader } from '../shared/schemas.ts';

const ReadinessQuery = Type.Object({ for: Type.Optional(Type.Enum(PURPOSES)) });

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

  /**
   * Ready: every dependency works. `for` asks only for those that reads or writes need. The answer names the
   * failed ones; the log has the reasons.
   */
  app.get(
    '/readyz',
    { config, schema: { ...schema, querystring: ReadinessQuery } },
    async (request, reply) => {
      const report = await readiness.report((request.query as Static<typeof ReadinessQuery>).for);
      return reply
        .code(report.status === 'ok' ? 200 : 503)
        .header('cache-control', NO_STORE)
        .send(report);
    },
  );

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
