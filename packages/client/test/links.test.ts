/**
 * Tests the link functions, and compares their limits with those of the server.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { type DeliveryParameters, imageURL, srcset } from '@vitrine/client';
import { planRendition, type Transform } from '../../server/src/imaging/plan.ts';
import { MAX_DPR, MIN_DPR } from '../../server/src/imaging/size.ts';

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

  test('takes each density that a browser reports, as the nearest from 1 to 3', () => {
    for (const [reported, dpr] of [
      [1.100000023841858, '1.100000023841858'],
      [0.8999999761581421, '1'],
      [4, '3'],
      [Number.MIN_VALUE, '1'],
    ] as const) {
      assert.equal(imageURL(link, { dpr: reported }), `${link}?dpr=${dpr}`);
    }
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
      [{ dpr: 0 }, /dpr must be a number above 0, not 0/],
      [{ dpr: -1 }, /dpr/],
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

/** True only if both types are identical. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_A, _B>(_is: Same<_A, _B>) => undefined;

/** A parameter schema of docs/openapi.json, which is generated from the constants of the server. */
interface ParameterSchema {
  readonly pattern?: string;
  readonly default?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

describe('the limits of the link functions equal those of the server', () => {
  let schemas: ReadonlyMap<string, ParameterSchema>;
  before(async () => {
    const text = await readFile(new URL('../../../docs/openapi.json', import.meta.url), 'utf8');
    const { parameters } = JSON.parse(text).paths['/images/{publicID}'].get as {
      parameters: readonly { name: string; schema: ParameterSchema }[];
    };
    schemas = new Map(parameters.map(({ name, schema }) => [name, schema]));
  });

  const accepts = (options: Parameters<typeof imageURL>[1]) => {
    try {
      imageURL(link, options);
      return true;
    } catch (error) {
      assert.ok(error instanceof RangeError);
      return false;
    }
  };

  test('in the grammar of a size', () => {
    const pattern = new RegExp(schemas.get('size')?.pattern ?? assert.fail('size has no pattern'));
    const valid = ['0x0', '1x0', '0x1', '400x400', '99999x99999'];
    const invalid = ['', 'x', '1', '1x', 'x1', '1x1x1', '100000x1', '1x100000', '01x1', '1x00', '-1x1'];
    const odd = ['1.5x1', '1e2x1', '1X1', ' 1x1', '1x1 ', '1x1\n', '\u0661x1', '1x1;', '+1x1'];
    for (const size of valid) assert.ok(pattern.test(size), size);
    for (const size of [...invalid, ...odd]) assert.ok(!pattern.test(size), JSON.stringify(size));
    for (const size of [...valid, ...invalid, ...odd])
      assert.equal(accepts({ size }), pattern.test(size), JSON.stringify(size));
    for (const side of [0, 1, 400, 99_999, 100_000, -1, 1.5]) {
      assert.equal(accepts({ size: { width: side } }), pattern.test(`${side}x0`), `width ${side}`);
      assert.equal(accepts({ size: { height: side } }), pattern.test(`0x${side}`), `height ${side}`);
    }
  });

  test('in the default size, which the docstring names', async () => {
    const source = await readFile(new URL('../src/links.ts', import.meta.url), 'utf8');
    const [, documented] = /Default of the server: (\S+)\./.exec(source) ?? [];
    assert.equal(documented, schemas.get('size')?.default);
  });

  test('in the range of quality', () => {
    const { minimum = Number.NaN, maximum = Number.NaN } = schemas.get('quality') ?? {};
    assert.ok(accepts({ quality: minimum }) && accepts({ quality: maximum }));
    assert.ok(!accepts({ quality: minimum - 1 }) && !accepts({ quality: maximum + 1 }));
  });

  test('in the range of dpr, to which both clamp', () => {
    assert.equal(schemas.get('dpr')?.exclusiveMinimum, 0);
    assert.ok(!accepts({ dpr: 0 }));
    assert.equal(imageURL(link, { dpr: MIN_DPR / 2 }), `${link}?dpr=${MIN_DPR}`);
    assert.equal(imageURL(link, { dpr: MAX_DPR + 1 }), `${link}?dpr=${MAX_DPR}`);
  });

  test('in the longest side of a rendition', () => {
    const transform: Transform = { width: 99_999, height: 0, fit: 'cover', position: 'center', dpr: 1 };
    const original = { format: 'jpeg', width: 10_000, height: 10, frames: 1, transparent: false } as const;
    const { width } = planRendition(transform, original, 'jpeg');
    assert.equal(srcset(link, { widths: [99_999] }), `${link}?size=${width}x0 ${width}w`);
    assert.equal(
      srcset(link, { size: { width: width / 2 }, dprs: [3] }),
      `${link}?size=${width / 2}x0&dpr=2 2x`,
    );
  });

  test('in the names of formats, fits and positions', () => {
    same<NonNullable<DeliveryParameters['format']>, Parameters<typeof planRendition>[2]>(true);
    same<NonNullable<DeliveryParameters['fit']>, Transform['fit']>(true);
    same<NonNullable<DeliveryParameters['position']>, Transform['position']>(true);
  });
});
