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

  test('leaves a link alone of which nothing is asked', () => {
    assert.equal(imageURL(link), link);
    assert.equal(imageURL(link, { size: undefined, fit: undefined }), link);
  });

  test('takes sizes as the contract writes them, and sides that follow from the other', () => {
    assert.equal(imageURL(link, { size: '400x0' }), `${link}?size=400x0`);
    assert.equal(imageURL(link, { size: { width: 400 } }), `${link}?size=400x0`);
    assert.equal(imageURL(link, { size: { height: 400 } }), `${link}?size=0x400`);
    assert.equal(imageURL(link, { size: {} }), `${link}?size=0x0`);
  });

  test('keeps what the link asks for already, its fragment too, and works on relative links', () => {
    assert.equal(imageURL('/images/x?size=10x10&v=2#top', { size: '20x20' }), '/images/x?size=20x20&v=2#top');
  });

  test('refuses what the server would refuse, and names the option and its limits', () => {
    for (const [options, message] of [
      [{ size: '400' }, /size must be of the form WxH, each 0 to 99999, not "400"/],
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
  test('lists widths in proportion', () => {
    assert.equal(
      srcset(link, { widths: [640, 320], format: 'webp' }),
      `${link}?size=320x0&format=webp 320w, ${link}?size=640x0&format=webp 640w`,
    );
  });

  test('lists widths of one shape', () => {
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

  test('never promises more pixels than a rendition can have', () => {
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

  test('refuses empty sets and what is out of range', () => {
    assert.throws(() => srcset(link, { widths: [] }), /widths must not be empty/);
    assert.throws(() => srcset(link, { size: '1x1', dprs: [] }), /dprs must not be empty/);
    assert.throws(() => srcset(link, { widths: [0] }), /widths must be a whole number from 1/);
    assert.throws(() => srcset(link, { widths: [10], aspectRatio: 0 }), /aspectRatio/);
    assert.throws(() => srcset(link, { size: '1x1', dprs: [5] }), /dprs must be a number from 1 to 3/);
  });
});
