/**
 * Answers to messages that never reach a route: not HTTP, too slow, or with a header that no route accepts.
 * They look like all other errors: JSON `{error}` with a request ID.
 */
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { claimBody, linger } from '../shared/body.ts';
import { NO_STORE } from '../shared/cache-policy.ts';

/** The most bytes of headers in one request. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Answers a message that the parser rejected or that timed out. It has no request object. */
export function refuseMalformed(error: Error & { code?: string; rawPacket?: unknown }, socket: Socket): void {
  // A client that opened a connection and asked nothing would take an answer for one to its next request.
  const isSilent = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
  if (error.code === 'ECONNRESET' || !socket.writable || isSilent) {
    socket.destroy();
    return;
  }
  const [status, text] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request came too slowly']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', `the headers are larger than ${MAX_HEADER_BYTES} bytes`]
        : ['400 Bad Request', 'the request is not well-formed HTTP'];
  // An answer to a HEAD has no body. The raw bytes are the only source of the method here.
  const { rawPacket } = error;
  const isHead = Buffer.isBuffer(rawPacket) && rawPacket.toString('latin1', 0, 5) === 'HEAD ';
  writeAndClose(socket, status, text, { isHead });
}

/** Answers a rejected connection and closes it. `retryAfter`: seconds. */
export function refuseConnection(socket: Socket, status: 429 | 503, text: string, retryAfter: number): void {
  const line = `${status} ${STATUS_CODES[status]}`;
  writeAndClose(socket, line, text, { headers: `Retry-After: ${retryAfter}\r\n` });
}

/** `status`: with its reason phrase. `headers`: complete lines. */
function writeAndClose(
  socket: Socket,
  status: string,
  error: string,
  { headers = '', isHead = false }: { headers?: string; isHead?: boolean },
): void {
  const body = JSON.stringify({ error });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `${headers}Cache-Control: ${NO_STORE}\r\nX-Request-Id: ${randomUUID()}\r\nConnection: close\r\n\r\n${isHead ? '' : body}`,
  );
}

/**
 * Answers a request without a Host header, which HTTP/1.1 requires (RFC 9112, section 3.2). True if it did.
 */
export function refuseWithoutHost(
  request: IncomingMessage,
  response: ServerResponse,
  requestID: (request: IncomingMessage) => string,
): boolean {
  if (request.headers.host !== undefined || request.httpVersion !== '1.1') return false;
  sendError(request, response, requestID(request), 400, 'the request has no Host header');
  return true;
}

/** Answers a request whose `Expect` is not `100-continue`. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse, id: string): void {
  sendError(request, response, id, 417, 'Expect must be 100-continue, or absent');
}

function sendError(
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
