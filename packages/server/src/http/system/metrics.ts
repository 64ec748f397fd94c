/**
 * `GET /metrics`, and who may read it: whoever is near, without credentials; from afar, who may see all accounts. Refuses
 * to know what is measured. docs/adr/0036 says why.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import type { Access } from '../../access/authentication.ts';
import { NO_STORE } from '../shared/cache-policy.ts';
import { clientName } from '../shared/rate-limits.ts';

export interface MetricsRoutes {
  readonly access: Access;
  /** All metrics, as Prometheus reads them. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Ranges of addresses that no stranger has: this machine, and the networks that are not routed to the internet. */
const NEAR = new Set(['loopback', 'private', 'linkLocal', 'uniqueLocal', 'carrierGradeNat']);

/** By one of these, a proxy says that it asks for somebody else. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

export function addMetricsRoute(app: FastifyInstance, { access, metrics }: MetricsRoutes): void {
  const config = { scope: 'public' } as const;
  app.get('/metrics', { config, schema: { hide: true } }, async (request, reply) => {
    reply.header('cache-control', NO_STORE);
    if (!isNear(request)) {
      const principal = await access.authenticate(request.headers.authorization, clientName(request.ip));
      access.requireScope(principal, 'accounts.read');
      access.requireAllAccounts(principal, 'accounts.read');
    }
    const { contentType, text } = await metrics();
    return reply.type(contentType).send(text);
  });
}

/** The other end of the connection, and nobody behind it: what a proxy says of clients is often what they said themselves. */
function isNear({ socket: { remoteAddress = '' }, headers }: FastifyRequest): boolean {
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false;
  return ipaddr.isValid(remoteAddress) && NEAR.has(ipaddr.process(remoteAddress).range());
}
