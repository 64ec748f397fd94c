import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { AppError, isAppError } from '../../src/errors.ts';
import { MAX_ORIGINAL_BYTES, OUTPUT_FORMATS, type OutputFormat } from '../../src/image.ts';
import { type Plan, planRendition, type Transform } from '../../src/imaging/plan.ts';
import { createPool, type Pool } from '../../src/imaging/pool/pool.ts';
import type { Inspection, Rendition } from '../../src/imaging/processor.ts';
import * as pictures from '../support/pictures.ts';

let folder: string;
let pool: Pool;
let files = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-processor-'));
  pool = createPool({ size: 2, deadlineMs: 60_000 });
});

after(async () => {
  await pool.close();
  await rm(folder, { recursive: true });
});

async function store(bytes: Buffer): Promise<string> {
  files += 1;
  const path = join(folder, String(files));
  await writeFile(path, bytes);
  return path;
}

async function inspect(bytes: Buffer): Promise<Inspection> {
  const { analysis, ...facts } = (await pool.ingest(await store(bytes))).inspection;
  assert.ok(analysis);
  return facts;
}

/** Inspects, plans and renders, and checks that the rendition is what was planned. */
async function render(
  bytes: Buffer,
  format: OutputFormat,
  transform: Partial<Transform> = {},
): Promise<Rendition & { plan: Plan; pixels: Buffer; channels: number }> {
  const path = await store(bytes);
  const full: Transform = { width: 0, height: 0, fit: 'cover', position: 'center', dpr: 1, ...transform };
  const plan = planRendition(full, (await pool.ingest(path)).inspection, format);
  const rendition = await pool.render(path, plan);
  const metadata = await sharp(rendition.bytes, { animated: plan.animated }).metadata();
  assert.equal(rendition.format, format);
  assert.equal(metadata.format, format === 'avif' ? 'heif' : format);
  assert.equal(metadata.width, plan.width);
  assert.equal(metadata.pageHeight ?? metadata.height, plan.height);
  assert.deepEqual([rendition.width, rendition.height], [plan.width, plan.height]);
  assert.equal(metadata.depth, 'uchar');
  assert.equal(metadata.space, 'srgb');
  const { data, info } = await sharp(rendition.bytes).raw().toBuffer({ resolveWithObject: true });
  return { ...rendition, plan, pixels: data, channels: info.channels };
}

async function refusal(bytes: Buffer): Promise<string> {
  const path = await store(bytes);
  return pool.ingest(path).then(
    () => assert.fail('the picture was accepted'),
    (error: unknown) => {
      assert.ok(isAppError(error, 'invalid-image'), String(error));
      return error.fields?.image ?? assert.fail('no reason');
    },
  );
}

function assertNear(
  actual: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number,
  what = '',
): void {
  for (const [i, value] of expected.entries()) {
    const got = actual[i] ?? Number.NaN;
    assert.ok(
      Math.abs(got - value) <= tolerance,
      `${what}: ${[...Array.from(actual)].slice(0, 4)} is not ${expected}`,
    );
  }
}

describe('ingest', () => {
  test('reports the format, the upright size, the frames and the transparency of every kind of picture', async () => {
    const photo = { width: 320, height: 240, frames: 1, transparent: false };
    assert.deepEqual(await inspect(await pictures.jpeg()), { ...photo, format: 'jpeg' });
    assert.deepEqual(await inspect(await pictures.png()), { ...photo, format: 'png' });
    assert.deepEqual(await inspect(await pictures.webp()), { ...photo, format: 'webp' });
    const { bytes } = await pictures.animation(7);
    assert.deepEqual(await inspect(bytes), {
      format: 'webp',
      width: 60,
      height: 40,
      frames: 7,
      transparent: false,
    });
    for (let orientation = 1; orientation <= 8; orientation += 1) {
      for (const format of ['jpeg', 'png', 'webp'] as const) {
        const { width, height } = await inspect(await pictures.quad(orientation, format));
        assert.deepEqual([width, height], [120, 80], `${format} ${orientation}`);
      }
    }
  });

  test('reports a picture as transparent for one such pixel, but not for an alpha channel alone', async () => {
    const [width, height] = [301, 257];
    for (const [x, y] of [
      [0, 0],
      [width - 1, height - 1],
      [150, 77],
    ] as const) {
      const image = pictures.oneTransparentPixel(width, height, x, y);
      assert.equal((await inspect(await image.clone().png().toBuffer())).transparent, true);
      assert.equal(
        (await inspect(await image.clone().webp({ lossless: true, exact: true }).toBuffer())).transparent,
        true,
      );
    }
    assert.equal((await inspect(await pictures.photo().ensureAlpha().png().toBuffer())).transparent, false);
    assert.equal(
      (await inspect(await pictures.flat(9, 9, '#f00', 0.5).png({ palette: true }).toBuffer())).transparent,
      true,
    );
    const grey = pictures.photo().greyscale().toColourspace('b-w').ensureAlpha(0.2);
    assert.equal((await inspect(await grey.png().toBuffer())).transparent, true);
    const sixteen = pictures.photo().toColourspace('rgb16').ensureAlpha(0.5);
    assert.equal((await inspect(await sixteen.png().toBuffer())).transparent, true);
  });

  test('refuses pixels that do not decode completely, in every format', async () => {
    const alpha = await pictures.photo().ensureAlpha(0.5).png().toBuffer();
    const progressive = await pictures.photo().jpeg({ progressive: true }).toBuffer();
    for (const file of [
      await pictures.jpeg(),
      progressive,
      await pictures.png(),
      alpha,
      await pictures.webp(),
    ]) {
      for (const part of [0.3, 0.6, 0.9, 0.99]) {
        assert.match(await refusal(file.subarray(0, Math.floor(file.length * part))), /incomplete|damaged/);
      }
    }
    const png = await pictures.png();
    png[png.length - 40] = (png[png.length - 40] ?? 0) ^ 0x55;
    assert.match(await refusal(png), /PNG data is damaged/);
    alpha[alpha.length - 40] = (alpha[alpha.length - 40] ?? 0) ^ 0x55;
    assert.match(await refusal(alpha), /PNG data is damaged/);
    assert.match(await refusal(await pictures.jpegClaimingSize(3_000, 3_000)), /JPEG data is damaged/);
  });

  test('refuses a JPEG with zeros in the middle, which a decode to a smaller size does not detect', async () => {
    // The second is more than four times as long as its largest rung, so libjpeg could scale while decoding.
    for (const [width, height] of [
      [1_600, 1_200],
      [9_000, 500],
    ] as const) {
      const jpeg = await pictures.jpeg({ width, height });
      const scan = pictures.jpegMarker(jpeg, 0xda);
      const middle = Math.floor((scan + jpeg.length) / 2);
      jpeg.fill(0, middle, middle + 2_000);
      // A thumbnail alone does not detect the damage.
      await sharp(jpeg, { failOn: 'warning' }).resize(16, 16).toBuffer();
      assert.match(await refusal(jpeg), /JPEG data is damaged/);
    }
  });

  test('accepts bytes after the end and a damaged profile, as other software does', async () => {
    const jpeg = await pictures.jpeg();
    await inspect(Buffer.concat([jpeg, Buffer.from('trailing')]));
    const profile = await pictures.photo().withIccProfile('p3').jpeg().toBuffer();
    const at = profile.indexOf('ICC_PROFILE');
    profile.fill(0x55, at + 14, at + 300);
    await render(profile, 'webp', { width: 50, height: 50 });
  });

  test('refuses every truncation of a JPEG in several scans', async () => {
    const whole = await pictures.photo({ width: 160, height: 120 }).jpeg({ progressive: true }).toBuffer();
    await inspect(whole);
    for (let length = 300; length < whole.length; length += 97) await refusal(whole.subarray(0, length));
    await refusal(whole.subarray(0, whole.length - 2));
  });

  test('refuses a file above 16 MiB, and rejects a missing file with unavailable', async () => {
    const png = await pictures.png();
    const filler = pictures.pngChunk('tEXt', Buffer.alloc(MAX_ORIGINAL_BYTES - png.length - 12));
    const exact = pictures.withPngChunks(png, filler);
    assert.equal(exact.length, MAX_ORIGINAL_BYTES);
    await inspect(exact);
    assert.match(await refusal(Buffer.concat([exact, Buffer.alloc(1)])), /16777217 bytes/);
    await assert.rejects(pool.ingest(join(folder, 'nothing')), (error) => isAppError(error, 'unavailable'));
  });

  test('refuses hostile pictures with a reason for the client', async () => {
    assert.match(await refusal(await pictures.manyScans(2_770)), /64 JPEG scans/);
    assert.match(await refusal(await pictures.frameFlood(2_000)), /2000 frames/);
    assert.match(
      await refusal(
        pictures.pngOf(pictures.pngHeader(30_000, 30_000), pictures.pngChunk('IDAT', Buffer.alloc(9))),
      ),
      /900 megapixels/,
    );
    for (const [name, file] of Object.entries(await pictures.otherFormats()))
      assert.ok(await refusal(file), name);
  });

  test('accepts a small picture with gigabytes of compressed text, and never inflates the text', async () => {
    const bomb = await pictures.textBomb(40, 49);
    assert.equal((await inspect(bomb)).width, 64);
    assert.equal((await render(bomb, 'png')).width, 64);
    assert.equal((await inspect(await pictures.profileBomb(45))).width, 64);
  });
});

describe('render', () => {
  test('makes every format in exactly the planned size, for every kind of transform', async () => {
    const jpeg = await pictures.jpeg({ width: 640, height: 427 });
    const transforms: readonly Partial<Transform>[] = [
      { width: 400, height: 400 },
      { width: 1, height: 1 },
      { width: 333, height: 0 },
      { width: 0, height: 901 },
      { width: 300, height: 20, fit: 'contain' },
      { width: 77, height: 391, position: 'attention' },
      { width: 391, height: 77, position: 'entropy', dpr: 2 },
      {},
    ];
    for (const transform of transforms) {
      for (const format of OUTPUT_FORMATS) await render(jpeg, format, transform);
    }
  });

  test('turns every EXIF orientation upright, with and without a crop', async () => {
    for (let orientation = 1; orientation <= 8; orientation += 1) {
      for (const format of ['jpeg', 'png', 'webp'] as const) {
        const stored = await pictures.quad(orientation, format);
        for (const transform of [{}, { width: 60, height: 60 }]) {
          const { pixels, plan, channels } = await render(stored, 'png', transform);
          for (const [i, colour] of pictures.QUARTERS.entries()) {
            const x = Math.floor(plan.width * (i % 2 === 0 ? 0.25 : 0.75));
            const y = Math.floor(plan.height * (i < 2 ? 0.25 : 0.75));
            const at = (y * plan.width + x) * channels;
            assertNear(pixels.subarray(at, at + 3), colour, 3, `${format} ${orientation}`);
          }
        }
      }
    }
  });

  test('converts grey, CMYK, 16-bit, palette and wide-gamut pictures to 8-bit sRGB', async () => {
    const colour = async (file: Buffer, format: OutputFormat = 'png') => {
      const { pixels, channels } = await render(file, format, { width: 20, height: 20 });
      assert.ok(channels >= 3);
      return pixels.subarray(200 * channels, 200 * channels + 3);
    };
    const orange = pictures.flat(40, 40, '#e08030');
    const expected = [0xe0, 0x80, 0x30];
    assertNear(await colour(await orange.clone().png().toBuffer()), expected, 1, 'PNG');
    assertNear(
      await colour(await orange.clone().toColourspace('rgb16').png().toBuffer()),
      expected,
      1,
      '16-bit',
    );
    assertNear(await colour(await orange.clone().png({ palette: true }).toBuffer()), expected, 2, 'palette');
    // CMYK can represent this colour.
    const muted = await pictures.flat(40, 40, '#b08878').toColourspace('cmyk').jpeg().toBuffer();
    assertNear(await colour(muted), [0xb0, 0x88, 0x78], 8, 'CMYK');
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const wide = await orange.clone().withIccProfile('p3').toFormat(format).toBuffer();
      const raw = await sharp(wide, { ignoreIcc: true }).raw().toBuffer();
      assert.ok(
        Math.abs((raw[0] ?? 0) - 0xe0) > 4,
        'the stored values must differ from sRGB, or the test proves nothing',
      );
      for (const output of OUTPUT_FORMATS)
        assertNear(await colour(wide, output), expected, 5, `P3 ${format} as ${output}`);
    }
    const grey = await pictures.flat(40, 40, '#777').toColourspace('b-w').jpeg().toBuffer();
    for (const output of OUTPUT_FORMATS)
      assertNear(await colour(grey, output), [0x77, 0x77, 0x77], 2, `grey as ${output}`);
  });

  test('keeps no metadata in any format', async () => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const file = await pictures.withPrivateMetadata(format);
      for (const output of OUTPUT_FORMATS) {
        const { bytes } = await render(file, output, { width: 100, height: 100 });
        const metadata = await sharp(bytes).metadata();
        for (const kind of ['exif', 'xmp', 'iptc', 'orientation', 'comments'] as const) {
          assert.equal(metadata[kind], undefined, `${format} as ${output}: ${kind}`);
        }
        if (output !== 'avif') assert.equal(metadata.icc, undefined, `${format} as ${output}: icc`);
        for (const marker of [...pictures.PRIVATE_MARKERS, 'Exif', 'xmpmeta']) {
          assert.ok(!Buffer.from(bytes).includes(marker), `${format} as ${output}: ${marker}`);
        }
      }
    }
  });

  test('puts transparent pixels on white for JPEG, and keeps them for the other formats', async () => {
    const file = await pictures.flat(30, 30, '#000', 0).png().toBuffer();
    assertNear((await render(file, 'jpeg')).pixels, [255, 255, 255], 1);
    for (const format of ['webp', 'png', 'avif'] as const) {
      const { pixels, channels } = await render(file, format);
      assert.equal(channels, 4, format);
      assert.equal(pixels[3], 0, format);
    }
    const half = await pictures.flat(30, 30, '#000', 0.5).webp({ lossless: true }).toBuffer();
    assertNear((await render(half, 'jpeg')).pixels, [127, 127, 127], 3);
  });

  test('keeps frames, delays and loops of an animation for WebP, and the first frame for other formats', async () => {
    const { bytes, delays } = await pictures.animation(6);
    for (const transform of [
      { width: 30, height: 30 },
      { width: 20, height: 0 },
      { width: 40, height: 10, position: 'attention' as const },
    ]) {
      const rendition = await render(bytes, 'webp', transform);
      const metadata = await sharp(rendition.bytes, { animated: true }).metadata();
      assert.equal(metadata.pages, 6);
      assert.deepEqual(metadata.delay, delays);
      assert.equal(metadata.loop, 3);
    }
    const first = await sharp(bytes).raw().toBuffer();
    for (const format of ['png', 'jpeg', 'avif'] as const) {
      const { pixels } = await render(bytes, format, { width: 30, height: 20 });
      assertNear(pixels, [...first.subarray(0, 3)], 6, format);
    }
  });

  test('crops all frames of an animation around its focal point', async () => {
    const [width, height, frames] = [80, 40, 3];
    // Each frame is red on the left and blue on the right. Only the last frame is blue on the left.
    const pixels = Buffer.alloc(width * height * frames * 3);
    for (let at = 0; at < width * height * frames; at += 1) {
      const red = at % width < width / 2 !== at >= width * height * (frames - 1);
      pixels[at * 3 + (red ? 0 : 2)] = 255;
      // The encoder would merge equal frames.
      pixels[at * 3 + 1] = 8 * Math.floor(at / (width * height));
    }
    const raw = { width, height: height * frames, channels: 3 as const, pageHeight: height };
    const file = await store(await sharp(pixels, { raw }).webp({ lossless: true }).toBuffer());
    const transform = { width: 20, height: 20, fit: 'cover', position: 'focal', dpr: 1 } as const;
    const { inspection } = await pool.ingest(file);
    for (const x of [0.1, 0.9]) {
      const plan = planRendition(transform, inspection, 'webp', { x, y: 0.5 });
      const { bytes } = await pool.render(file, plan);
      for (const page of [0, 1, 2]) {
        const { data, info } = await sharp(bytes, { page }).raw().toBuffer({ resolveWithObject: true });
        assert.deepEqual([info.width, info.height], [20, 20]);
        const red = x < 0.5 === page < 2;
        assertNear(data.subarray(0, 3), red ? [255, 8, 0] : [0, 8, 255], 20, `frame ${page}, focus at ${x}`);
      }
    }
  });

  test('covers a large square from pictures of 1 x 30 000 and 30 000 x 1 pixels', async () => {
    for (const [width, height] of [
      [1, 30_000],
      [30_000, 1],
    ] as const) {
      const file = pictures.blackPng(width, height);
      await render(file, 'webp', { width: 2_048, height: 2_048 });
      await render(file, 'png', { width: 1, height: 1 });
      await render(file, 'png', { width: 2_048, height: 0 });
      await render(file, 'png', { width: 0, height: 2_048 });
      await render(file, 'jpeg', { width: 50, height: 2_000, position: 'entropy' });
    }
  });

  test('refuses the bytes that ingest refuses, and rejects a plan of another picture with unavailable', async () => {
    const path = await store(await pictures.png({ width: 40, height: 40 }));
    const { inspection } = await pool.ingest(path);
    const plan = planRendition(
      { width: 10, height: 10, fit: 'cover', position: 'center', dpr: 1 },
      inspection,
      'webp',
    );
    const broken = await store((await pictures.png()).subarray(0, 5_000));
    await assert.rejects(pool.render(broken, plan), (error) => isAppError(error, 'invalid-image'));
    const region = { left: 30, top: 30, width: 30, height: 30 };
    await assert.rejects(pool.render(path, { ...plan, region }), (error) => {
      assert.ok(error instanceof AppError);
      return error.code === 'unavailable' && error.fields === undefined;
    });
  });
});
