import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageURL, srcset } from '@vitrine/client';

const link = 'https://images.example.com/images/V1StGXR8_Z5jdHi6B-myT';

describe('imageURL', () => {
  test('writes every parameter of a public link', () => {
    assert.equal(
      imageURL(link, {
        size: { width: 300, height: 200 },
        fit: 'contain',
        position: 'attention',
        format: 'avif',
        quality: 60,
        dpr: 1.5,
      }),
      `${link}?size=300x200&fit=contain&position=attention&format=avif&quality=60&dpr=1.5`,
    );
  });

  test('does not change a link without options', () => {
    assert.equal(imageURL(link), link);
    assert.equal(imageURL(link, { size: undefined, fit: undefined }), link);
  });

  test('accepts a size as WxH or as an object with optional sides', () => {
    assert.equal(imageURL(link, { size: '400x0' }), `${link}?size=400x0`);
    assert.equal(imageURL(link, { size: { width: 400 } }), `${link}?size=400x0`);
    assert.equal(imageURL(link, { size: { height: 400 } }), `${link}?size=0x400`);
    assert.equal(imageURL(link, { size: {} }), `${link}?size=0x0`);
  });

  test('keeps the other parameters and the fragment of a link, and accepts relative links', () => {
    assert.equal(imageURL('/images/x?size=10x10&v=2#top', { size: '20x20' }), '/images/x?size=20x20&v=2#top');
  });

  test('rejects invalid options with the name of the option and its limits', () => {
    for (const [options, message] of [
      [{ size: '400' }, /size must be of the form WxH, each side from 0 to 99999, not "400"/],
      [{ size: '0400x1' }, /size/],
      [{ size: { width: 1.5 } }, /size\.width must be a whole number from 0 to 99999, not 1\.5/],
      [{ size: { height: -1 } }, /size\.height/],
      [{ size: { width: 100_000 } }, /size\.width/],
      [{ quality: 0 }, /quality must be a whole number from 1 to 100, not 0/],
      [{ quality: 101 }, /quality/],
      [{ dpr: 4 }, /dpr must be a number from 1 to 3, not 4/],
      [{ dpr: Number.NaN }, /dpr/],
    ] as const) {
      assert.throws(() => imageURL(link, options), { name: 'RangeError', message });
    }
  });
});

describe('srcset', () => {
  test('lists widths in the proportions of the image', () => {
    assert.equal(
      srcset(link, { widths: [640, 320], format: 'webp' }),
      `${link}?size=320x0&format=webp 320w, ${link}?size=640x0&format=webp 640w`,
    );
  });

  test('lists widths with one aspect ratio', () => {
    assert.equal(
      srcset(link, { widths: [300, 600], aspectRatio: 3 / 2 }),
      `${link}?size=300x200 300w, ${link}?size=600x400 600w`,
    );
  });

  test('lists densities', () => {
    assert.equal(
      srcset(link, { size: '200x100' }),
      `${link}?size=200x100&dpr=1 1x, ${link}?size=200x100&dpr=2 2x, ${link}?size=200x100&dpr=3 3x`,
    );
    assert.equal(srcset(link, { size: { width: 50 }, dprs: [2] }), `${link}?size=50x0&dpr=2 2x`);
  });

  test('clamps widths and densities to the longest side of a rendition', () => {
    assert.equal(
      srcset(link, { widths: [1024, 3000, 4000] }),
      `${link}?size=1024x0 1024w, ${link}?size=2048x0 2048w`,
    );
    assert.equal(srcset(link, { widths: [3000], aspectRatio: 1 / 2 }), `${link}?size=1024x2048 1024w`);
    assert.equal(
      srcset(link, { size: '1000x800' }),
      `${link}?size=1000x800&dpr=1 1x, ${link}?size=1000x800&dpr=2 2x, ${link}?size=1000x800&dpr=2.04 2.04x`,
    );
    assert.equal(srcset(link, { size: '3000x10' }), `${link}?size=3000x10&dpr=1 1x`);
  });

  test('rejects empty lists and values that are out of range', () => {
    assert.throws(() => srcset(link, { widths: [] }), /widths must not be empty/);
    assert.throws(() => srcset(link, { size: '1x1', dprs: [] }), /dprs must not be empty/);
    assert.throws(() => srcset(link, { widths: [0] }), /widths must be a whole number from 1/);
    assert.throws(() => srcset(link, { widths: [10], aspectRatio: 0 }), /aspectRatio/);
    assert.throws(() => srcset(link, { size: '1x1', dprs: [5] }), /dprs must be a number from 1 to 3/);
  });
});
