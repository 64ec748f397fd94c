/**
 * A server process for hostile pictures. Requests use plain `node:http`, which never retries or redirects.
 */
import { Agent, request } from 'node:http';
import { ACCOUNT, AUTHORIZATION } from '../../support/client.ts';
import { type ServerProcess, startServerProcess, type WorkerLimits } from '../../support/server-process.ts';

const BOUNDARY = 'vitrine-7d1c5a0f4e';
const FORM_HEAD = Buffer.from(
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="picture.png"\r\ncontent-type: image/png\r\n\r\n`,
);
const FORM_TAIL = Buffer.from(`\r\n--${BOUNDARY}--\r\n`);

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export interface HostileServer extends Omit<ServerProcess, 'upload'> {
  /** Sends a request over a kept connection, without redirect and retry. */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** Uploads any bytes under the name and type of a PNG. */
  upload(bytes: Uint8Array): Promise<Answer>;
}

/** Starts a server with two workers whose memory is sampled. */
export async function startProcess(
  env: Readonly<Record<string, string>> = {},
  workerLimits?: WorkerLimits,
): Promise<HostileServer> {
  const server = await startServerProcess({
    env,
    samplesMemory: true,
    ...(workerLimits && { workerLimits }),
  });
  const agent = new Agent({ keepAlive: true });
  const hostile: HostileServer = {
    ...server,
    request: (method, path, options = {}) => send(agent, new URL(path, server.url), method, options),
    upload: (bytes) =>
      hostile.request('POST', `/accounts/${ACCOUNT}/images`, {
        headers: {
          authorization: AUTHORIZATION,
          'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
        },
        body: Buffer.concat([FORM_HEAD, bytes, FORM_TAIL]),
      }),
    async close() {
      agent.destroy();
      await server.close();
    },
  };
  return hostile;
}

function send(agent: Agent, url: URL, method: string, { headers, body }: RequestOptions): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const outgoing = request(
    url,
    { method, agent, headers: { ...headers, ...(body && { 'content-length': body.length }) } },
    (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: Buffer.concat(parts) });
      });
    },
  );
  outgoing.once('error', reject);
  outgoing.end(body);
  return promise;
}
