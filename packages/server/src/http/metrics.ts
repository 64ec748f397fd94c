/**
 * `GET /metrics`, and who may read it: whoever is near, without credentials; from afar, who may see all accounts. Refuses
 * to know what is measured. docs/adr/0036 says why.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import type { Access } from '../access.ts';
import { clientName } from './rates.ts';

export interface MetricsRoutes {
  readonly access: Access;
  /** All metrics, as Prometheus reads them. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly trustProxy: boolean | number | readonly string[];
}

/** Ranges of addresses that no stranger has: this machine, and the networks that are not routed to the internet. */
const NEAR = new Set(['loopback', 'private', 'linkLocal', 'uniqueLocal', 'carrierGradeNat']);

/** By one of these, something that is not trusted says that it asks for somebody else. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

export function addMetricsRoute(app: FastifyInstance, { access, metrics, trustProxy }: MetricsRoutes): void {
  const config = { scope: 'public' } as const;
  app.get('/metrics', { config, schema: { hide: true } }, async (request, reply) => {
    reply.header('cache-control', 'no-store');
    if (!isNear(request, trustProxy !== false)) {
      const principal = await access.authenticate(request.headers.authorization, clientName(request.ip));
      access.requireScope(principal, 'accounts.read');
      access.requireAllAccounts(principal, 'accounts.read');
    }
    const { contentType, text } = await metrics();
    return reply.type(contentType).send(text);
  });
}

/** @param trusted the address is the client's own, as a trusted proxy tells it. */
function isNear({ ip, headers }: FastifyRequest, trusted: boolean): boolean {
  if (!trusted && FORWARDED.some((name) => headers[name] !== undefined)) return false;
  return ipaddr.isValid(ip) && NEAR.has(ipaddr.process(ip).range());
}
