/**
 * Owns the bench's own HTTP client, on bare node:http so that it costs little of the cores it shares with what it
 * measures. Refuses to know what is measured.
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends a request and reads the whole answer, whatever its status. Throws if there is none. */
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

/** The body of a 200. Throws for anything else. */
export async function read(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  const answer = await request('GET', url, headers);
  if (answer.status !== 200) {
    throw new Error(`${url} answered ${answer.status}: ${answer.body.toString('utf8').slice(0, 300)}`);
  }
  return answer.body;
}

/** Sends a file as the `image` part of a form, from pieces that are not copied. */
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
  /** Seconds for everything. */
  readonly seconds: number;
  /** Milliseconds for each, in the order they ended. */
  readonly latencies: readonly number[];
}

/** Does all of the work, `concurrency` pieces of it at a time, each as soon as one before it is done. */
export async function closedLoop<T>(
  work: readonly T[],
  concurrency: number,
  each: (piece: T) => Promise<unknown>,
): Promise<Timings> {
  const latencies: number[] = [];
  let next = 0;
  const begun = performance.now();
  const lane = async () => {
    while (next < work.length) {
      const piece = work[next++] as T;
      const start = performance.now();
      await each(piece);
      latencies.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return { seconds: (performance.now() - begun) / 1_000, latencies };
}
