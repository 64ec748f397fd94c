/**
 * Tells the log and the telemetry of every request that comes as far as the router, from its headers to the last byte of
 * its answer. Refuses to know what is told to whom, and what failed (problems.ts).
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ObservedRequest, Telemetry } from '../../telemetry/telemetry.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What is told of this request. */
    observed: ObservedRequest | undefined;
  }
}

/** What stands for the pattern where no route is at the path: paths themselves are the client's, and without end. */
const NO_ROUTE = 'none';
/** "Client closed request": what never had an answer that somebody read. */
const GONE = 499;

/** Before all other hooks, so that what they do and refuse is told as well. */
export function addObserving(app: FastifyInstance, telemetry: Telemetry): void {
  app.decorateRequest('observed', undefined);
  app.addHook('onRequest', (request, reply, done) => {
    const { method, id: requestID, headers } = request;
    const route = request.routeOptions.url ?? NO_ROUTE;
    const observed = telemetry.request({ method, route, requestID, headers });
    request.observed = observed;
    // Comes once, however the answer ends; the framework's own hook does not come where the client went away.
    reply.raw.once('close', () => {
      const sent = reply.raw.writableFinished;
      const status = sent ? reply.raw.statusCode : GONE;
      observed.ended({ method, route, status });
      log(request, reply, status, sent ? 'answered' : 'client went away');
    });
    observed.within(done);
  });
}

function log(request: FastifyRequest, reply: FastifyReply, status: number, message: string): void {
  const { method, url, ip, observed } = request;
  const path = url.split('?', 1)[0];
  const ms = Math.round(reply.elapsedTime);
  const { traceID } = observed ?? {};
  request.log.info({ method, path, status, ms, ip, ...(traceID !== undefined && { traceID }) }, message);
}
