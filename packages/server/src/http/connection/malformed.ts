/**
 * Owns the answers to what never becomes a request of a route: what is not HTTP, too slow, or asks for what no route can
 * give. They look like all others: JSON `{error}` with a request ID. Refuses to know any route.
 */
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { claimBody, linger } from '../shared/body.ts';
import { NO_STORE } from '../shared/cache-policy.ts';

/** Bytes of headers. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Answers what the parser refused, or gave up waiting for. There is no request to hang an answer on. */
export function refuseMalformed(error: Error & { code?: string; rawPacket?: unknown }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, text] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request came too slowly']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', `the headers are larger than ${MAX_HEADER_BYTES} bytes`]
        : ['400 Bad Request', 'the request is not well-formed HTTP'];
  // All that is known of the method: the answer to a HEAD has no body, whatever it is answered with.
  const { rawPacket } = error;
  const head = Buffer.isBuffer(rawPacket) && rawPacket.toString('latin1', 0, 5) === 'HEAD ';
  lastWords(socket, status, text, { head });
}

/** Answers a connection that cannot be had, before anything is asked on it. `retryAfter`: seconds. */
export function refuseConnection(socket: Socket, status: 429 | 503, text: string, retryAfter: number): void {
  const line = `${status} ${STATUS_CODES[status]}`;
  lastWords(socket, line, text, { headers: `Retry-After: ${retryAfter}\r\n` });
}

function lastWords(
  socket: Socket,
  status: string,
  error: string,
  { headers = '', head = false }: { headers?: string; head?: boolean },
): void {
  const body = JSON.stringify({ error });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `${headers}Cache-Control: ${NO_STORE}\r\nX-Request-Id: ${randomUUID()}\r\nConnection: close\r\n\r\n${head ? '' : body}`,
  );
}

/** True if the request names no host, as HTTP/1.1 has to (RFC 9112, section 3.2), and was answered. */
export function refuseWithoutHost(
  request: IncomingMessage,
  response: ServerResponse,
  requestID: (request: IncomingMessage) => string,
): boolean {
  if (request.headers.host !== undefined || request.httpVersion !== '1.1') return false;
  answer(request, response, requestID(request), 400, 'the request has no Host header');
  return true;
}

/** Answers a request with an `Expect` other than `100-continue`: nothing else can be expected. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse, id: string): void {
  answer(request, response, id, 417, 'Expect must be 100-continue, or absent');
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  status: number,
  error: string,
): void {
  const body = JSON.stringify({ error });
  response.once('finish', () => linger(request));
  claimBody(request);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': NO_STORE,
    'x-content-type-options': 'nosniff',
    'x-request-id': id,
  });
  response.end(body);
}
