/**
 * The HTTP client of the bench. It uses bare node:http, because it shares the cores with the measured server.
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends a request and reads the whole response of any status. Throws if there is no response. */
export function request(
  method: string,
  url: string,
  headers: Readonly<Record<string, string | number>> = {},
  body: readonly Uint8Array[] = [],
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { method, agent, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
    });
    outgoing.once('error', reject);
    for (const part of body) outgoing.write(part);
    outgoing.end();
  });
}

/** Reads the body of a 200. Throws for any other status. */
export async function read(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  const answer = await request('GET', url, headers);
  if (answer.status !== 200) {
    throw new Error(`${url} answered ${answer.status}: ${answer.body.toString('utf8').slice(0, 300)}`);
  }
  return answer.body;
}

/** Sends a file as the `image` part of a form, without copying the pieces of the file. */
export function sendImage(
  method: 'POST' | 'PUT',
  url: string,
  authorization: string,
  file: readonly Uint8Array[],
): Promise<Answer> {
  const boundary = 'vitrine-bench-boundary';
  const head = Buffer.from(
    `--${boundary}\r\ncontent-disposition: form-data; name="image"; filename="original"\r\n` +
      'content-type: application/octet-stream\r\n\r\n',
  );
  const parts = [head, ...file, Buffer.from(`\r\n--${boundary}--\r\n`)];
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return request(
    method,
    url,
    {
      authorization,
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': length,
    },
    parts,
  );
}

export interface Timings {
  /** Seconds for all items together. */
  readonly seconds: number;
  /** Milliseconds for each item, in the order in which they ended. */
  readonly latencies: readonly number[];
}

/** Processes all items, `concurrency` at a time. The next item starts when one ends. */
export async function runClosedLoop<T>(
  items: readonly T[],
  concurrency: number,
  each: (item: T) => Promise<unknown>,
): Promise<Timings> {
  const latencies: number[] = [];
  let next = 0;
  const loopStart = performance.now();
  const lane = async () => {
    while (next < items.length) {
      const item = items[next++] as T;
      const start = performance.now();
      await each(item);
      latencies.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return { seconds: (performance.now() - loopStart) / 1_000, latencies };
}
