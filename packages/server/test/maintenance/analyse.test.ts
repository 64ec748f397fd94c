/**
 * The analysis of pictures of earlier releases in the background, on real stores and real pictures.
 */
import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import sharp from 'sharp';
import { AppError } from '../../src/errors.ts';
import type { ImageFormat } from '../../src/image.ts';
import type { Inspection } from '../../src/imaging/processor.ts';
import { Analyser, type AnalyserDependencies } from '../../src/maintenance/analyse.ts';
import {
  addPictures,
  digestOf,
  envOf,
  largePicture,
  originalPath,
  runWithStores,
  verifyLibrary,
} from '../support/libraries.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';
import { waitFor } from '../support/waiting.ts';

const PLACEHOLDER = 'mwgKHYSAd3iJeIeAd3h3h3+IOA==';

/** The average colour of a picture. Only the worker makes real placeholders. */
async function inspect(path: string): Promise<Inspection> {
  const [{ channels }, { format, width, height }] = await Promise.all([
    sharp(path).stats(),
    sharp(path).metadata(),
  ]);
  const parts = channels.map(({ mean }) => Math.round(mean).toString(16).padStart(2, '0'));
  const color = `#${parts.slice(0, 3).join('')}`;
  const analysis = { content: 'photo', placeholder: PLACEHOLDER, color } as const;
  return { format: format as ImageFormat, width, height, frames: 1, transparent: false, analysis };
}

let server: TestServer;
let images: ImageJSON[];
before(async () => {
  server = await startServer();
});
after(() => server.close());

/** Makes all images of the server look like images of the first release. */
function forgetAnalyses(): void {
  const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
  raw.exec('update images set content = null, placeholder = null, color = null');
  raw.close();
}

async function analyseAll(dependencies: Partial<AnalyserDependencies> = {}): Promise<string[]> {
  const analysed: string[] = [];
  await runWithStores(envOf(server), async ({ metadata, blobs }) => {
    const analyser = new Analyser({
      records: metadata.maintenance,
      blobs,
      ...dependencies,
      inspect: async (path, signal, digest) => {
        analysed.push(path);
        return (dependencies.inspect ?? inspect)(path, signal, digest);
      },
    });
    analyser.start();
    analyser.start();
    await analyser.whenDone();
    await analyser.close();
  });
  return analysed;
}

async function metadataOf({ imageID }: ImageJSON): Promise<ImageJSON> {
  return (await server.send<ImageJSON>('GET', `/accounts/${ACCOUNT}/images/${imageID}`)).body;
}

describe('the pictures of earlier releases', () => {
  let number = 0;
  beforeEach(async () => {
    images = await addPictures(server, number, 5);
    number += 5;
    forgetAnalyses();
  });
  afterEach(() => analyseAll());

  test('get a placeholder and a colour, and nothing else changes', async () => {
    const [image = assert.fail()] = images;
    const earlier = await metadataOf(image);
    assert.equal('placeholder' in earlier || 'color' in earlier, false);
    const audit = () => server.send('GET', `/accounts/${ACCOUNT}/audit`);
    const trail = (await audit()).body;
    await server.app.publicImages.find(image.publicID);
    await analyseAll({ publicImages: server.app.publicImages });
    const now = await metadataOf(image);
    assert.match(now.color ?? '', /^#[0-9a-f]{6}$/);
    assert.deepEqual(now, { ...earlier, placeholder: PLACEHOLDER, color: now.color });
    assert.deepEqual((await audit()).body, trail);
    const { image: shown } = await server.app.publicImages.find(image.publicID);
    assert.equal(shown.original.analysis?.color, now.color);
  });

  test('are analysed once, one at a time, also by a second start', async () => {
    let running = 0;
    const analysed = await analyseAll({
      inspect: async (path) => {
        running += 1;
        assert.equal(running, 1);
        const analysis = await inspect(path);
        running -= 1;
        return analysis;
      },
    });
    assert.equal(new Set(analysed).size, number);
    assert.equal(analysed.length, number);
    assert.deepEqual(await analyseAll(), []);
  });

  test('that are missing or damaged are skipped with a line each, and only they are tried again', async () => {
    const [missing, damaged] = [await picture(number - 1), await picture(number - 2)].map(digestOf);
    await rm(originalPath(server, missing ?? ''));
    await writeFile(originalPath(server, damaged ?? ''), 'no picture');
    const lines: [Record<string, unknown>, string][] = [];
    const log = {
      warn: (fields: Record<string, unknown>, message: string) => lines.push([fields, message]),
      info: (fields: Record<string, unknown>, message: string) => lines.push([fields, message]),
    };
    await analyseAll({ log });
    const warnings = lines.filter(([, message]) => /could not be analysed/.test(message));
    assert.deepEqual(new Set(warnings.map(([{ digest }]) => digest)), new Set([missing, damaged]));
    assert.deepEqual(lines.at(-1)?.[0], { analysed: number - 2, skipped: 2 });
    assert.equal(lines.length, 3);
    assert.equal((await analyseAll()).length, 1, 'only the damaged one has a file to analyse');
    await writeFile(originalPath(server, missing ?? ''), await picture(number - 1));
    await writeFile(originalPath(server, damaged ?? ''), await picture(number - 2));
    await analyseAll();
    for (const image of images) assert.ok((await metadataOf(image)).color);
  });

  test('wait for a worker or a storage that is away', async () => {
    let failures = 2;
    const away = () => {
      failures -= 1;
      if (failures >= 0) throw new AppError('unavailable', 'away');
    };
    const analysed = await analyseAll({
      retryAfter: 1,
      inspect: async (path) => {
        away();
        return inspect(path);
      },
    });
    assert.equal(analysed.length, number + 2);
    for (const image of images) assert.ok((await metadataOf(image)).color);
    forgetAnalyses();
    const crashed = await analyseAll({
      retryAfter: 1,
      inspect: async () => {
        throw new AppError('unavailable', 'crashed', { rejection: 'worker-crash' });
      },
    });
    assert.equal(crashed.length, number, 'a picture on which a worker crashes is not tried again');
  });

  test('are continued by the next start after a stop in the middle', async () => {
    const analysed: string[] = [];
    await runWithStores(envOf(server), async ({ metadata, blobs }) => {
      const analyser = new Analyser({
        records: metadata.maintenance,
        blobs,
        inspect: async (path) => {
          analysed.push(path);
          if (analysed.length === 2) void analyser.close();
          return inspect(path);
        },
      });
      analyser.start();
      await analyser.whenDone();
    });
    assert.equal(analysed.length, 2);
    const rest = await analyseAll();
    assert.ok(rest.length >= number - 2 && rest.length <= number - 1, `${rest.length}`);
    for (const image of images) assert.ok((await metadataOf(image)).color);
  });

  test('keep the bytes that a replacement during the analysis gave them', async () => {
    const [image = assert.fail()] = images;
    const bytes = await picture(1_000 + number);
    let replaced: ImageJSON | undefined;
    await analyseAll({
      inspect: async (path) => {
        replaced ??= await server.addImage(bytes, { replace: image.imageID });
        return inspect(path);
      },
    });
    const now = await metadataOf(image);
    assert.deepEqual([now.bytes, now.updatedOn], [bytes.length, replaced?.updatedOn]);
  });

  test('get the size that is read today, and lose the renditions of another size', async () => {
    const bytes = await sharp(await largePicture(number))
      .composite([{ input: await picture(number), left: 40, top: 30 }])
      .resize(500, 300, { fit: 'fill' })
      .jpeg()
      .toBuffer();
    const image = await server.addImage(bytes);
    number += 1;
    // As a release that read another of two EXIF blocks.
    const swapSides = () => {
      forgetAnalyses();
      const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
      raw.prepare('update images set width = 300, height = 500 where digest = ?').run(digestOf(bytes));
      raw.close();
    };
    const sizeOf = async () => {
      const { width, height } = await metadataOf(image);
      return [width, height];
    };
    swapSides();
    const forgotten: string[] = [];
    await analyseAll({ renditions: { forget: (digest) => forgotten.push(digest) } });
    assert.deepEqual(await sizeOf(), [500, 300]);
    assert.ok(forgotten.includes(digestOf(bytes)));
    swapSides();
    await verifyLibrary(envOf(server), { repair: true, rungs: false });
    assert.deepEqual(await sizeOf(), [500, 300]);
    swapSides();
    server = await server.restart();
    await waitFor('the size', sizeOf, ([width]) => width === 500);
  });

  test('are analysed by the next start of the server, and by verify --repair', async () => {
    const expected = await Promise.all(images.map(metadataOf));
    assert.ok(expected.every((image) => !image.placeholder && !image.color));
    const findings = await verifyLibrary(envOf(server), { repair: true, rungs: false });
    assert.deepEqual(
      new Set(findings.map(({ kind, repaired }) => `${kind} ${repaired}`)),
      new Set(['analysis true']),
    );
    assert.equal(findings.length, number);
    const repaired = await Promise.all(images.map(metadataOf));
    assert.ok(repaired.every(({ placeholder, color }) => placeholder && color));
    assert.deepEqual(await verifyLibrary(envOf(server), { repair: true, rungs: false }), []);

    forgetAnalyses();
    server = await server.restart();
    const colours = async () => (await Promise.all(images.map(metadataOf))).map(({ color }) => color);
    await waitFor('the colours', colours, (list) => list.every((colour) => colour !== undefined));
    assert.deepEqual(
      await colours(),
      repaired.map(({ color }) => color),
    );
  });

  test('have their ladder again after the next start of the server', async () => {
    const bytes = await largePicture(number);
    const large = await server.addImage(bytes);
    const blobs = join(server.folder, 'blobs');
    const rungs = async () =>
      (await readdir(blobs, { recursive: true })).filter(
        (name) => name.includes(digestOf(bytes)) && /\d-\d+\.(jpeg|png)$/.test(name),
      );
    const expected = await rungs();
    assert.ok(expected.length > 0);
    for (const name of expected) await rm(join(blobs, name));
    forgetAnalyses();
    server = await server.restart();
    await waitFor('the analysis', async () => (await metadataOf(large)).color !== undefined);
    assert.deepEqual(await rungs(), expected);
  });
});
