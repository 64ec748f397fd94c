/**
 * A real HTTP server with scripted replies. Each request gets the next reply; the last reply repeats.
 */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * A reply: a status with JSON or text after the whole request arrived, or a function that handles the
 * request.
 */
export type Reply =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: unknown }
  | ((request: IncomingMessage, response: ServerResponse) => unknown);

export interface FaultyServer {
  readonly url: string;
  readonly received: Received[];
  /** Replaces the replies and clears `received`. */
  answer(...replies: Reply[]): void;
  close(): Promise<void>;
}

export const IMAGE = {
  imageID: '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
  publicID: 'abcdefghijklmnopqrstu',
  link: 'http://127.0.0.1/images/abcdefghijklmnopqrstu',
  createdOn: '2026-11-24T08:00:00.000Z',
  updatedOn: '2026-11-24T08:00:01.000Z',
};

export async function startFaulty(): Promise<FaultyServer> {
  let replies: Reply[] = [];
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const reply = (replies.length > 1 ? replies.shift() : replies[0]) ?? { status: 500 };
    const { method = '', url = '', headers } = request;
    if (typeof reply === 'function') {
      received.push({ method, url, headers, body: Buffer.alloc(0) });
      return void reply(request, response);
    }
    // An incomplete request is not recorded and gets no reply.
    readBody(request).then(
      (body) => {
        received.push({ method, url, headers, body });
        const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? {});
        response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
        response.end(reply.status === 204 ? undefined : text);
      },
      () => undefined,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    answer(...newReplies) {
      replies = newReplies;
      received.length = 0;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
