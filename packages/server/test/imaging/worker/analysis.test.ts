import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { thumbHashToApproximateAspectRatio, thumbHashToAverageRGBA } from 'thumbhash';
import type { Analysis } from '../../../src/image.ts';
import { createPool, type Pool } from '../../../src/imaging/pool/pool.ts';
import * as pictures from '../../support/pictures.ts';

describe('the analysis of an upload', () => {
  let folder: string;
  let pool: Pool;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-analysis-'));
    pool = createPool({ size: 1 });
  });
  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  async function analyse(bytes: Buffer): Promise<Analysis> {
    const path = join(folder, 'picture');
    await writeFile(path, bytes);
    const { inspection } = await pool.ingest(path);
    return inspection.analysis ?? assert.fail('no analysis');
  }

  test('has the colour and a thumbhash with the proportions of a flat picture', async () => {
    const { color, placeholder } = await analyse(await pictures.flat(400, 200, '#336699').png().toBuffer());
    assert.equal(color, '#336699');
    const hash = Buffer.from(placeholder, 'base64');
    assert.ok(hash.length <= 25, `${hash.length} bytes`);
    assert.ok(Math.abs(thumbHashToApproximateAspectRatio(hash) - 2) < 0.5);
    const { r, g, b, a } = thumbHashToAverageRGBA(hash);
    for (const [value, expected] of [
      [r, 0x33],
      [g, 0x66],
      [b, 0x99],
      [a, 255],
    ] as const) {
      assert.ok(Math.abs(value * 255 - expected) < 8, `${value * 255}, not ${expected}`);
    }
  });

  test('weights the colour by alpha, and is white for a picture that is fully transparent', async () => {
    const half = await sharp({ create: { width: 60, height: 60, channels: 4, background: '#0000' } })
      .composite([{ input: await pictures.flat(30, 60, '#c04020').png().toBuffer(), left: 0, top: 0 }])
      .png()
      .toBuffer();
    assert.equal((await analyse(half)).color, '#c04020');
    const clear = await sharp({ create: { width: 60, height: 60, channels: 4, background: '#1230' } })
      .png()
      .toBuffer();
    assert.equal((await analyse(clear)).color, '#ffffff');
  });

  test('is of the upright picture and of the first frame, and works for the smallest picture', async () => {
    const turned = await pictures
      .flat(400, 100, '#aa0000')
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const hash = Buffer.from((await analyse(turned)).placeholder, 'base64');
    assert.ok(thumbHashToApproximateAspectRatio(hash) < 1);
    const { bytes } = await pictures.animation(3);
    const first = await analyse(await sharp(bytes, { page: 0 }).webp({ lossless: true }).toBuffer());
    assert.equal((await analyse(bytes)).color, first.color);
    assert.equal((await analyse(await pictures.flat(1, 1, '#010203').png().toBuffer())).color, '#010203');
  });

  test('is the same for the same bytes', async () => {
    const bytes = await pictures.jpeg({ width: 1_500, height: 900 });
    assert.deepEqual(await analyse(bytes), await analyse(bytes));
  });
});
