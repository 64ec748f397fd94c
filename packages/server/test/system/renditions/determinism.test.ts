/**
 * The bytes of a rendition depend only on the original and the plan. Random plans are rendered from the
 * stored rung. After a restart of the workers, they are rendered from the original.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { type FocalPoint, OUTPUT_FORMATS, type OutputFormat } from '../../../src/image.ts';
import { rungFor } from '../../../src/imaging/ladder.ts';
import {
  FITS,
  type PlanSource,
  POSITIONS,
  planKey,
  planRendition,
  type Transform,
} from '../../../src/imaging/plan.ts';
import { createPool, type Pool } from '../../../src/imaging/pool/pool.ts';
import * as pictures from '../../support/pictures.ts';
import { startServer, type TestServer } from '../../support/server.ts';

const PLANS = 2_000;
/** Every failure can be repeated with its seed. */
const SEED = 20_261_130;

/** Originals of every kind of pixels, with rungs and without. */
async function originals(): Promise<Record<string, Buffer>> {
  const large = (seed: number) => pictures.photo({ width: 2_600, height: 1_400, seed });
  const medium = (seed: number) => pictures.photo({ width: 1_300, height: 1_700, seed });
  const small = (seed: number) => pictures.photo({ width: 640, height: 480, seed });
  const drawing = (width: number, height: number) =>
    sharp(
      Buffer.from(
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 100 60">
          <rect width="100" height="60" fill="#fff"/><circle cx="30" cy="30" r="20" fill="#d11"/>
          <path d="M50 10 L95 50 L60 55 Z" fill="#036" stroke="#fc0" stroke-width="2"/></svg>`,
      ),
    );
  return {
    jpeg: await large(1).jpeg().toBuffer(),
    turned: await medium(2).withMetadata({ orientation: 6, density: 300 }).jpeg().toBuffer(),
    small: await small(3).withMetadata({ density: 144 }).png().toBuffer(),
    transparent: await medium(4).ensureAlpha(0.5).png({ compressionLevel: 1 }).toBuffer(),
    drawing: await drawing(2_000, 1_200).png({ palette: true }).toBuffer(),
    logo: await drawing(300, 180).png().toBuffer(),
    webp: await large(5).webp({ effort: 0 }).toBuffer(),
    animation: (await pictures.animation(4, 200, 120)).bytes,
    inks: await medium(6).toColourspace('cmyk').jpeg().toBuffer(),
    deep: await medium(7).toColourspace('rgb16').png({ compressionLevel: 1 }).toBuffer(),
    wide: await medium(8).withIccProfile('p3').jpeg().toBuffer(),
    grey: await small(9).greyscale().jpeg().toBuffer(),
  };
}

/** Small sizes are as frequent as large ones, because most requests are for small ones. */
const side = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  {
    weight: 6,
    arbitrary: fc.double({ min: 0, max: 11, noNaN: true }).map((power) => Math.round(2 ** power)),
  },
);

const requests = fc.record({
  original: fc.nat(),
  transform: fc.record({
    width: side,
    height: side,
    fit: fc.constantFrom(...FITS),
    position: fc.constantFrom(...POSITIONS),
    dpr: fc.constantFrom(1, 1, 1.5, 2),
  }),
  quality: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
  // AVIF takes ten times as long as the others.
  format: fc.constantFrom<OutputFormat>(
    ...Array(3)
      .fill(OUTPUT_FORMATS.filter((f) => f !== 'avif'))
      .flat(),
    'avif',
  ),
  focalPoint: fc.option(
    fc.record({
      x: fc.double({ min: 0, max: 1, noNaN: true }),
      y: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    { nil: undefined },
  ),
});

interface Stored {
  readonly name: string;
  readonly path: string;
  readonly source: PlanSource;
  readonly rungs: ReadonlyMap<string, string>;
}

describe('the bytes of a rendition', { timeout: 1_200_000 }, () => {
  let folder: string;
  let pool: Pool;
  const stored: Stored[] = [];
  const start = () =>
    createPool({ size: 2, deadlineMs: 120_000, maxWaitMs: { render: 600_000, ingest: 600_000 } });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-determinism-'));
    pool = start();
    for (const [name, bytes] of Object.entries(await originals())) {
      const path = join(folder, name);
      await writeFile(path, bytes);
      const { inspection, rungs, ladderError } = await pool.ingest(path, undefined, bytes.length);
      assert.equal(ladderError, undefined, name);
      const paths = new Map<string, string>();
      for (const { rung, bytes } of rungs) {
        paths.set(rung.name, join(folder, `${name}-${rung.name}`));
        await writeFile(join(folder, `${name}-${rung.name}`), bytes);
      }
      stored.push({ name, path, source: inspection, rungs: paths });
    }
  });
  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  test(`are the same from the rung, from the original and after a restart, for ${PLANS} random plans`, async () => {
    const cases = fc
      .sample(requests, { numRuns: PLANS, seed: SEED })
      .map(({ original, transform, quality, format, focalPoint }) => {
        const one = stored[original % stored.length] ?? assert.fail();
        const request: Transform = { ...transform, ...(quality !== undefined && { quality }) };
        const plan = planRendition(request, one.source, format, focalPoint as FocalPoint | undefined);
        return { one, plan, label: `${one.name} ${planKey(plan)}` };
      });
    const fromRung = new Map<string, Buffer>();
    let withRung = 0;
    await inTurns(cases, async ({ one, plan, label }) => {
      const rung = rungFor(plan, one.source);
      if (rung) withRung += 1;
      const path = rung === undefined ? one.path : (one.rungs.get(rung.name) ?? assert.fail(label));
      const { bytes } = await pool.render(path, plan, rung ? {} : { source: one.source });
      fromRung.set(label, Buffer.from(bytes));
    });
    assert.ok(withRung > PLANS / 4, `${withRung} plans have a rung`);
    await pool.close();
    pool = start();
    await inTurns(cases, async ({ one, plan, label }) => {
      const { bytes } = await pool.render(one.path, plan, { source: one.source });
      assert.ok(fromRung.get(label)?.equals(bytes), `${label} has other bytes from the original`);
    });
  });
});

/** Runs a few at a time, so that both workers are busy and the memory of the test stays small. */
async function inTurns<T>(all: readonly T[], work: (each: T) => Promise<void>): Promise<void> {
  const queue = all.values();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (const each of queue) await work(each);
    }),
  );
}

describe('a server that lost its caches and rungs', { timeout: 600_000 }, () => {
  const ENV = { VITRINE_SIZE_BUDGET: '0', VITRINE_RATE_LIMIT: '0' };
  let folder: string;
  let server: TestServer;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-determinism-'));
    server = await startServer({ ...ENV, VITRINE_DATA: folder });
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  test('sends the bytes of the default renditions that were made at upload, under the same ETag', async () => {
    const queries = ['', '?size=400x400', '?size=333x77', '?size=0x0', '?size=640x0&format=png'];
    const accepts = ['image/webp', 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0', '*/*'];
    const paths: string[] = [];
    for (const bytes of Object.values(await originals())) {
      paths.push(new URL((await server.addImage(bytes)).link).pathname);
    }
    const readAll = async () => {
      const answers: string[] = [];
      for (const path of paths) {
        for (const query of queries) {
          for (const accept of accepts) {
            const response = await server.fetch(`${path}${query}`, { headers: { accept } });
            assert.equal(response.status, 200);
            const digest = hash('sha256', Buffer.from(await response.arrayBuffer()));
            answers.push(`${path}${query} ${accept} ${response.headers.get('etag')} ${digest}`);
          }
        }
      }
      return answers;
    };
    const first = await readAll();
    await server.close();
    const blobs = join(folder, 'blobs');
    const rungs = (await readdir(blobs, { recursive: true })).filter((name) =>
      /\d-\d+\.(jpeg|png)$/.test(name),
    );
    assert.ok(rungs.length >= 8, `${rungs.length} rungs`);
    for (const name of rungs) await rm(join(blobs, name));
    await rm(join(folder, 'cache'), { recursive: true });
    server = await startServer({ ...ENV, VITRINE_DATA: folder });
    assert.deepEqual(await readAll(), first);
  });
});
