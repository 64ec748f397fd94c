import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { isAppError } from '../../src/errors.ts';
import type { OutputFormat } from '../../src/image.ts';
import { defaultPlans, isOutdatedRung, rungBlobName, rungFor, rungsOf } from '../../src/imaging/ladder.ts';
import { type PlanSource, planRendition, type Transform } from '../../src/imaging/plan.ts';
import { createPool, type Pool } from '../../src/imaging/pool/pool.ts';
import type { IngestResult } from '../../src/imaging/processor.ts';
import * as pictures from '../support/pictures.ts';

const photo = (width: number, height: number, options: Partial<PlanSource> = {}): PlanSource => ({
  format: 'jpeg',
  width,
  height,
  frames: 1,
  transparent: false,
  ...options,
});

const graphic = (width: number, height: number, options: Partial<PlanSource> = {}): PlanSource => ({
  ...photo(width, height, options),
  analysis: { content: 'graphic', placeholder: '', color: '#ffffff' },
});

const transform = (width: number, height: number, options: Partial<Transform> = {}): Transform => ({
  width,
  height,
  fit: 'cover',
  position: 'center',
  dpr: 1,
  ...options,
});

function chooseRung(original: PlanSource, transform: Transform, format: OutputFormat = 'webp'): string {
  return rungFor(planRendition(transform, original, format), original)?.name ?? 'original';
}

const names = (original: PlanSource) => rungsOf(original).map(({ name }) => name);

describe('the ladder', () => {
  test('has the rungs whose long edge is at most 4/5 of the long edge of the original', () => {
    assert.deepEqual(names(photo(1_279, 900)), []);
    assert.deepEqual(names(photo(1_280, 900)), ['1024']);
    assert.deepEqual(names(photo(900, 1_280)), ['1024']);
    assert.deepEqual(names(photo(2_559, 900)), ['1024']);
    assert.deepEqual(names(photo(2_560, 900)), ['2048', '1024']);
    assert.deepEqual(names(photo(900, 2_560)), ['2048', '1024']);
  });

  test('keeps the proportions of the upright picture, and each side has at least 1 pixel', () => {
    const sizes = (original: PlanSource) => rungsOf(original).map(({ width, height }) => [width, height]);
    assert.deepEqual(sizes(photo(6_000, 4_000)), [
      [2_048, 1_365],
      [1_024, 683],
    ]);
    assert.deepEqual(sizes(photo(4_000, 6_000)), [
      [1_365, 2_048],
      [683, 1_024],
    ]);
    assert.deepEqual(sizes(photo(30_000, 1)), [
      [2_048, 1],
      [1_024, 1],
    ]);
  });

  test('is JPEG for photographs, and PNG for drawings and transparent pictures', () => {
    const format = (original: PlanSource) => rungsOf(original)[0]?.format;
    assert.equal(format(photo(4_000, 3_000)), 'jpeg');
    assert.equal(format(photo(4_000, 3_000, { format: 'webp' })), 'jpeg');
    assert.equal(format(photo(4_000, 3_000, { format: 'png' })), 'jpeg');
    assert.equal(format(graphic(4_000, 3_000, { format: 'png' })), 'png');
    assert.equal(format(graphic(4_000, 3_000)), 'png');
    assert.equal(format(photo(4_000, 3_000, { format: 'png', transparent: true })), 'png');
    assert.equal(format(photo(4_000, 3_000, { format: 'webp', transparent: true })), 'png');
  });

  test('names a blob by revision, rung and format', () => {
    const names = rungsOf(photo(4_000, 3_000)).map(rungBlobName);
    assert.deepEqual(names, ['3-2048.jpeg', '3-1024.jpeg']);
    assert.deepEqual(names.filter(isOutdatedRung), []);
  });

  test('tells rungs of earlier revisions by their names', () => {
    const names = ['2-2048.jpeg', '0-1.png', '4-2048.jpeg', '12-1024.avif', '2048.jpeg', '-1-2048.jpeg', ''];
    assert.deepEqual(names.filter(isOutdatedRung), ['2-2048.jpeg', '0-1.png']);
  });
});

describe('the rung for a plan', () => {
  test('is the smallest with 3/2 of the size of a plan that shows the whole picture', () => {
    for (const turn of [false, true]) {
      const original = turn ? photo(4_000, 6_000) : photo(6_000, 4_000);
      const box = (side: number) => (turn ? transform(0, side) : transform(side, 0));
      // 1024 / 1.5 = 682.7 and 2048 / 1.5 = 1365.3
      assert.equal(chooseRung(original, box(1)), '1024');
      assert.equal(chooseRung(original, box(682)), '1024');
      assert.equal(chooseRung(original, box(683)), '2048');
      assert.equal(chooseRung(original, box(1_365)), '2048');
      assert.equal(chooseRung(original, box(1_366)), 'original');
      const contain = (side: number) => transform(side, side, { fit: 'contain' });
      assert.equal(chooseRung(original, contain(682)), '1024');
      assert.equal(chooseRung(original, contain(683)), '2048');
      assert.equal(chooseRung(original, contain(1_366)), 'original');
    }
  });

  test('has 3/2 of the size of the scaled picture before the crop', () => {
    for (const turn of [false, true]) {
      // To cover 400 x 400 it is scaled to 682 2/3 x 400. The rung is exactly 3/2 of that.
      const exact = turn ? photo(1_500, 2_560) : photo(2_560, 1_500);
      assert.equal(chooseRung(exact, transform(400, 400)), '1024');
      assert.equal(chooseRung(exact, transform(401, 401)), '2048');
      const wider = turn ? photo(1_500, 2_561) : photo(2_561, 1_500);
      assert.equal(chooseRung(wider, transform(400, 400)), '2048');
      const narrower = turn ? photo(1_500, 2_560) : photo(2_560, 1_501);
      assert.equal(chooseRung(narrower, transform(400, 400)), '1024');
    }
    // Here the box is much wider than high, or much higher than wide.
    assert.equal(chooseRung(photo(3_000, 3_000), transform(682, 10)), '1024');
    assert.equal(chooseRung(photo(3_000, 3_000), transform(683, 10)), '2048');
    assert.equal(chooseRung(photo(3_000, 3_000), transform(10, 1_366)), 'original');
    assert.equal(chooseRung(photo(3_000, 3_000), transform(600, 600, { position: 'attention' })), '1024');
    assert.equal(chooseRung(photo(3_000, 3_000), transform(600, 600, { position: 'entropy' })), '1024');
  });

  test('is always one of the rungs of the original', () => {
    assert.equal(chooseRung(photo(1_000, 1_000), transform(10, 10)), 'original');
    assert.equal(chooseRung(photo(2_000, 2_000), transform(400, 400)), '1024');
    assert.equal(chooseRung(photo(2_000, 2_000), transform(700, 700)), 'original');
  });

  test('is undefined for an animation and for a region, but not for the first frame of an animation', () => {
    const animated = photo(2_000, 2_000, { format: 'webp', frames: 5 });
    assert.equal(chooseRung(animated, transform(100, 100), 'webp'), 'original');
    assert.equal(chooseRung(animated, transform(100, 100), 'png'), '1024');
    const flat = photo(30_000, 1);
    assert.notEqual(planRendition(transform(100, 100), flat, 'png').region, undefined);
    assert.equal(chooseRung(flat, transform(100, 100)), 'original');
  });
});

describe('the default plans', () => {
  const formats = (original: PlanSource) => defaultPlans(original).map(({ format }) => format);

  test('are 400 x 400 in the formats that clients request most', () => {
    assert.deepEqual(formats(photo(900, 900)), ['webp', 'jpeg']);
    assert.deepEqual(formats(photo(900, 900, { format: 'webp' })), ['webp', 'jpeg']);
    assert.deepEqual(formats(photo(900, 900, { format: 'png' })), ['webp', 'jpeg']);
    assert.deepEqual(formats(graphic(900, 900)), ['webp', 'jpeg']);
    assert.deepEqual(formats(graphic(900, 900, { format: 'png' })), ['webp', 'jpeg', 'png']);
    assert.deepEqual(formats(photo(900, 900, { format: 'png', transparent: true })), ['webp', 'png']);
    for (const plan of defaultPlans(photo(900, 900))) {
      assert.deepEqual([plan.width, plan.height, plan.position], [400, 400, 'center']);
    }
  });

  test('have no animations, because these take long', () => {
    assert.deepEqual(formats(photo(900, 900, { format: 'webp', frames: 9 })), ['jpeg']);
  });
});

describe('the ladder that ingest makes', { timeout: 300_000 }, () => {
  let folder: string;
  let pool: Pool;
  let files = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-ladder-'));
    pool = createPool({ size: 2, deadlineMs: 120_000, maxWaitMs: { render: 120_000 } });
  });

  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  async function store(bytes: Uint8Array): Promise<string> {
    files += 1;
    const path = join(folder, String(files));
    await writeFile(path, bytes);
    return path;
  }

  async function ingest(bytes: Buffer): Promise<IngestResult & { path: string; original: PlanSource }> {
    const path = await store(bytes);
    const result = await pool.ingest(path, undefined, bytes.length);
    assert.equal(result.ladderError, undefined);
    return { ...result, path, original: result.inspection };
  }

  const large = (seed = 1) => pictures.photo({ width: 2_563, height: 1_201, seed });

  test('has every rung of the original, in its size and format, without metadata', async () => {
    const sources = {
      jpeg: await large()
        .withExif({ IFD0: { Artist: 'Secret Author' } })
        .jpeg()
        .toBuffer(),
      portrait: await large().rotate(90).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
      png: await large().png({ compressionLevel: 1 }).toBuffer(),
      drawing: await pictures.flat(2_563, 1_201, '#0af').png().toBuffer(),
      transparent: await large().ensureAlpha(0.5).png({ compressionLevel: 1 }).toBuffer(),
      webp: await large().webp({ effort: 0 }).toBuffer(),
      small: await pictures.jpeg(),
    };
    for (const [name, bytes] of Object.entries(sources)) {
      const { rungs, renditions, original } = await ingest(bytes);
      assert.deepEqual(
        rungs.map(({ rung }) => rung),
        rungsOf(original),
        name,
      );
      for (const stored of rungs) {
        const metadata = await sharp(stored.bytes).metadata();
        const { format, width, height, hasAlpha, exif, icc, space } = metadata;
        assert.deepEqual(
          { format, width, height, hasAlpha, exif, icc, space },
          {
            format: stored.rung.format,
            width: stored.rung.width,
            height: stored.rung.height,
            hasAlpha: original.transparent,
            exif: undefined,
            icc: undefined,
            space: 'srgb',
          },
          name,
        );
      }
      assert.deepEqual(
        renditions.map(({ plan }) => plan.format).sort(),
        defaultPlans(original)
          .map(({ format }) => format)
          .sort(),
        name,
      );
      for (const { plan, rendition } of renditions) {
        const metadata = await sharp(rendition.bytes).metadata();
        assert.deepEqual([metadata.format, metadata.width, metadata.height], [plan.format, 400, 400]);
      }
    }
  });

  test('is upright for every EXIF orientation', async () => {
    for (let orientation = 1; orientation <= 8; orientation += 1) {
      for (const format of ['jpeg', 'png', 'webp'] as const) {
        const enlarged = await sharp(await pictures.quad(orientation, format))
          .resize(orientation >= 5 ? 900 : 1_350, null, { kernel: 'nearest' })
          .withMetadata({ orientation })
          .toFormat(format, format === 'webp' ? { lossless: true, effort: 0 } : {})
          .toBuffer();
        const { rungs, renditions } = await ingest(enlarged);
        assert.deepEqual([rungs[0]?.rung.width, rungs[0]?.rung.height], [1_024, 683]);
        for (const { bytes } of [...rungs, ...renditions.map(({ rendition }) => rendition)]) {
          const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
          for (const [i, colour] of pictures.QUARTERS.entries()) {
            const x = Math.floor(info.width * (i % 2 === 0 ? 0.25 : 0.75));
            const y = Math.floor(info.height * (i < 2 ? 0.25 : 0.75));
            for (const [channel, value] of colour.entries()) {
              const got = data[(y * info.width + x) * 3 + channel] ?? Number.NaN;
              assert.ok(
                Math.abs(got - value) <= 8,
                `${format} ${orientation}, quarter ${i}: ${got}, ${value}`,
              );
            }
          }
        }
      }
    }
  });

  test('gives renditions of the planned size, with nearly the pixels of a rendition from the original', async () => {
    for (const bytes of [await large(1).jpeg({ quality: 90 }).toBuffer(), await large(2).png().toBuffer()]) {
      const { path, rungs, original } = await ingest(bytes);
      // Compared with a full decode: a JPEG that libjpeg scales while decoding loses detail.
      const whole = await store(await sharp(bytes).png({ compressionLevel: 1 }).toBuffer());
      const paths = new Map<string, string>();
      for (const { rung, bytes: rungBytes } of rungs) paths.set(rung.name, await store(rungBytes));
      for (const request of [
        transform(400, 400),
        transform(100, 100),
        transform(64, 391),
        transform(391, 64),
        transform(0, 333),
        transform(682, 0),
        transform(1_365, 0),
        transform(640, 640, { fit: 'contain' }),
        transform(1, 1),
      ]) {
        const plan = planRendition(request, original, 'png');
        const rung = rungFor(plan, original) ?? assert.fail('no rung is large enough');
        const rungPath = paths.get(rung.name) ?? assert.fail(rung.name);
        const [from, direct, exact] = await Promise.all([
          pool.render(rungPath, plan),
          pool.render(path, plan, { source: original }),
          pool.render(whole, plan),
        ]);
        assert.deepEqual([from.width, from.height], [plan.width, plan.height]);
        assert.deepEqual(direct, { ...from, times: direct.times });
        const decibels = psnr(await pixelsOf(from.bytes), await pixelsOf(exact.bytes));
        // A crop that is off by half a pixel gives 39 dB.
        assert.ok(decibels >= 42, `${JSON.stringify(request)} from ${rung.name}: ${decibels} dB`);
      }
      for (const position of ['attention', 'entropy'] as const) {
        const plan = planRendition(transform(300, 300, { position }), original, 'webp');
        const rung = rungFor(plan, original) ?? assert.fail('no rung is large enough');
        const rendition = await pool.render(paths.get(rung.name) ?? assert.fail(rung.name), plan);
        assert.deepEqual([rendition.width, rendition.height], [300, 300]);
      }
    }
  });

  test('has default renditions with the bytes that delivery renders later', async () => {
    const sources = [
      await large(3).jpeg().toBuffer(),
      await large(4).ensureAlpha(0.5).png({ compressionLevel: 1 }).toBuffer(),
      await pictures.jpeg({ width: 900, height: 700 }),
      await pictures.photo({ width: 900, height: 700 }).png().withMetadata({ density: 300 }).toBuffer(),
      await pictures.photo({ width: 900, height: 700 }).ensureAlpha(0.5).webp({ effort: 0 }).toBuffer(),
    ];
    for (const bytes of sources) {
      const { path, renditions, rungs, original } = await ingest(bytes);
      assert.ok(renditions.length >= 2);
      for (const { plan, rendition } of renditions) {
        const rung = rungFor(plan, original);
        const stored = rungs.find((one) => one.rung.name === rung?.name);
        const later = stored ? await pool.render(await store(stored.bytes), plan) : undefined;
        const again = await pool.render(path, plan, { source: original });
        for (const { bytes } of [again, later ?? again]) assert.deepEqual(bytes, rendition.bytes);
      }
    }
  });

  test('is not made for a damaged JPEG, even where libjpeg could decode it at half the size', async () => {
    const jpeg = await pictures.jpeg({ width: 4_400, height: 1_000 });
    const middle = Math.floor((pictures.jpegMarker(jpeg, 0xda) + jpeg.length) / 2);
    jpeg.fill(0, middle, middle + 2_000);
    await assert.rejects(ingest(jpeg), (error) => isAppError(error, 'invalid-image'));
  });

  test('has the colours of the profile, converted to sRGB, for every kind of pixels', async () => {
    const wide = await large(5).withIccProfile('p3').jpeg({ quality: 95 }).toBuffer();
    const raw = await sharp(wide, { ignoreIcc: true }).resize(1_024, 480, { fit: 'fill' }).raw().toBuffer();
    const exact = await sharp(wide)
      .resize(1_024, 480, { fit: 'fill' })
      .toColourspace('srgb')
      .raw()
      .toBuffer();
    assert.ok(psnr(raw, exact) < 30, 'the stored values must differ from sRGB, or the test proves nothing');
    const { rungs } = await ingest(wide);
    assert.ok(psnr(await pixelsOf(rungs[1]?.bytes ?? assert.fail('no rung')), exact) >= 38);
    const orange = pictures.flat(1_300, 400, '#b08878');
    for (const bytes of [
      await orange.clone().toColourspace('rgb16').png().toBuffer(),
      await orange.clone().toColourspace('cmyk').jpeg().toBuffer(),
      await orange.clone().withIccProfile('p3').webp({ lossless: true }).toBuffer(),
      await orange.clone().withIccProfile('p3').ensureAlpha(0.9).png().toBuffer(),
      await orange.clone().withIccProfile('p3').png({ palette: true }).toBuffer(),
    ]) {
      const result = await ingest(bytes);
      const pixels = await pixelsOf(result.rungs[0]?.bytes ?? assert.fail('no rung'));
      for (const [channel, value] of [0xb0, 0x88, 0x78].entries())
        assert.ok(Math.abs((pixels[channel] ?? 0) - value) <= 8, `${[...pixels.subarray(0, 3)]}`);
    }
    const grey = await ingest(
      await pictures.photo({ width: 1_300, height: 400 }).greyscale().toColourspace('b-w').png().toBuffer(),
    );
    const [red, green, blue] = await pixelsOf(grey.rungs[0]?.bytes ?? assert.fail('no rung'));
    assert.ok(red === green && green === blue);
  });

  test('shows the first frame of an animation', async () => {
    const { bytes } = await pictures.animation(4, 1_400, 900);
    const { rungs, renditions, inspection } = await ingest(bytes);
    assert.equal(inspection.frames, 4);
    assert.deepEqual(
      rungs.map(({ rung }) => rung.name),
      ['1024'],
    );
    const first = await sharp(bytes).resize(1_024, 658, { fit: 'fill' }).raw().toBuffer();
    assert.ok(psnr(await pixelsOf(rungs[0]?.bytes ?? assert.fail('no rung')), first) >= 35);
    assert.deepEqual(
      renditions.map(({ plan }) => plan.format),
      ['jpeg'],
    );
  });

  test('keeps the transparency of every pixel, and has no alpha channel for opaque pixels', async () => {
    const pixels = pictures.photoPixels({ width: 1_500, height: 1_000 });
    const mask = Buffer.alloc(1_500 * 1_000, 255);
    mask.fill(0, 0, 1_500 * 500);
    const raw = { raw: { width: 1_500, height: 1_000, channels: 1 as const } };
    const image = sharp(pixels, { raw: { ...raw.raw, channels: 3 } });
    const half = await ingest(await image.clone().joinChannel(mask, raw).png().toBuffer());
    assert.equal(half.inspection.transparent, true);
    const alpha = await sharp(half.rungs[0]?.bytes).extractChannel(3).raw().toBuffer();
    assert.deepEqual([alpha[0], alpha[alpha.length - 1]], [0, 255]);
    const opaque = await ingest(await image.clone().ensureAlpha().png().toBuffer());
    assert.equal(opaque.inspection.transparent, false);
    assert.equal(opaque.rungs[0]?.rung.format, 'jpeg');
  });

  test('gives renditions, and is refused if it is damaged', async () => {
    const { rungs, original } = await ingest(await large(4).jpeg().toBuffer());
    const plan = planRendition(transform(400, 400), original, 'webp');
    const sound = Buffer.from(rungs[1]?.bytes ?? assert.fail('no rung'));
    for (const damaged of [
      sound.subarray(0, sound.length / 2),
      Buffer.alloc(0),
      Buffer.alloc(sound.length),
    ]) {
      const path = await store(damaged);
      await assert.rejects(pool.render(path, plan), (error) => isAppError(error, 'invalid-image'));
    }
    await pool.render(await store(sound), plan);
  });
});

async function pixelsOf(bytes: Uint8Array): Promise<Buffer> {
  return sharp(bytes).removeAlpha().raw().toBuffer();
}

function psnr(one: Buffer, other: Buffer): number {
  assert.equal(one.length, other.length);
  let sum = 0;
  for (const [i, value] of one.entries()) sum += (value - (other[i] ?? 0)) ** 2;
  return 10 * Math.log10(255 ** 2 / (sum / one.length));
}
