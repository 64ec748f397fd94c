/**
 * Renditions have no density and no other field of their original.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { OUTPUT_FORMATS } from '../../src/image.ts';
import * as pictures from '../support/pictures.ts';
import { openStudio, type Studio } from './studio.ts';

let studio: Studio;

before(async () => {
  studio = await openStudio();
});
after(() => studio.close());

function withJfif(jpeg: Buffer, unit: number, density: number): Buffer {
  const body = Buffer.from('JFIF\0\x01\x01\0\0\0\0\0\0\0', 'latin1');
  body.writeUInt8(unit, 7);
  body.writeUInt16BE(density, 8);
  body.writeUInt16BE(density, 10);
  return Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xe0, 0, 16]), body, jpeg.subarray(2)]);
}

function physicalSize(pixelsPerMetre: number): Buffer {
  const body = Buffer.alloc(9, 1);
  body.writeUInt32BE(pixelsPerMetre, 0);
  body.writeUInt32BE(pixelsPerMetre, 4);
  return pictures.pngChunk('pHYs', body);
}

const SIZE = { width: 80, height: 60 } as const;

describe('a rendition', () => {
  test('is the same for each density of the original, and has none', async () => {
    const jpeg = await pictures.jpeg(SIZE);
    const png = await pictures.png(SIZE);
    const photo = (density: number) => pictures.photo(SIZE).withMetadata({ density });
    const kinds: Readonly<Record<string, readonly Buffer[]>> = {
      'JFIF density': [jpeg, withJfif(jpeg, 1, 300), withJfif(jpeg, 2, 28), withJfif(jpeg, 0, 3)],
      'EXIF density in JPEG': [await photo(72).jpeg().toBuffer(), await photo(300).jpeg().toBuffer()],
      pHYs: [png, pictures.withPngChunks(png, physicalSize(11_811)), await photo(300).png().toBuffer()],
      'EXIF density in WebP': [await photo(72).webp().toBuffer(), await photo(300).webp().toBuffer()],
    };
    for (const [kind, originals] of Object.entries(kinds)) {
      for (const format of OUTPUT_FORMATS) {
        for (const transform of [{}, { width: 20, height: 20 }]) {
          const [first, ...others] = await Promise.all(
            originals.map((original) => studio.render(original, format, transform)),
          );
          for (const other of others) assert.ok(first?.equals(other), `${kind} as ${format}`);
          assert.ok(!first?.includes('pHYs') && !first?.includes('JFIF'), `${kind} as ${format}`);
        }
      }
    }
  });

  test('has only the chunks that the pixels need, also in a rendition of the ingest', async () => {
    const original = withJfif(await pictures.jpeg({ width: 500, height: 450 }), 1, 300);
    const files = [await studio.render(original, 'png', { width: 30, height: 0 })];
    const transparent = pictures.withPngChunks(
      await pictures.photo(SIZE).ensureAlpha(0.5).png().toBuffer(),
      physicalSize(11_811),
    );
    const { renditions } = await studio.ingest(transparent);
    const made = renditions.find(({ plan }) => plan.format === 'png');
    files.push(Buffer.from(made?.rendition.bytes ?? []));
    for (const file of files) {
      const types = [];
      for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at))
        types.push(file.toString('latin1', at + 4, at + 8));
      assert.deepEqual([...new Set(types)], ['IHDR', 'IDAT', 'IEND']);
    }
  });
});
