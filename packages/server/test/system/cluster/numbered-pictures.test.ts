import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { createNumberedPictures, MAX_NUMBER, readNumber } from './numbered-pictures.ts';

const pictures = createNumberedPictures();

test('a rendition shows the number of its picture, in every format and size', async () => {
  for (const number of [0, 1, 2, 3, 4_711, 65_536, MAX_NUMBER]) {
    const { bytes, digest } = pictures.get(number);
    assert.equal(pictures.get(number).digest, digest);
    assert.equal(await readNumber(bytes), number);
    for (const format of ['jpeg', 'webp', 'avif', 'png'] as const) {
      const rendition = await sharp(bytes).resize(64, 64).toFormat(format, { quality: 60 }).toBuffer();
      assert.equal(await readNumber(rendition), number, format);
    }
  }
});

test('a truncated rendition is an error, and another picture has no number', async () => {
  const { bytes } = pictures.get(8);
  const jpeg = await sharp(bytes).jpeg().toBuffer();
  await assert.rejects(readNumber(jpeg.subarray(0, jpeg.length - 200)));
  const plain = sharp({ create: { width: 50, height: 50, channels: 3, background: '#fff' } });
  assert.equal(await readNumber(await plain.png().toBuffer()), undefined);
});
