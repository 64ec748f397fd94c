/**
 * `GET /metrics`. Clients on this machine and in private networks need no credentials. Other clients need a
 * key with the scope `accounts.read` for all accounts (docs/adr/0036).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import type { Access } from '../../access/authentication.ts';
import { NO_STORE } from '../shared/cache-policy.ts';
import { clientName } from '../shared/rate-limits.ts';

export interface MetricsRoutes {
  readonly access: Access;
  /** All metrics in the text format of Prometheus. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Ranges of addresses that are not routed to the internet. */
const NEAR_RANGES = new Set(['loopback', 'private', 'linkLocal', 'uniqueLocal', 'carrierGradeNat']);

/** Headers by which a proxy says that it forwards the request of another client. */
const FORWARDING_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

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

/**
 * True if the peer itself is near and forwards no other client. Addresses in headers may come from the
 * client.
 */
function isNear({ socket: { remoteAddress = '' }, headers }: FastifyRequest): boolean {
  if (FORWARDING_HEADERS.some((name) => headers[name] !== undefined)) return false;
  return ipaddr.isValid(remoteAddress) && NEAR_RANGES.has(ipaddr.process(remoteAddress).range());
}
