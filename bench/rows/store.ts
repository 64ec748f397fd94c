/**
 * Measures cold renditions of JPEGs of 12 and 24 megapixels, whose blobs are on S3. The node has their rungs
 * in its file cache, as a home node has after the first size of an image. The reference is a server with
 * files.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { CREDENTIALS, startS3 } from '../../packages/server/test/blobs/s3-servers.ts';
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { read, runClosedLoop } from '../http.ts';
import type { Row } from '../numbers.ts';
import { startVitrine, type Vitrine } from '../vitrine.ts';

const CONCURRENCY = 4;
/** The numbers of distinct widths and of distinct heights. The renditions per original are their product. */
const SIDES = 24;

/** One server with the originals, and a maker of links that it has never seen. */
interface Side {
  readonly server: Vitrine;
  readonly originals: number;
  nextLink(): string;
}

export const measureStore: Measure = async (bench) => {
  const { s3, skip } = await startS3();
  if (s3 === undefined) return [{ work: 'cold rendition, blobs on S3', reason: skip }];
  const sides: Side[] = [];
  const start = async (env: Readonly<Record<string, string>>) => {
    const side = await startSide(bench, pictures, env);
    sides.push(side);
    return side;
  };
  const onS3 = async () => {
    const bucket = await s3.createBucket();
    return { VITRINE_BLOBS: `s3://${bucket}/bench?endpoint=${s3.endpoint}`, ...CREDENTIALS };
  };
  const pictures = await makePictures(bench);
  try {
    const files = await start({});
    const cached = await start(await onS3());
    const uncached = await start({ ...(await onS3()), VITRINE_BLOB_CACHE_BYTES: '0' });
    for (const side of sides) await warmUp(side);
    const rungs = await countCached(cached.server);
    check(rungs === pictures.length, `the cache has ${rungs} rungs of ${pictures.length} originals`);

    const batch = bench.quick ? 8 : 48;
    const measure = (side: Side) => async () => {
      const links = Array.from({ length: batch }, () => side.nextLink());
      return batch / (await runClosedLoop(links, CONCURRENCY, (link) => read(link))).seconds;
    };
    const rates = await interleave(bench.rounds, {
      files: measure(files),
      cached: measure(cached),
      uncached: measure(uncached),
    });
    const after = await countCached(cached.server);
    check(after === rungs, `the cache has ${after} rungs after the rounds, and had ${rungs} before`);
    const work = `cold 400x400, JPEG of a JPEG, blobs on S3, ${CONCURRENCY} at a time`;
    const common = { reference: 'files', unit: '/s', compare: 'ratio' as const, theirs: rates.files };
    return [
      { ...common, work: `${work}, rungs on the node`, ours: rates.cached, target: { atLeast: 0.7 } },
      { ...common, work: `${work}, no file cache`, ours: rates.uncached },
    ] satisfies Row[];
  } finally {
    for (const { server } of sides) await server.stop();
    await s3.stop();
  }
};

/** The JPEGs of the bench, which have 24 megapixels, and each of them with 12. */
async function makePictures({ originals }: Bench): Promise<Buffer[]> {
  const large = originals.filter(({ format }) => format === 'jpeg').map(({ bytes }) => bytes);
  const medium = large.map((bytes) => sharp(bytes).resize(4_240, 2_827).jpeg({ quality: 85 }).toBuffer());
  return [...large, ...(await Promise.all(medium))];
}

async function startSide(
  bench: Bench,
  pictures: readonly Buffer[],
  env: Readonly<Record<string, string>>,
): Promise<Side> {
  const server = await startVitrine({ parent: bench.folder, env });
  const links: string[] = [];
  for (const bytes of pictures) links.push((await server.upload(bytes)).link);
  let next = 0;
  return {
    server,
    originals: links.length,
    nextLink() {
      const link = links[next % links.length] ?? '';
      const size = Math.floor(next / links.length);
      next += 1;
      check(size < SIDES * SIDES, 'more requests than distinct renditions');
      // The default of 400x400 is rendered at the upload, so no size is exactly that.
      const width = 401 + (size % SIDES);
      const height = 401 + Math.floor(size / SIDES);
      return `${link}?size=${width}x${height}&format=jpeg&quality=80`;
    },
  };
}

/** Renders each original once, which brings its rung to the node, and looks at what comes. */
async function warmUp({ originals, nextLink }: Side): Promise<void> {
  for (let index = 0; index < originals; index += 1) {
    const { format, width, height } = await sharp(await read(nextLink())).metadata();
    check(format === 'jpeg' && width === 401 && height === 401, `${format} of ${width}x${height}`);
  }
}

async function countCached({ folder }: Vitrine): Promise<number> {
  const entries = await readdir(join(folder, 'blob-cache'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}
