/**
 * Logs and measures every request that reaches the router, from its headers to the last byte of its answer.
 * Failures are reported by problems.ts.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ObservedRequest, Telemetry } from '../../telemetry/telemetry.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The metrics and the trace of this request. */
    observation: ObservedRequest | undefined;
  }
}

/**
 * The pattern of a path without a route. The path itself comes from the client, and metrics must not grow
 * with it.
 */
const NO_ROUTE = 'none';
/** "Client closed request": the answer was not sent completely. */
const CLIENT_CLOSED_REQUEST = 499;

/** Call before all other hooks are added, so that their work and their refusals are logged as well. */
export function addRequestLog(app: FastifyInstance, telemetry: Telemetry): void {
  app.decorateRequest('observation', undefined);
  app.addHook('onRequest', (request, reply, done) => {
    const { method, id: requestID, headers } = request;
    const route = request.routeOptions.url ?? NO_ROUTE;
    const observation = telemetry.request({ method, route, requestID, headers });
    request.observation = observation;
    // 'close' is emitted once for every answer. The framework's hook does not run when the client has left.
    reply.raw.once('close', () => {
      const isSent = reply.raw.writableFinished;
      const status = isSent ? reply.raw.statusCode : CLIENT_CLOSED_REQUEST;
      observation.ended({ method, route, status });
      log(request, reply, status, isSent ? 'answered' : 'client went away');
    });
    observation.within(done);
  });
}

function log(request: FastifyRequest, reply: FastifyReply, status: number, message: string): void {
  const { method, url, ip, observation } = request;
  const path = url.split('?', 1)[0];
  const ms = Math.round(reply.elapsedTime);
  const { traceID } = observation ?? {};
  request.log.info({ method, path, status, ms, ip, ...(traceID !== undefined && { traceID }) }, message);
}
