/**
 * Measures warm renditions and 304s over 32 persistent connections. The server and nginx send the same bytes
 * and headers.
 */
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { type Answer, request } from '../http.ts';
import { hasWrk, runLoad } from '../load.ts';
import type { Row } from '../numbers.ts';
import { type Nginx, startNginx } from '../peers/nginx.ts';
import { startVitrine } from '../vitrine.ts';

/** The bytes of a typical 400x400 photograph. */
const LENGTH = 24_000;
const CONNECTIONS = 32;
/** The Accept header of the official clients. */
const ACCEPT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';

export const measureWarm: Measure = async (bench) => {
  if (!(await hasWrk()))
    return [{ work: 'warm rendition, 304', reason: 'wrk is not installed (apt-get install wrk)' }];
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const vitrine = await startVitrine({ parent: bench.folder });
  let nginx: Nginx | undefined;
  try {
    const { link } = await vitrine.upload(original.bytes);
    const url = await findURL(link);
    const response = await request('GET', url, { accept: ACCEPT });
    const peer = await startNginx(bench.folder, response.body, response.headers);
    if (typeof peer === 'string') return [{ work: 'warm rendition, 304', reason: peer }];
    nginx = peer;
    await checkEqual(url, nginx.link);
    bench.log(`warm: ${response.body.length} bytes`);
    const rows = [
      await measurePair(bench, 'warm rendition', response.body.length, { url, link: nginx.link }, {}, 0.8),
      await measurePair(
        bench,
        '304',
        0,
        { url, link: nginx.link },
        { ours: await readETag(url), theirs: await readETag(nginx.link) },
        0.6,
      ),
    ];
    await checkEqual(url, nginx.link);
    return rows;
  } finally {
    await nginx?.stop();
    await vitrine.stop();
  }
};

async function measurePair(
  bench: Bench,
  work: string,
  bodyLength: number,
  { url, link }: { url: string; link: string },
  etags: { ours?: string; theirs?: string },
  atLeast: number,
): Promise<Row> {
  const measureRate = async (target: string, etag: string | undefined) => {
    const { rate, bytes } = await runLoad(bench.folder, target, {
      connections: CONNECTIONS,
      seconds: bench.quick ? 1 : 3,
      headers: { Accept: ACCEPT, ...(etag !== undefined && { 'If-None-Match': etag }) },
    });
    // For wrk, 200 and 304 are both a success. A 304 has only headers.
    check(
      bodyLength === 0 ? bytes < 2_000 : bytes > bodyLength,
      `${target} sent ${bytes} bytes per response`,
    );
    return rate;
  };
  const { ours, theirs } = await interleave(bench.rounds, {
    ours: () => measureRate(url, etags.ours),
    theirs: () => measureRate(link, etags.theirs),
  });
  const size = bodyLength === 0 ? '' : ` of ${Math.round(bodyLength / 1_000)} kB`;
  return {
    work: `${work}${size}, ${CONNECTIONS} connections`,
    reference: 'nginx',
    unit: '/s',
    compare: 'ratio',
    ours,
    theirs,
    target: { atLeast },
  };
}

/** Finds the URL of the 400x400 JPEG whose size is closest to `LENGTH`. */
async function findURL(link: string): Promise<string> {
  let best = { url: '', distance: Number.POSITIVE_INFINITY };
  for (let quality = 30; quality <= 98; quality += 4) {
    const url = `${link}?size=400x400&quality=${quality}`;
    const { body } = await request('GET', url, { accept: ACCEPT });
    const distance = Math.abs(body.length - LENGTH);
    if (distance < best.distance) best = { url, distance };
  }
  return best.url;
}

/** Checks that both servers send the same bytes and header names, and a 304 for their own ETag. */
async function checkEqual(url: string, link: string): Promise<void> {
  const [ours, theirs] = [
    await request('GET', url, { accept: ACCEPT }),
    await request('GET', link, { accept: ACCEPT }),
  ];
  check(ours.status === 200 && theirs.status === 200, `statuses ${ours.status} and ${theirs.status}`);
  check(ours.body.equals(theirs.body), 'nginx serves other bytes');
  check(ours.headers['content-type'] === 'image/jpeg', `type ${ours.headers['content-type']}`);
  for (const name of listHeaders(ours))
    check(listHeaders(theirs).includes(name), `nginx does not send ${name}`);
  for (const target of [url, link]) {
    const { status, body } = await request('GET', target, {
      accept: ACCEPT,
      'if-none-match': await readETag(target),
    });
    check(status === 304 && body.length === 0, `${target} answered ${status} to its own ETag`);
  }
}

/** The names of the response headers, without connection headers. */
function listHeaders({ headers }: Answer): string[] {
  return Object.keys(headers).filter((name) => name !== 'keep-alive');
}

async function readETag(url: string): Promise<string> {
  const { headers } = await request('GET', url, { accept: ACCEPT });
  check(headers.etag !== undefined, `${url} has no ETag`);
  return headers.etag;
}
