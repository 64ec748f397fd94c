/**
 * Colours become sRGB as browsers show them. The expected values are those of Chromium 156.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import type { OutputFormat } from '../../src/image.ts';
import * as pictures from '../support/pictures.ts';
import * as files from './colour-files.ts';
import { middleOf, openStudio, type Studio } from './studio.ts';

let studio: Studio;
let p3: Buffer;

before(async () => {
  studio = await openStudio();
  p3 = await files.displayP3();
});
after(() => studio.close());

const ORANGE = [200 / 255, 120 / 255, 60 / 255] as const;
const UNCHANGED = [200, 120, 60] as const;
const FROM_P3 = [213, 115, 42] as const;
const FROM_LINEAR = [229, 183, 133] as const;

async function assertColour(
  file: Buffer,
  expected: readonly number[],
  what: string,
  { tolerance = 1, format = 'png' as OutputFormat, width = 0 } = {},
): Promise<void> {
  const rendition = await studio.render(file, format, { width });
  assertNear(await middleOf(rendition), expected, tolerance, what);
}

function assertNear(actual: readonly number[], expected: readonly number[], tolerance: number, what: string) {
  const isNear = expected.every((value, i) => Math.abs((actual[i] ?? Number.NaN) - value) <= tolerance);
  assert.ok(isNear, `${what}: ${actual} is not ${expected}`);
}

describe('a PNG', () => {
  test('takes its colours from cICP, then iCCP, then sRGB, then gAMA with cHRM', async () => {
    const cases: Readonly<Record<string, readonly [readonly Buffer[], readonly number[]]>> = {
      nothing: [[], UNCHANGED],
      'cICP of Display P3': [[files.cICP(12, 13)], FROM_P3],
      'iCCP of Display P3': [[files.iCCP(p3)], [213, 115, 43]],
      sRGB: [[files.sRGB()], UNCHANGED],
      'gAMA 1': [[files.gAMA(1)], FROM_LINEAR],
      'gAMA 0.5': [[files.gAMA(0.5)], [206, 130, 67]],
      'gAMA 1 and cHRM of BT.2020': [
        [files.gAMA(1), files.cHRM(...files.BT2020)],
        [255, 176, 124],
      ],
      'gAMA 0.45455 and cHRM of Display P3': [
        [files.gAMA(0.45455), files.cHRM(...files.DISPLAY_P3)],
        [214, 116, 38],
      ],
      'gAMA 0.45455 and cHRM of BT.709': [
        [files.gAMA(0.45455), files.cHRM(...files.BT709)],
        [201, 121, 57],
      ],
      'gAMA 0.45455 alone': [[files.gAMA(0.45455)], UNCHANGED],
      'cHRM alone': [[files.cHRM(...files.DISPLAY_P3)], UNCHANGED],
      'cICP and iCCP': [[files.cICP(1, 8), files.iCCP(p3)], FROM_LINEAR],
      'cICP of sRGB and iCCP': [[files.cICP(1, 13), files.iCCP(p3)], UNCHANGED],
      'iCCP and sRGB': [
        [files.iCCP(p3), files.sRGB()],
        [213, 115, 43],
      ],
      'iCCP and gAMA': [
        [files.iCCP(p3), files.gAMA(1)],
        [213, 115, 43],
      ],
      'sRGB, gAMA and cHRM': [[files.sRGB(), files.gAMA(1), files.cHRM(...files.DISPLAY_P3)], UNCHANGED],
      'two of gAMA': [[files.gAMA(1), files.gAMA(0.5)], FROM_LINEAR],
      'two of cICP': [[files.cICP(1, 8), files.cICP(12, 13)], FROM_LINEAR],
    };
    for (const [what, [chunks, expected]] of Object.entries(cases)) {
      for (const depth of [8, 16] as const)
        await assertColour(
          files.flatPng({ kind: 'rgb', depth, pixel: ORANGE, chunks }),
          expected,
          `${depth} bits, ${what}`,
        );
    }
  });

  test('ignores colour chunks that are damaged, unknown or at the wrong place', async () => {
    const junk = files.iCCP(Buffer.alloc(200, 7));
    const wrongCrc = files.damaged(files.iCCP(p3));
    const cases: Readonly<Record<string, readonly [readonly Buffer[], readonly number[]]>> = {
      'gAMA 0': [[files.gAMA(0)], UNCHANGED],
      'gAMA of five bytes': [[pictures.pngChunk('gAMA', Buffer.from([0, 1, 0x86, 0xa0, 0]))], UNCHANGED],
      'gAMA with a wrong checksum': [[files.damaged(files.gAMA(1))], UNCHANGED],
      'cHRM of one point': [[files.gAMA(1), files.cHRM(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)], UNCHANGED],
      'cHRM of zeros': [[files.gAMA(1), files.cHRM(0, 0, 0, 0, 0, 0, 0, 0)], UNCHANGED],
      'cHRM above 1': [[files.gAMA(1), files.cHRM(0.3127, 0.329, 9, 0.33, 0.3, 0.6, 0.15, 0.06)], UNCHANGED],
      'sRGB of an unknown intent': [[files.sRGB(9), files.gAMA(1)], FROM_LINEAR],
      'cICP of unknown primaries': [[files.cICP(3, 13)], UNCHANGED],
      'cICP of unspecified primaries': [[files.cICP(2, 8), files.gAMA(1)], FROM_LINEAR],
      'cICP of an unknown curve': [
        [files.cICP(12, 99), files.iCCP(p3)],
        [213, 115, 43],
      ],
      'cICP of a limited range': [
        [files.cICP(1, 8, 0, 0), files.iCCP(p3)],
        [213, 115, 43],
      ],
      'cICP with a matrix': [[files.cICP(1, 8, 1)], UNCHANGED],
      'cICP of five bytes': [[pictures.pngChunk('cICP', Buffer.from([12, 13, 0, 1, 0]))], UNCHANGED],
      'iCCP that is no profile': [[junk, files.gAMA(1)], FROM_LINEAR],
      'iCCP that is no profile, and sRGB': [[junk, files.sRGB(), files.gAMA(1)], UNCHANGED],
      'iCCP that is no profile, and a second': [[junk, files.iCCP(p3)], UNCHANGED],
      'iCCP with a wrong checksum, and a second': [
        [wrongCrc, files.iCCP(p3)],
        [213, 115, 43],
      ],
      'iCCP of grey': [[files.iCCP(files.powerProfile('GRAY', 1))], UNCHANGED],
    };
    for (const [what, [chunks, expected]] of Object.entries(cases)) {
      for (const depth of [8, 16] as const)
        await assertColour(
          files.flatPng({ kind: 'rgb', depth, pixel: ORANGE, chunks }),
          expected,
          `${depth} bits, ${what}`,
        );
    }
    const behind = files.flatPng({ kind: 'rgb', depth: 8, pixel: ORANGE, chunks: [] });
    const late = Buffer.concat([behind.subarray(0, -12), files.gAMA(1), behind.subarray(-12)]);
    await assertColour(late, UNCHANGED, 'gAMA behind the pixels');
  });

  test('converts grey, alpha, palettes and interlaced pixels of 8 and 16 bits', async () => {
    const linear = [files.gAMA(1)];
    const wide = [files.iCCP(p3)];
    for (const depth of [8, 16] as const) {
      for (const interlaced of [false, true]) {
        const png = (kind: files.PngKind, pixel: readonly number[], chunks: readonly Buffer[]) =>
          files.flatPng({ kind, depth, pixel, chunks, interlaced });
        const what = `${depth} bits${interlaced ? ', interlaced' : ''}`;
        await assertColour(png('grey', [0.5], linear), [188, 188, 188], what);
        await assertColour(png('grey with alpha', [0.5, 0.5], linear), [188, 188, 188, 128], what);
        await assertColour(png('rgba', [...ORANGE, 0.5], linear), [...FROM_LINEAR, 128], what);
        await assertColour(png('rgba', [...ORANGE, 0.5], wide), [213, 115, 43, 128], what);
        await assertColour(png('rgb', ORANGE, wide), [213, 115, 43], what);
        const gamma = files.powerProfile('GRAY', 1.8);
        await assertColour(png('grey', [0.5], [files.iCCP(gamma)]), [146, 146, 146], what);
      }
    }
    const palette = await pictures.flat(24, 16, '#c8783c').png({ palette: true }).toBuffer();
    const at = palette.indexOf('PLTE') - 4;
    const end = at + 12 + palette.readUInt32BE(at);
    const put = (place: number, chunk: Buffer) =>
      Buffer.concat([palette.subarray(0, place), chunk, palette.subarray(place)]);
    await assertColour(put(at, files.gAMA(1)), FROM_LINEAR, 'gAMA before the palette');
    await assertColour(put(end, files.gAMA(1)), FROM_LINEAR, 'gAMA behind the palette');
    await assertColour(put(end, files.iCCP(p3)), [213, 115, 43], 'iCCP behind the palette');
    await assertColour(put(at, files.cICP(12, 13)), FROM_P3, 'cICP before the palette');
    await assertColour(put(end, files.cICP(12, 13)), UNCHANGED, 'cICP behind the palette');
  });

  test('keeps its colours at every size, in every format and through rungs', async () => {
    const large = { width: 2_600, height: 40 } as const;
    for (const depth of [8, 16] as const) {
      for (const [what, chunks, expected] of [
        ['linear', [files.gAMA(1)], FROM_LINEAR],
        ['Display P3', [files.iCCP(p3)], [213, 115, 43]],
        ['coded Display P3', [files.cICP(12, 13)], FROM_P3],
      ] as const) {
        for (const alpha of [false, true]) {
          const kind = alpha ? 'rgba' : 'rgb';
          const pixel = alpha ? [...ORANGE, 0.5] : ORANGE;
          const file = files.flatPng({ kind, depth, pixel, chunks, ...large });
          const shown = alpha ? [...expected, 128] : expected;
          // Scaled pixels are multiplied with their alpha in 8 bits.
          const tolerance = alpha ? 2 : 1;
          for (const width of [0, 50, 500, 2_000])
            await assertColour(file, shown, `${what} ${width}`, { width, tolerance });
          for (const rendition of await studio.renderFromRungs(file, 'png', { width: 300 }))
            assertNear(
              await middleOf(rendition),
              shown,
              alpha ? 6 : 1,
              `${depth} bits, ${what}, from a rung`,
            );
          const onWhite = expected.map((value) => (alpha ? (value + 255) / 2 : value));
          await assertColour(file, onWhite, `${what} as JPEG`, { format: 'jpeg', width: 400, tolerance: 2 });
          const { renditions } = await studio.ingest(file);
          for (const { plan, rendition } of renditions) {
            if (plan.format !== 'webp') continue;
            assertNear(await middleOf(rendition.bytes), shown, 3, `${what}, the default rendition`);
          }
        }
      }
    }
  });

  test('of 16 bits with a profile is cropped and turned as others are', async () => {
    const quad = await pictures.quad(6, 'png');
    const deep = await sharpDeep(quad, files.gAMA(1));
    for (const transform of [
      {},
      { width: 60, height: 60 },
      { width: 60, height: 60, position: 'attention' as const },
      { width: 90, height: 20, position: 'entropy' as const },
      { width: 40, height: 40, fit: 'contain' as const },
    ]) {
      const expected = await studio.render(quad, 'png', transform);
      const actual = await studio.render(deep, 'png', transform);
      const { data, info } = await sharpRaw(actual);
      const plain = await sharpRaw(expected);
      assert.deepEqual([info.width, info.height], [plain.info.width, plain.info.height]);
      if ('position' in transform) continue;
      for (const [x, y] of [
        [0.2, 0.2],
        [0.8, 0.2],
        [0.2, 0.8],
        [0.8, 0.8],
      ] as const) {
        const at = 3 * (Math.floor(y * info.height) * info.width + Math.floor(x * info.width));
        assertNear([...data.subarray(at, at + 3)], [...plain.data.subarray(at, at + 3)], 3, `${x} ${y}`);
      }
    }
  });

  test('of HDR is mapped to the range of sRGB, as Chromium does it', async () => {
    const cases: readonly (readonly [number, number, readonly number[], readonly number[]])[] = [
      [9, 16, [0, 0, 0], [0, 0, 0]],
      [9, 16, [0.3, 0.3, 0.3], [44, 44, 44]],
      [9, 16, [0.5, 0.5, 0.5], [131, 131, 131]],
      [9, 16, [0.6, 0.6, 0.6], [200, 200, 200]],
      [9, 16, [0.7, 0.7, 0.7], [240, 240, 240]],
      [9, 16, [0.75, 0.75, 0.75], [255, 255, 255]],
      [9, 16, [1, 1, 1], [255, 255, 255]],
      [9, 16, [0.75, 0.5, 0.25], [255, 0, 0]],
      [12, 16, [0.6, 0.7, 0.65], [131, 245, 193]],
      [9, 18, [0.25, 0.25, 0.25], [43, 43, 43]],
      [9, 18, [0.5, 0.5, 0.5], [99, 99, 99]],
      [9, 18, [0.75, 0.75, 0.75], [188, 188, 188]],
      [9, 18, [1, 1, 1], [255, 255, 255]],
      [9, 18, [0.75, 0.5, 0.25], [209, 89, 35]],
      [1, 18, [0.85, 0.5, 0.75], [226, 106, 180]],
    ];
    for (const [primaries, transfer, pixel, expected] of cases) {
      const chunks = [files.cICP(primaries, transfer)];
      const what = `cICP ${primaries} ${transfer}, ${pixel}`;
      for (const depth of [8, 16] as const) {
        const [grey = 0] = pixel;
        const isNeutral = pixel.every((value) => value === grey);
        // Between the points of the table, saturated colours are less exact.
        const options = { tolerance: isNeutral ? 2 : 5 };
        await assertColour(files.flatPng({ kind: 'rgb', depth, pixel, chunks }), expected, what, options);
        if (!isNeutral) continue;
        const file = files.flatPng({ kind: 'grey', depth, pixel: [grey], chunks });
        await assertColour(file, expected, `grey, ${what}`, { tolerance: 2 });
      }
    }
  });
});

/** The picture in 16 bits with this chunk. */
async function sharpDeep(png: Buffer, chunk: Buffer): Promise<Buffer> {
  const deep = await sharp(png).withMetadata({ orientation: 6 }).toColourspace('rgb16').png().toBuffer();
  return pictures.withPngChunks(deep, chunk);
}

function sharpRaw(file: Buffer) {
  return sharp(file).raw().toBuffer({ resolveWithObject: true });
}

describe('a profile', () => {
  const size = [24, 16] as const;
  const orange = () => pictures.flat(...size, '#c8783c');
  const grey = () => pictures.flat(...size, '#808080').toColourspace('b-w');

  async function jpegOf(image: Sharp): Promise<Buffer> {
    return image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
  }

  test('of grey is used for grey pixels, and ignored for RGB and CMYK', async () => {
    const linear = files.powerProfile('GRAY', 1);
    const webp = await orange().webp({ lossless: true }).toBuffer();
    await assertColour(files.withJpegProfile(await jpegOf(grey()), linear), [188, 188, 188], 'grey JPEG');
    const dark = pictures.flat(...size, '#030303').toColourspace('b-w');
    await assertColour(files.withJpegProfile(await jpegOf(dark), linear), [28, 28, 28], 'dark grey JPEG');
    for (const depth of [8, 16] as const) {
      const png = files.flatPng({ kind: 'grey', depth, pixel: [3 / 255], chunks: [files.iCCP(linear)] });
      await assertColour(png, [28, 28, 28], `dark grey PNG of ${depth} bits`);
    }
    await assertColour(files.withJpegProfile(await jpegOf(orange()), linear), UNCHANGED, 'JPEG', {
      tolerance: 2,
    });
    await assertColour(files.withWebpProfile(webp, ...size, linear), UNCHANGED, 'WebP');
    const cmyk = await jpegOf(pictures.flat(...size, '#b08878').toColourspace('cmyk'));
    const plain = await middleOf(await studio.render(cmyk, 'png'));
    await assertColour(files.withJpegProfile(cmyk, linear), plain, 'CMYK JPEG', { tolerance: 0 });
  });

  test('of RGB is used for RGB pixels, and its curve for grey pixels', async () => {
    for (const version of [2, 4]) {
      const linear = files.powerProfile('RGB ', 1, { version });
      const webp = await orange().webp({ lossless: true }).toBuffer();
      const options = { tolerance: 2 };
      await assertColour(files.withJpegProfile(await jpegOf(orange()), linear), FROM_LINEAR, 'JPEG', options);
      await assertColour(files.withWebpProfile(webp, ...size, linear), FROM_LINEAR, 'WebP');
      await assertColour(files.withJpegProfile(await jpegOf(grey()), linear), [188, 188, 188], 'grey JPEG');
      for (const depth of [8, 16] as const) {
        const chunks = [files.iCCP(linear)];
        const png = files.flatPng({ kind: 'grey', depth, pixel: [0.5], chunks });
        await assertColour(png, [188, 188, 188], `grey PNG of ${depth} bits`);
        const alpha = files.flatPng({ kind: 'grey with alpha', depth, pixel: [0.5, 0.5], chunks });
        await assertColour(alpha, [188, 188, 188, 128], `grey PNG of ${depth} bits with alpha`);
      }
    }
  });

  test('that is damaged or newer than version 4 is ignored', async () => {
    const changes: Readonly<Record<string, files.ProfileChange>> = {
      'another signature': { change: (profile) => profile.write('xxxx', 36) },
      'a size above that of the file': { change: (profile) => profile.writeUInt32BE(profile.length + 1, 0) },
      'a tag outside of it': { change: (profile) => profile.writeUInt32BE(profile.length, 136) },
      'no green curve': { change: (profile) => profile.write('xxxx', profile.indexOf('gTRC')) },
      'a negative gamma': {
        change: (profile) => profile.writeInt32BE(-65_536, profile.indexOf('para') + 12),
      },
      'another white': { change: (profile) => profile.writeUInt32BE(0x116cc, 76) },
      'another class': { change: (profile) => profile.write('link', 12) },
      'version 5': { version: 5 },
    };
    const webp = await orange().webp({ lossless: true }).toBuffer();
    const jpeg = await jpegOf(orange());
    for (const [what, change] of Object.entries(changes)) {
      const profile = files.powerProfile('RGB ', 1, change);
      const options = { tolerance: 2 };
      await assertColour(files.withJpegProfile(jpeg, profile), UNCHANGED, `${what}, JPEG`, options);
      await assertColour(files.withWebpProfile(webp, ...size, profile), UNCHANGED, `${what}, WebP`);
      for (const depth of [8, 16] as const)
        await assertColour(
          files.flatPng({ kind: 'rgb', depth, pixel: ORANGE, chunks: [files.iCCP(profile)] }),
          UNCHANGED,
          `${what}, PNG of ${depth} bits`,
        );
    }
  });

  test('in several segments of a JPEG is used in any order, but only if it is whole', async () => {
    const jpeg = await jpegOf(orange());
    const linear = files.powerProfile('RGB ', 1);
    const put = (order: (parts: Buffer[]) => Buffer[]) =>
      files.withJpegProfile(jpeg, linear, { partBytes: 150, order });
    const options = { tolerance: 2 };
    await assertColour(
      put((parts) => parts.toReversed()),
      FROM_LINEAR,
      'reversed',
      options,
    );
    await assertColour(
      put((parts) => parts.slice(1)),
      UNCHANGED,
      'without the first',
      options,
    );
    await assertColour(
      put((parts) => parts.slice(0, -1)),
      UNCHANGED,
      'without the last',
      options,
    );
    await assertColour(
      put((parts) => [...parts, ...parts]),
      UNCHANGED,
      'twice',
      options,
    );
  });
});
