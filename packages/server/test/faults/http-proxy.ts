/**
 * An HTTP proxy in front of a real S3 server, which harms chosen requests. It stands for a store or a network
 * in trouble.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';

/**
 * What happens to a request:
 * - `hang`: it is read and never answered
 * - `hold`: as `hang`, but it is forwarded at `releaseHeld`
 * - `drop-answer`: it is forwarded, and the connection closes instead of the answer
 * - `trickle`: the answer comes at one byte a second, from its first byte
 * - `trickle-body`: the body of the answer comes at one byte a second
 * - `cut`: the connection closes after half of the body
 * - `flip`: one byte of the body is changed
 * - `full-500`, `slow-down`, `html-502`, `storage-full`: an error instead of the answer
 */
export type Fault =
  | 'hang'
  | 'hold'
  | 'drop-answer'
  | 'trickle'
  | 'trickle-body'
  | 'cut'
  | 'flip'
  | 'full-500'
  | 'slow-down'
  | 'html-502'
  | 'storage-full';

export interface ProxiedRequest {
  readonly method: string;
  readonly path: string;
}

export interface FaultProxy {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  /** All requests so far. */
  readonly requests: readonly ProxiedRequest[];
  /** Decides about each request; undefined: it is forwarded. */
  fault: ((request: ProxiedRequest) => Fault | undefined) | undefined;
  /** Open connections now, and the most at a time. */
  connections(): { readonly now: number; readonly most: number };
  /** Forwards the held requests. Resolves when they are answered. */
  releaseHeld(): Promise<void>;
  /** Refuses connections, and breaks the open ones. */
  refuse(): Promise<void>;
  /** Accepts connections again, on the same port. */
  accept(): Promise<void>;
  close(): Promise<void>;
}

const ERRORS: Partial<Record<Fault, readonly [status: number, code: string]>> = {
  'full-500': [500, 'InternalError'],
  'slow-down': [503, 'SlowDown'],
  'storage-full': [507, 'XMinioStorageFull'],
};

export async function startFaultProxy(target: number): Promise<FaultProxy> {
  const requests: ProxiedRequest[] = [];
  const sockets = new Set<Socket>();
  let most = 0;
  let held: (() => Promise<unknown>)[] = [];

  const server = createServer((incoming, answer) => {
    const { method = '', url: path = '' } = incoming;
    requests.push({ method, path });
    const fault = proxy.fault?.({ method, path });
    answer.on('error', () => undefined);
    void handle(incoming, answer, fault).catch(() => answer.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    most = Math.max(most, sockets.size);
    socket.once('close', () => sockets.delete(socket));
  });

  async function handle(incoming: IncomingMessage, answer: ServerResponse, fault: Fault | undefined) {
    const body = await buffer(incoming);
    if (fault === 'hang') return;
    const send = () => forward(target, incoming, body);
    if (fault === 'hold') {
      held.push(send);
      return;
    }
    const [status, code] = (fault && ERRORS[fault]) ?? [];
    if (status !== undefined) {
      answer.writeHead(status, { 'content-type': 'application/xml' });
      answer.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
      return;
    }
    if (fault === 'html-502') {
      answer.writeHead(502, { 'content-type': 'text/html' });
      answer.end('<html><body>Bad Gateway</body></html>');
      return;
    }
    const { response, content } = await send();
    if (fault === 'drop-answer') {
      answer.destroy();
      return;
    }
    if (fault === 'trickle') {
      trickle(Buffer.from('HTTP/1.1 200 OK\r\n'), (byte) => answer.socket?.write(byte) ?? false);
      return;
    }
    answer.writeHead(response.statusCode ?? 500, response.rawHeaders);
    if (fault === 'cut') {
      answer.write(content.subarray(0, content.length / 2), () => answer.destroy());
    } else if (fault === 'trickle-body') {
      answer.flushHeaders();
      trickle(content, (byte) => !answer.destroyed && answer.write(byte));
    } else if (fault === 'flip' && content.length > 0) {
      const middle = content.length >> 1;
      content[middle] = (content[middle] ?? 0) ^ 1;
      answer.end(content);
    } else answer.end(content);
  }

  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const stopListening = async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    if (server.listening) await once(server, 'close');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    fault: undefined,
    connections: () => ({ now: sockets.size, most }),
    async releaseHeld() {
      const sends = held;
      held = [];
      await Promise.all(sends.map((send) => send()));
    },
    refuse: stopListening,
    accept: () => listen(port),
    close: stopListening,
  };
  return proxy;
}

/** Sends one byte now and one each second, until `write` returns false. */
function trickle(bytes: Buffer, write: (byte: Buffer) => boolean): void {
  let at = 0;
  const next = () => {
    if (at < bytes.length && write(bytes.subarray(at, ++at))) setTimeout(next, 1_000).unref();
  };
  next();
}

function forward(
  port: number,
  { method = '', url = '', rawHeaders }: IncomingMessage,
  body: Buffer,
): Promise<{ response: IncomingMessage; content: Buffer }> {
  return new Promise((resolve, reject) => {
    // The signature covers the headers, so they stay as they are.
    const options = { host: '127.0.0.1', port, method, path: url, headers: headersFrom(rawHeaders) };
    const outgoing = request(options, (response) => {
      buffer(response).then((content) => resolve({ response, content }), reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function headersFrom(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) headers[raw[at] ?? ''] = raw[at + 1] ?? '';
  return headers;
}
