/**
 * Requests as clients of a proxy send them: with any headers or none, with curl, and with pictures at the
 * limit.
 */
import { execFile } from 'node:child_process';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { promisify } from 'node:util';
import { createRandom, flat, pngChunk, withPngChunks } from '../../support/pictures.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends a request with exactly these headers. fetch would add an Accept header. */
export function send(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Uploads a file with curl. @returns the status and the body of the answer */
export async function curlUpload(
  url: string,
  path: string,
  authorization: string,
  more: readonly string[] = [],
): Promise<{ status: number; body: string }> {
  const parameters = ['-sS', '-H', `Authorization: ${authorization}`, '-F', `image=@${path}`, ...more];
  const { stdout } = await promisify(execFile)('curl', [...parameters, '-w', '\n%{http_code}', url]);
  const [, body = '', status] = /^([\s\S]*)\n(\d{3})$/.exec(stdout) ?? [];
  return { status: Number(status), body };
}

/** A valid PNG with this number of bytes. Most of them are in a chunk that decoders ignore. */
export async function pngOfSize(size: number): Promise<Buffer> {
  const png = await flat(32, 32, size % 2 === 0 ? 'teal' : 'navy')
    .png()
    .toBuffer();
  return withPngChunks(png, pngChunk('viTr', Buffer.alloc(size - png.length - 12, 'v')));
}

/** Headers of well-known clients. The first two name WebP and AVIF. */
export const CLIENT_HEADERS: readonly (string | undefined)[] = [
  'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
  'image/webp,image/apng,image/*,*/*;q=0.8',
  'image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5',
  'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0',
  'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2',
  'image/webp;q=0, */*',
  'image/avif, */*;q=0.1',
  '*/*',
  'text/html',
  undefined,
];

const TYPES = [
  ...['image/webp', 'image/avif', 'image/jpeg', 'image/jpg', 'image/png', 'IMAGE/WEBP', 'Image/Avif'],
  ...['image/*', '*/*', '*', 'text/html', 'image/svg+xml', 'image/webpx', 'ximage/webp', ''],
];
const WEIGHTS = [
  ...[
    '',
    '',
    '',
    ';q=1',
    ';q=1.000',
    '; q = 1.',
    ';q=0',
    ';q=0.0',
    ';q=0.8',
    '; Q=0.5',
    ';q = .3',
    ';q=0.85',
  ],
  ...[';q=abc', ';q=2', ';level=1', ';q=1;q=0', ';q=0;q=1', ';q=10', ';q=1.5', ';'],
];

/** Headers with any mixture of types, weights and faults. The same seed gives the same headers. */
export function randomHeaders(count: number, seed: number): string[] {
  const random = createRandom(seed);
  const pick = (values: readonly string[]) => values[Math.floor(random() * values.length)] ?? '';
  return Array.from({ length: count }, () => {
    const ranges = Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(TYPES) + pick(WEIGHTS));
    return ranges.join(pick([',', ', ', ' ,\t'])).trim();
  });
}
