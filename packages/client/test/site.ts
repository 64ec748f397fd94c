/**
 * A web site for browser tests, over HTTP/1.1 or HTTP/2. It serves an empty page and the client's sources as
 * modules, and forwards all other requests to a real server.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { promisify } from 'node:util';

const SOURCES = join(import.meta.dirname, '../src');

export interface Site {
  /** The URL of the page, without a trailing slash. */
  readonly url: string;
  /** The requests that were forwarded to the server, as `POST /path`. */
  readonly requests: string[];
  close(): Promise<void>;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** @returns undefined for HTTP/2 without OpenSSL, which makes the certificate. */
export async function startSite(serverURL: string, protocol: 'http1' | 'http2'): Promise<Site | undefined> {
  const requests: string[] = [];
  const answer = (request: Request, response: Response): void => {
    const path = request.url ?? '/';
    if (path === '/') {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>A shop</title>');
    } else if (path.startsWith('/client/')) {
      readFile(join(SOURCES, path.slice('/client/'.length)), 'utf8').then(
        (source) => {
          response.setHeader('content-type', 'text/javascript');
          response.end(stripTypeScriptTypes(source));
        },
        () => {
          response.statusCode = 404;
          response.end();
        },
      );
    } else {
      requests.push(`${request.method} ${path}`);
      forward(serverURL, request, response);
    }
  };
  const server = protocol === 'http1' ? createServer(answer) : await createTLS(answer);
  if (server === undefined) return undefined;
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${protocol === 'http1' ? 'http' : 'https'}://localhost:${port}`,
    requests,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

function forward(serverURL: string, request: Request, response: Response): void {
  const { method, url, headers } = request;
  const forwarded = Object.entries(headers).filter(
    ([name]) => !name.startsWith(':') && name !== 'connection',
  );
  const { host } = new URL(serverURL);
  const outgoing = send(new URL(url ?? '/', serverURL), {
    ...(method !== undefined && { method }),
    headers: { ...Object.fromEntries(forwarded), host },
    agent: false,
  });
  const connectionHeaders = ['connection', 'keep-alive', 'transfer-encoding'];
  outgoing.once('response', (incoming) => {
    // The page may have aborted the request.
    if (response.destroyed) return void incoming.destroy();
    response.statusCode = incoming.statusCode ?? 500;
    for (const [name, value] of Object.entries(incoming.headers))
      if (value !== undefined && !connectionHeaders.includes(name)) response.setHeader(name, value);
    pipeline(incoming, response as ServerResponse, () => undefined);
  });
  if (request.destroyed) outgoing.destroy();
  else pipeline(request as IncomingMessage, outgoing, () => undefined);
}

async function createTLS(
  answer: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Promise<Server | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-site-'));
  try {
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const args = [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', certificate],
    ];
    await promisify(execFile)('openssl', args);
    return createSecureServer({ key: await readFile(key), cert: await readFile(certificate) }, answer);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT' && process.env.CI !== 'true') return undefined;
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
