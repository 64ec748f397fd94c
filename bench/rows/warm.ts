/**
 * Warm renditions and 304s: the same bytes with the same headers from the server and from nginx, over 32 connections
 * that stay open.
 */
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { type Answer, request } from '../http.ts';
import { hasWrk, load } from '../load.ts';
import type { Row } from '../numbers.ts';
import { type Nginx, startNginx } from '../peers/nginx.ts';
import { startVitrine } from '../vitrine.ts';

/** Bytes: about what a 400x400 photograph has. */
const LENGTH = 24_000;
const CONNECTIONS = 32;
/** What the official clients send. */
const ACCEPT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';

export const measureWarm: Measure = async (bench) => {
  if (!(await hasWrk()))
    return [{ work: 'warm rendition, 304', why: 'wrk is not installed (apt-get install wrk)' }];
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const vitrine = await startVitrine({ parent: bench.folder });
  let nginx: Nginx | undefined;
  try {
    const { link } = await vitrine.upload(original.bytes);
    const url = await urlOfLength(link);
    const answer = await request('GET', url, { accept: ACCEPT });
    const started = await startNginx(bench.folder, answer.body, answer.headers);
    if (typeof started === 'string') return [{ work: 'warm rendition, 304', why: started }];
    nginx = started;
    await checkTwins(url, nginx.link);
    bench.say(`warm: ${answer.body.length} bytes`);
    const rows = [
      await measurePair(bench, 'warm rendition', answer.body.length, { url, link: nginx.link }, {}, 0.8),
      await measurePair(
        bench,
        '304',
        0,
        { url, link: nginx.link },
        { ours: await etagOf(url), theirs: await etagOf(nginx.link) },
        0.6,
      ),
    ];
    await checkTwins(url, nginx.link);
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
  const once = async (target: string, etag: string | undefined) => {
    const { rate, bytes } = await load(bench.folder, target, {
      connections: CONNECTIONS,
      seconds: bench.quick ? 1 : 3,
      headers: { Accept: ACCEPT, ...(etag !== undefined && { 'If-None-Match': etag }) },
    });
    // A 304 is the headers alone; wrk takes either for a success.
    check(bodyLength === 0 ? bytes < 2_000 : bytes > bodyLength, `${target} sent ${bytes} bytes an answer`);
    return rate;
  };
  const { ours, theirs } = await interleave(bench.rounds, {
    ours: () => once(url, etags.ours),
    theirs: () => once(link, etags.theirs),
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

/** The 400x400 JPEG whose quality brings it nearest to the length. */
async function urlOfLength(link: string): Promise<string> {
  let best = { url: '', distance: Number.POSITIVE_INFINITY };
  for (let quality = 30; quality <= 98; quality += 4) {
    const url = `${link}?size=400x400&quality=${quality}`;
    const { body } = await request('GET', url, { accept: ACCEPT });
    const distance = Math.abs(body.length - LENGTH);
    if (distance < best.distance) best = { url, distance };
  }
  return best.url;
}

/** The same bytes, the same headers by name; and 304 for the own ETag. */
async function checkTwins(url: string, link: string): Promise<void> {
  const [ours, theirs] = [
    await request('GET', url, { accept: ACCEPT }),
    await request('GET', link, { accept: ACCEPT }),
  ];
  check(ours.status === 200 && theirs.status === 200, `statuses ${ours.status} and ${theirs.status}`);
  check(ours.body.equals(theirs.body), 'nginx serves other bytes');
  check(ours.headers['content-type'] === 'image/jpeg', `type ${ours.headers['content-type']}`);
  for (const name of namesOf(ours)) check(namesOf(theirs).includes(name), `nginx does not send ${name}`);
  for (const target of [url, link]) {
    const { status, body } = await request('GET', target, {
      accept: ACCEPT,
      'if-none-match': await etagOf(target),
    });
    check(status === 304 && body.length === 0, `${target} answered ${status} to its own ETag`);
  }
}

/** The names of the headers that are the server's choice. */
function namesOf({ headers }: Answer): string[] {
  return Object.keys(headers).filter((name) => name !== 'keep-alive');
}

async function etagOf(url: string): Promise<string> {
  const { headers } = await request('GET', url, { accept: ACCEPT });
  check(headers.etag !== undefined, `${url} has no ETag`);
  return headers.etag;
}
