/** Renditions of graphics: flat colours stay, and no rendition is heavier than it needs to be. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import type { OutputFormat } from '../../src/image.ts';
import { planKey, planRendition, type Transform } from '../../src/imaging/plan.ts';
import { createPool, type Pool } from '../../src/imaging/pool/pool.ts';
import type { Inspection } from '../../src/imaging/processor.ts';
import * as pictures from '../support/pictures.ts';

const RED = [214, 0, 28] as const;

/** Draws SVG elements on a canvas of 300 x 200 units. */
function draw(width: number, elements: string, background = '#fff'): Sharp {
  const rectangle = background === 'none' ? '' : `<rect width="300" height="200" fill="${background}"/>`;
  return sharp(
    Buffer.from(
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${(width * 2) / 3}" viewBox="0 0 300 200">${rectangle}${elements}</svg>`,
    ),
  );
}

const LOGO = `<circle cx="70" cy="100" r="50" fill="rgb(${RED})"/><path d="M50 80h40v40h-40z" fill="#fff"/>
  <path d="M140 60h20v80h-20zM180 60h20v80h-20zM220 60l40 80h-24z" fill="rgb(${RED})"/>`;
const CHART = Array.from({ length: 12 }, (_, i) => {
  const height = 30 + ((i * 53) % 130);
  return `<rect x="${10 + i * 24}" y="${190 - height}" width="16" height="${height}" fill="hsl(${i * 29},70%,50%)"/>`;
}).join('');
const LINES = Array.from(
  { length: 60 },
  (_, i) =>
    `<path d="M${(i * 37) % 300} ${(i * 61) % 200}l${(i * 17) % 90} ${(i * 29) % 70}" stroke="#123"/>`,
).join('');

/** Panels and many small curves, for which a palette needs more bytes than a lossy encoding. */
const SCREEN = Array.from({ length: 24 }, (_, i) => {
  const top = 4 + Math.floor(i / 3) * 24;
  const left = 4 + (i % 3) * 98;
  const signs = Array.from({ length: 10 }, (_, sign) => {
    const start = `${left + 34 + sign * 5.8} ${top + 4 + ((i * 3 + sign * sign) % 11)}`;
    const bend = (i * 7 + sign * 5) % 9;
    const colour = `hsl(${(i * 41 + sign * 97) % 360},60%,${40 + ((sign * 13) % 40)}%)`;
    const stroke = `stroke="${colour}" stroke-width="${0.4 + ((i + sign) % 5) * 0.2}" fill="none"`;
    return `<path d="M${start}q${bend} ${3 + bend} 5.8 ${bend - 2}" ${stroke}/>`;
  });
  return `<rect x="${left}" y="${top}" width="94" height="20" fill="#252932"/><rect x="${left + 3}" y="${top + 3}" width="26" height="14" fill="hsl(${(i * 67) % 360},60%,55%)"/>${signs.join('')}`;
}).join('');

const BALLOONS = Array.from({ length: 14 }, (_, i) => {
  const [x, y, r] = [20 + ((i * 47) % 260), 20 + ((i * 71) % 160), 12 + ((i * 5) % 22)];
  return `<circle cx="${x}" cy="${y}" r="${r}" fill="hsl(${(i * 67) % 360},75%,${35 + ((i * 7) % 30)}%)"/>
    <path d="M${x} ${y + r}q8 ${r} -4 ${r * 2}" stroke="hsl(${i * 31},40%,40%)" fill="none"/>`;
}).join('');

/** A page of small print in black and white: lines of signs that are 12 x 18 pixels. */
function page(width: number, height: number): Buffer {
  const pixels = Buffer.alloc(width * height, 255);
  let state = 1;
  const next = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  for (let top = 60; top + 60 < height; top += 26)
    for (let left = 60; left + 60 < width; left += 12) {
      if (next() < 0.15) continue;
      for (let part = 0; part < 30; part += 1) {
        if (next() < 0.55) continue;
        const [x, y] = [left + (part % 5) * 2, top + Math.floor(part / 5) * 3];
        for (let row = y; row < y + 3; row += 1) pixels.fill(0, row * width + x, row * width + x + 2);
      }
    }
  return pixels;
}

/** Graphics of every kind that is uploaded, without loss. */
const GRAPHICS: Readonly<Record<string, () => Promise<Buffer>>> = {
  'a logo': () => draw(600, LOGO).png({ compressionLevel: 9 }).toBuffer(),
  'a logo with a palette': () => draw(600, LOGO).png({ palette: true, effort: 10 }).toBuffer(),
  'a transparent logo': () => draw(600, LOGO, 'none').png({ compressionLevel: 9 }).toBuffer(),
  'a chart': () => draw(900, CHART).png({ compressionLevel: 9 }).toBuffer(),
  'a line drawing': () => draw(900, LINES).greyscale().png({ compressionLevel: 9 }).toBuffer(),
  'a scan of one bit': () =>
    draw(900, LINES).greyscale().threshold(128).png({ palette: true, colours: 2 }).toBuffer(),
  'a drawing on a dark page': () => draw(900, CHART, '#101418').png({ compressionLevel: 9 }).toBuffer(),
  'a lossless WebP': () => draw(600, LOGO).webp({ lossless: true }).toBuffer(),
};

describe('a graphic', { timeout: 300_000 }, () => {
  let folder: string;
  let pool: Pool;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-graphics-'));
    pool = createPool({ size: 2, deadlineMs: 120_000, maxWaitMs: { render: 120_000 } });
  });
  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  let files = 0;
  async function ingest(bytes: Buffer): Promise<{ path: string; original: Inspection }> {
    files += 1;
    const path = join(folder, String(files));
    await writeFile(path, bytes);
    const { inspection } = await pool.ingest(path, undefined, bytes.length);
    return { path, original: inspection };
  }

  async function render(
    { path, original }: { path: string; original: Inspection },
    width: number,
    format: OutputFormat,
  ): Promise<Buffer> {
    const transform: Transform = { width, height: 0, fit: 'cover', position: 'center', dpr: 1 };
    const { bytes } = await pool.render(path, planRendition(transform, original, format), {
      source: original,
    });
    return Buffer.from(bytes);
  }

  for (const [name, make] of Object.entries(GRAPHICS)) {
    test(`${name} is a graphic, and keeps its pixels and its weight at its own size`, async () => {
      const bytes = await make();
      const stored = await ingest(bytes);
      assert.equal(stored.original.analysis?.content, 'graphic');
      const pixels = await visiblePixels(bytes);
      // No exact PNG is as light as lossless WebP.
      const formats = stored.original.format === 'png' ? (['webp', 'png'] as const) : (['webp'] as const);
      for (const format of formats) {
        const rendition = await render(stored, stored.original.width, format);
        assert.ok(pixels.equals(await visiblePixels(rendition)), format);
        // Another version of zlib may need a few bytes more.
        assert.ok(
          rendition.length <= bytes.length * 1.01,
          `${format}: ${rendition.length} bytes, the original has ${bytes.length}`,
        );
      }
    });

    test(`${name} is at smaller sizes about as light as the lighter of lossless and lossy`, async () => {
      const stored = await ingest(await make());
      for (const width of [400, 250]) {
        const png = await rgbPixels(stored, width);
        const lossless = await png().webp({ lossless: true, effort: 4 }).toBuffer();
        const lossy = await png().webp({ quality: 80, effort: 2 }).toBuffer();
        const rendition = await render(stored, width, 'webp');
        const limit = 1.25 * Math.min(lossless.length, lossy.length);
        assert.ok(rendition.length <= limit, `${width}: ${rendition.length} bytes, at most ${limit}`);
        const paletteLimit = (await png().png({ compressionLevel: 9 }).toBuffer()).length;
        assert.ok((await render(stored, width, 'png')).length <= paletteLimit);
      }
    });
  }

  /** The scaled pixels without an encoder: PNG of a photograph is lossless. */
  async function rgbPixels(
    stored: { path: string; original: Inspection },
    width: number,
  ): Promise<() => Sharp> {
    const { path, original } = stored;
    const transform: Transform = { width, height: 0, fit: 'cover', position: 'center', dpr: 1 };
    const plan = { ...planRendition(transform, original, 'png'), content: 'photo' } as const;
    const { bytes } = await pool.render(path, plan, { source: original });
    return () => sharp(bytes);
  }

  test('keeps flat colours within 1 at every size, and as WebP, PNG and JPEG of chroma 4:4:4', async () => {
    const stored = await ingest(await (GRAPHICS['a logo'] ?? assert.fail())());
    for (const width of [600, 400, 300, 150]) {
      for (const format of ['webp', 'png'] as const) {
        const image = await render(stored, width, format);
        const { data, info } = await sharp(image).removeAlpha().raw().toBuffer({ resolveWithObject: true });
        const at = (x: number, y: number) => {
          const place = Math.floor(y * info.height) * info.width + Math.floor(x * info.width);
          return [...data.subarray(place * 3, place * 3 + 3)];
        };
        for (const [point, colour] of [
          [[0.5, 0.5], RED],
          [[0.63, 0.5], RED],
          [
            [0.05, 0.05],
            [255, 255, 255],
          ],
          [
            [0.23, 0.5],
            [255, 255, 255],
          ],
        ] as const) {
          const shown = at(point[0], point[1]);
          const error = Math.max(...shown.map((value, i) => Math.abs(value - (colour[i] ?? 0))));
          assert.ok(error <= 1, `${format} ${width}: ${shown} at ${point}, not ${colour}`);
        }
      }
    }
    assert.equal((await sharp(await render(stored, 400, 'jpeg')).metadata()).chromaSubsampling, '4:4:4');
  });

  test('keeps the flat colours of a screen, although a lossy rendition would be lighter', async () => {
    const stored = await ingest(await draw(1_200, SCREEN, '#1c1f26').png({ compressionLevel: 9 }).toBuffer());
    assert.equal(stored.original.analysis?.content, 'graphic');
    for (const width of [420, 400, 380]) {
      const exact = await rgbPixels(stored, width);
      const lossy = await exact().webp({ quality: 80, effort: 2, smartSubsample: true }).toBuffer();
      const rendition = await render(stored, width, 'webp');
      const ratio = rendition.length / lossy.length;
      assert.ok(ratio > 1.25 && ratio <= 2.5, `${width}: ${ratio} times the bytes`);
      const wanted = await exact().removeAlpha().raw().toBuffer();
      assert.ok((await shareOfFlatOff(wanted, lossy, width)) > 0.05, `${width}: lossy keeps the colours`);
      assert.equal(await shareOfFlatOff(wanted, rendition, width), 0);
    }
  });

  test('keeps the flat colours of smooth curves in many colours, at its own size and at smaller ones', async () => {
    const stored = await ingest(await draw(600, BALLOONS).png({ compressionLevel: 9 }).toBuffer());
    assert.equal(stored.original.analysis?.content, 'graphic');
    for (const width of [600, 400, 266, 200]) {
      const exact = await rgbPixels(stored, width);
      const wanted = await exact().removeAlpha().raw().toBuffer();
      assert.equal(await shareOfFlatOff(wanted, await render(stored, width, 'webp'), width), 0, `${width}`);
    }
  });

  test('keeps flat colours beside a photograph', async () => {
    const page = draw(1_200, SCREEN, '#1c1f26');
    const inset = await pictures.photo({ width: 240, height: 240 }).png().toBuffer();
    const bytes = await page
      .composite([{ input: inset, left: 940, top: 540 }])
      .png()
      .toBuffer();
    const stored = await ingest(bytes);
    assert.equal(stored.original.analysis?.content, 'graphic');
    for (const width of [1_200, 800]) {
      const exact = await rgbPixels(stored, width);
      const wanted = await exact().removeAlpha().raw().toBuffer();
      const rendition = await render(stored, width, 'webp');
      assert.ok(rendition.length <= bytes.length);
      assert.equal(await shareOfFlatOff(wanted, rendition, width), 0, `${width}`);
    }
  });

  test('is recognised by its own pixels, also if its ladder has only smaller ones', async () => {
    for (const [width, height] of [
      [1_240, 1_754],
      [2_480, 3_508],
    ] as const) {
      const bytes = await sharp(page(width, height), { raw: { width, height, channels: 1 } })
        .png({ palette: true, colours: 2, compressionLevel: 9 })
        .toBuffer();
      const stored = await ingest(bytes);
      assert.equal(stored.original.analysis?.content, 'graphic');
      if (width > 2_048) continue;
      for (const format of ['webp', 'png'] as const) {
        const rendition = await render(stored, width, format);
        assert.ok(rendition.length <= bytes.length, `${format}: ${rendition.length}, not ${bytes.length}`);
      }
    }
  });

  test('has other plan keys than a photograph, and plans without an analysis are those of a photograph', async () => {
    const { original } = await ingest(await draw(600, LOGO).png().toBuffer());
    const transform: Transform = { width: 90, height: 60, fit: 'cover', position: 'center', dpr: 1 };
    const { analysis = assert.fail(), ...unknown } = original;
    const keyOf = (source: Inspection) => planKey(planRendition(transform, source, 'webp'));
    const photo = { ...original, analysis: { ...analysis, content: 'photo' as const } };
    assert.notEqual(keyOf(original), keyOf(photo));
    assert.equal(keyOf(unknown), keyOf(photo));
  });
});

describe('a photograph', { timeout: 120_000 }, () => {
  test('keeps the encoders and the bytes of a plain encode', async () => {
    const pool = createPool({ size: 1 });
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-photo-'));
    try {
      const path = join(folder, 'photo');
      const pixels = pictures.photo({ width: 900, height: 600 });
      await writeFile(path, await pixels.png().toBuffer());
      const { inspection } = await pool.ingest(path);
      assert.equal(inspection.analysis?.content, 'photo');
      const expected = {
        webp: await sharp(path).webp({ quality: 80, effort: 2 }).toBuffer(),
        jpeg: await sharp(path).jpeg({ quality: 82 }).toBuffer(),
      };
      for (const [format, bytes] of Object.entries(expected)) {
        const transform: Transform = { width: 0, height: 0, fit: 'cover', position: 'center', dpr: 1 };
        const plan = planRendition(transform, inspection, format as OutputFormat);
        assert.ok(bytes.equals((await pool.render(path, plan)).bytes), format);
      }
    } finally {
      await pool.close();
      await rm(folder, { recursive: true });
    }
  });
});

/** RGBA values. Transparent pixels have no colour. */
async function visiblePixels(bytes: Buffer): Promise<Buffer> {
  const pixels = await sharp(bytes).toColourspace('srgb').ensureAlpha().raw().toBuffer();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3] === 0) pixels.fill(0, at, at + 4);
  return pixels;
}

/** The share of the flat 8 x 8 blocks whose middle is off by more than one level. RGB values of one width. */
async function shareOfFlatOff(wanted: Buffer, encoded: Buffer, width: number): Promise<number> {
  const shown = await sharp(encoded).removeAlpha().raw().toBuffer();
  const height = wanted.length / 3 / width;
  let [flat, off] = [0, 0];
  for (let top = 0; top + 8 <= height; top += 8)
    for (let left = 0; left + 8 <= width; left += 8) {
      const at = (x: number, y: number) => ((top + y) * width + left + x) * 3;
      const colour = wanted.subarray(at(0, 0), at(1, 0));
      const row = Buffer.concat(Array.from({ length: 8 }, () => colour));
      const isFlat = [0, 1, 2, 3, 4, 5, 6, 7].every((y) => row.equals(wanted.subarray(at(0, y), at(8, y))));
      if (!isFlat) continue;
      flat += 1;
      const error = colour.map((value, channel) => Math.abs(value - (shown[at(4, 4) + channel] ?? 0)));
      if (Math.max(...error) > 1) off += 1;
    }
  return off / flat;
}
