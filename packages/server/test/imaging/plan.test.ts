import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { OutputFormat } from '../../src/image.ts';
import {
  DEFAULT_QUALITY,
  type Fit,
  MAX_ANIMATION_PIXELS,
  PIPELINE_REVISION,
  type Plan,
  type PlanSource,
  planKey,
  planRendition,
  type Transform,
} from '../../src/imaging/plan.ts';
import { MAX_SIDE, parseSize } from '../../src/imaging/size.ts';

const side = fc.oneof(
  fc.integer({ min: 0, max: 99_999 }),
  fc.integer({ min: 0, max: 5 }),
  fc.integer({ min: 2_040, max: 2_056 }),
);
const transforms: fc.Arbitrary<Transform> = fc.record(
  {
    width: side,
    height: side,
    fit: fc.constantFrom<Fit>('cover', 'contain'),
    position: fc.constantFrom('center', 'attention', 'entropy'),
    dpr: fc.constantFrom(1, 1.5, 2, 3),
    quality: fc.integer({ min: 1, max: 100 }),
  },
  { requiredKeys: ['width', 'height', 'fit', 'position', 'dpr'] },
);
const pictureSide = fc.oneof(fc.integer({ min: 1, max: 30_000 }), fc.integer({ min: 1, max: 4 }));
const pictures: fc.Arbitrary<PlanSource> = fc.record({
  format: fc.constantFrom('jpeg', 'png', 'webp'),
  width: pictureSide,
  height: pictureSide,
  frames: fc.constantFrom(1, 1, 2, 30, 1_000),
  transparent: fc.boolean(),
});
const formats = fc.constantFrom<OutputFormat>('webp', 'jpeg', 'png', 'avif');

const picture = (width: number, height: number, options: Partial<PlanSource> = {}): PlanSource => ({
  format: 'jpeg',
  width,
  height,
  frames: 1,
  transparent: false,
  ...options,
});
const transformOf = (size: string, options: Partial<Transform> = {}): Transform => {
  const parsed = parseSize(size);
  assert.ok(parsed, size);
  return { ...parsed, fit: 'cover', position: 'center', dpr: 1, ...options };
};
const FOUR_BY_THREE: [number, number] = [4_000, 3_000];
const sizeOf = ({ width, height }: Plan) => `${width}x${height}`;

describe('a plan', () => {
  test('has whole sides from 1 to 2048 and a region inside the picture, for every transform and picture', () => {
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        const plan = planRendition(transform, original, format);
        for (const length of [plan.width, plan.height]) {
          assert.ok(Number.isInteger(length) && length >= 1 && length <= MAX_SIDE, String(length));
        }
        assert.ok(plan.quality >= 1 && plan.quality <= 100);
        if (plan.region === undefined) return;
        const { left, top, width, height } = plan.region;
        for (const n of [left, top, width, height]) assert.ok(Number.isInteger(n), String(n));
        assert.ok(left >= 0 && top >= 0 && width >= 1 && height >= 1);
        assert.ok(left + width <= original.width && top + height <= original.height);
      }),
      { numRuns: 2_000 },
    );
  });

  test('with both sides and cover has exactly that size, and caps each side separately without a dpr', () => {
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        fc.pre(transform.width > 0 && transform.height > 0 && transform.fit === 'cover');
        const plan = planRendition({ ...transform, dpr: 1 }, original, format);
        assert.equal(plan.width, Math.min(2_048, transform.width));
        assert.equal(plan.height, Math.min(2_048, transform.height));
      }),
    );
    assert.equal(sizeOf(planRendition(transformOf('99999x10'), picture(100, 100), 'webp')), '2048x10');
  });

  test('with a dpr has the proportions that it has without, and the largest size up to 2048', () => {
    const dprs = fc.oneof(fc.double({ min: 1, max: 3, noNaN: true }), fc.constantFrom(1, 1.5, 2, 3));
    fc.assert(
      fc.property(transforms, pictures, formats, dprs, (transform, original, format, dpr) => {
        fc.pre(transform.width > 0 && transform.height > 0 && transform.fit === 'cover');
        const single = planRendition({ ...transform, dpr: 1 }, original, format);
        const plan = planRendition({ ...transform, dpr }, original, format);
        const factor = Math.min(dpr, 2_048 / Math.max(single.width, single.height));
        assert.ok(Math.abs(plan.width - single.width * factor) <= 0.5, sizeOf(plan));
        assert.ok(Math.abs(plan.height - single.height * factor) <= 0.5, sizeOf(plan));
      }),
      { numRuns: 1_000 },
    );
  });

  for (const [size, dpr, expected, fit = 'cover', own = FOUR_BY_THREE] of [
    ['400x300', 3, '1200x900'],
    ['1600x900', 2, '2048x1152'],
    ['1600x900', 3, '2048x1152'],
    ['900x1600', 2, '1152x2048'],
    ['1200x1200', 2, '2048x2048'],
    ['2048x1', 3, '2048x1'],
    ['2000x1000', 1.100000023841858, '2048x1024'],
    ['400x300', 1.100000023841858, '440x330'],
    ['333x333', 1.5, '500x500'],
    ['1x1', 1.25, '1x1'],
    // The box is capped to 2048x1000 first, as it is without a dpr.
    ['4000x1000', 1, '2048x1000'],
    ['4000x1000', 2, '2048x1000'],
    ['99999x99999', 3, '2048x2048'],
    ['800x0', 2, '1600x1200'],
    ['1600x0', 2, '2048x1536'],
    ['0x900', 2, '2048x1536'],
    ['0x400', 3, '1600x1200'],
    ['0x0', 3, '2048x1536'],
    ['1600x900', 2, '1536x1152', 'contain'],
    ['900x1600', 2, '1152x864', 'contain'],
    ['1600x900', 1, '1200x900', 'contain'],
    ['800x0', 1, '184x2048', 'cover', [1_080, 12_000]],
    ['800x0', 2, '184x2048', 'cover', [1_080, 12_000]],
  ] as [string, number, string, Fit?, [number, number]?][]) {
    test(`of ${size} with ${fit} and dpr ${dpr} of a picture of ${own.join('x')} is ${expected}`, () => {
      assert.equal(sizeOf(planRendition(transformOf(size, { dpr, fit }), picture(...own), 'webp')), expected);
    });
  }

  test('has one key for all dprs that give the same box', () => {
    const keyOf = (size: string, dpr: number) =>
      planKey(planRendition(transformOf(size, { dpr }), picture(4_000, 3_000), 'webp'));
    assert.equal(keyOf('400x300', 1.1), keyOf('400x300', 1.100000023841858));
    assert.equal(keyOf('1600x900', 2), keyOf('1600x900', 3));
    assert.equal(keyOf('400x300', 2), keyOf('800x600', 1));
  });

  test('that keeps the proportions is off by at most one pixel on each side', () => {
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        fc.pre(transform.width === 0 || transform.height === 0 || transform.fit === 'contain');
        const plan = planRendition(transform, original, format);
        // One scale must exist that gives both sides within half a pixel.
        const low = Math.max((plan.width - 0.5) / original.width, (plan.height - 0.5) / original.height);
        const high = Math.min((plan.width + 0.5) / original.width, (plan.height + 0.5) / original.height);
        const clampedToOne = plan.width === 1 || plan.height === 1;
        assert.ok(
          low <= high + 1e-9 || clampedToOne,
          `${sizeOf(plan)} of ${original.width}x${original.height}`,
        );
        assert.equal(plan.fit, 'fill');
        assert.equal(plan.region, undefined);
      }),
      { numRuns: 2_000 },
    );
  });

  test('with one side keeps the proportions, enlarges, and keeps both sides within 2048', () => {
    assert.equal(sizeOf(planRendition(transformOf('100x0'), picture(400, 200), 'webp')), '100x50');
    assert.equal(sizeOf(planRendition(transformOf('0x100'), picture(400, 200), 'webp')), '200x100');
    assert.equal(sizeOf(planRendition(transformOf('800x0'), picture(400, 200), 'webp')), '800x400');
    assert.equal(sizeOf(planRendition(transformOf('2048x0'), picture(200, 400), 'webp')), '1024x2048');
    assert.equal(sizeOf(planRendition(transformOf('0x500'), picture(30_000, 1), 'webp')), '2048x1');
    assert.equal(
      sizeOf(planRendition(transformOf('100x0', { dpr: 2 }), picture(400, 200), 'webp')),
      '200x100',
    );
  });

  test('of 0x0 has the size of the picture, at most 2048 on each side, and never enlarges', () => {
    assert.equal(sizeOf(planRendition(transformOf('0x0'), picture(400, 200), 'webp')), '400x200');
    assert.equal(sizeOf(planRendition(transformOf('0x0', { dpr: 3 }), picture(400, 200), 'webp')), '400x200');
    assert.equal(sizeOf(planRendition(transformOf('0x0'), picture(4_096, 2_048), 'webp')), '2048x1024');
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        const plan = planRendition({ ...transform, width: 0, height: 0 }, original, format);
        assert.ok(plan.width <= original.width && plan.height <= original.height);
      }),
    );
  });

  test('with contain fits into the box without padding, and enlarges', () => {
    const contain = (size: string, original: PlanSource) =>
      sizeOf(planRendition(transformOf(size, { fit: 'contain' }), original, 'webp'));
    assert.equal(contain('400x400', picture(400, 200)), '400x200');
    assert.equal(contain('100x400', picture(400, 200)), '100x50');
    assert.equal(contain('800x800', picture(400, 200)), '800x400');
    assert.equal(contain('10x10', picture(30_000, 10)), '10x1');
  });

  test('takes a region only if the scaled picture would be too long for libvips', () => {
    assert.equal(planRendition(transformOf('2048x2048'), picture(6_000, 4_000), 'webp').region, undefined);
    assert.equal(planRendition(transformOf('2048x2048'), picture(30_000, 2_048), 'webp').region, undefined);
    const plan = planRendition(transformOf('2048x2048'), picture(1, 30_000), 'webp');
    assert.deepEqual(plan.region, { left: 0, top: 14_999, width: 1, height: 1 });
    assert.equal(plan.fit, 'fill');
    const wide = planRendition(transformOf('2000x1000'), picture(30_000, 100), 'webp');
    assert.deepEqual(wide.region, { left: 14_900, top: 0, width: 200, height: 100 });
  });

  test('has the requested quality or the default of its format, and ignores quality for PNG', () => {
    for (const format of ['webp', 'jpeg', 'avif'] as const) {
      assert.equal(
        planRendition(transformOf('9x9'), picture(90, 90), format).quality,
        DEFAULT_QUALITY[format],
      );
      assert.equal(planRendition(transformOf('9x9', { quality: 7 }), picture(90, 90), format).quality, 7);
    }
    assert.equal(
      planRendition(transformOf('9x9', { quality: 7 }), picture(90, 90), 'png').quality,
      DEFAULT_QUALITY.png,
    );
  });

  test('keeps all frames for WebP up to 100 million pixels: the output and two thirds of the input', () => {
    const animated = (size: string, own: [number, number], frames: number, format: OutputFormat = 'webp') =>
      planRendition(transformOf(size), picture(...own, { format: 'webp', frames }), format).animated;
    assert.equal(MAX_ANIMATION_PIXELS, 100_000_000);
    // 2 500 x (24 000 + 16 000) is exactly the limit.
    assert.equal(animated('160x150', [160, 150], 2_500), true);
    assert.equal(animated('160x150', [160, 150], 2_501), false);
    // 30 x (1 + 2/3 x 3.5) million is exactly the limit.
    assert.equal(animated('1000x1000', [2_000, 1_750], 30), true);
    assert.equal(animated('1001x1000', [2_000, 1_750], 30), false);
    assert.equal(animated('100x100', [2_000, 1_000], 1), false);
    assert.equal(animated('100x100', [2_000, 1_000], 5, 'png'), false);
  });

  test('flattens a transparent picture for JPEG only', () => {
    const flattened = (transparent: boolean, format: OutputFormat) =>
      planRendition(transformOf('9x9'), picture(90, 90, { format: 'png', transparent }), format).flatten;
    assert.equal(flattened(true, 'jpeg'), true);
    assert.equal(flattened(false, 'jpeg'), false);
    assert.equal(flattened(true, 'webp'), false);
  });

  test('has a position only for a crop of a still picture', () => {
    const position = (size: string, options: Partial<PlanSource> = {}, transform: Partial<Transform> = {}) =>
      planRendition(
        transformOf(size, { position: 'attention', ...transform }),
        picture(400, 200, options),
        'webp',
      ).position;
    assert.equal(position('100x100'), 'attention');
    assert.equal(position('100x50'), 'center');
    assert.equal(position('100x0'), 'center');
    assert.equal(position('100x100', {}, { fit: 'contain' }), 'center');
    assert.equal(position('100x100', { format: 'webp', frames: 4 }), 'center');
  });
});

describe('a focal point', () => {
  const WIDE = picture(400, 200);
  const crop = (x: number, y: number, size = '100x100', original = WIDE) => {
    const { scaled, region } = planRendition(transformOf(size, { position: 'focal' }), original, 'webp', {
      x,
      y,
    });
    const { left, top } = scaled ?? region ?? assert.fail('the plan has no crop');
    return [left, top];
  };

  test('is in the middle of the crop, or as near as the edges of the picture allow', () => {
    assert.deepEqual(crop(0.5, 0.5), [50, 0]);
    assert.deepEqual(crop(0.25, 0.9), [0, 0]);
    assert.deepEqual(crop(0.3, 0), [10, 0]);
    assert.deepEqual(crop(0, 0), [0, 0]);
    assert.deepEqual(crop(1, 1), [100, 0]);
    assert.deepEqual(crop(0.5, 0.25, '400x100'), [0, 0]);
    assert.deepEqual(crop(0.5, 0.4, '400x100'), [0, 30]);
  });

  test('is in the middle of a region too', () => {
    assert.deepEqual(crop(0.5, 0.75, '2048x2048', picture(1, 30_000)), [0, 22_499]);
    assert.deepEqual(crop(0.5, 1, '2048x2048', picture(1, 30_000)), [0, 29_999]);
  });

  test('that is absent or in the middle gives the same key as position=center', () => {
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        const centred = planKey(planRendition({ ...transform, position: 'center' }, original, format));
        const focal = { ...transform, position: 'focal' } as const;
        assert.equal(planKey(planRendition(focal, original, format)), centred);
        assert.equal(planKey(planRendition(focal, original, format, { x: 0.5, y: 0.5 })), centred);
      }),
    );
  });

  test('never moves the crop outside of the picture, and different crops have different keys', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(transforms, pictures, formats, share, share, (transform, original, format, x, y) => {
        const focal = { ...transform, position: 'focal' } as const;
        const plan = planRendition(focal, original, format, { x, y });
        const whole = plan.scaled ?? (plan.region ? original : undefined);
        const part = plan.scaled ? { ...plan.scaled, width: plan.width, height: plan.height } : plan.region;
        if (whole && part) {
          assert.ok(part.left >= 0 && part.left + part.width <= whole.width, JSON.stringify(plan));
          assert.ok(part.top >= 0 && part.top + part.height <= whole.height, JSON.stringify(plan));
        }
        const centred = planRendition({ ...focal, position: 'center' }, original, format);
        const same = JSON.stringify(plan) === JSON.stringify(centred);
        assert.equal(planKey(plan) === planKey(centred), same);
      }),
    );
  });

  test('has no effect with other positions, and without a crop', () => {
    const point = { x: 0.1, y: 0.1 };
    for (const position of ['attention', 'entropy', 'center'] as const) {
      const transform = transformOf('100x100', { position });
      assert.deepEqual(planRendition(transform, WIDE, 'webp', point), planRendition(transform, WIDE, 'webp'));
    }
    assert.equal(planRendition(transformOf('100x0', { position: 'focal' }), WIDE, 'webp', point).fit, 'fill');
  });
});

describe('the key of a plan', () => {
  test('starts with the pipeline revision, and has only characters that are safe in file names and headers', () => {
    fc.assert(
      fc.property(transforms, pictures, formats, (transform, original, format) => {
        const key = planKey(planRendition(transform, original, format));
        assert.match(key, /^[a-z0-9.,-]+$/);
        assert.ok(key.startsWith(`${PIPELINE_REVISION}.`));
      }),
    );
  });

  test('is equal for equal plans, and only for them', () => {
    fc.assert(
      fc.property(
        transforms,
        transforms,
        pictures,
        formats,
        formats,
        fc.boolean(),
        (first, second, original, format, otherFormat, same) => {
          const a = planRendition(first, original, format);
          const b = planRendition(same ? first : second, original, otherFormat);
          assert.equal(planKey(a) === planKey(b), JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('is equal for requests that give the same rendition', () => {
    const key = (size: string, options: Partial<Transform>, format: OutputFormat) =>
      planKey(planRendition(transformOf(size, options), picture(400, 200), format));
    assert.equal(key('9999x2048', {}, 'webp'), key('2048x5000', {}, 'webp'));
    assert.equal(key('200x100', { position: 'entropy' }, 'webp'), key('100x50', { dpr: 2 }, 'webp'));
    assert.equal(key('100x100', { quality: 5 }, 'png'), key('100x100', { quality: 95 }, 'png'));
    assert.notEqual(key('100x100', { quality: 5 }, 'webp'), key('100x100', { quality: 95 }, 'webp'));
    assert.notEqual(key('100x100', { position: 'entropy' }, 'webp'), key('100x100', {}, 'webp'));
  });
});

function sorted(plan: Plan): unknown {
  return Object.fromEntries(Object.entries(plan).sort(([a], [b]) => (a < b ? -1 : 1)));
}
