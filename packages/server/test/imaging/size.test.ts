/**
 * The grammar of sizes, and that the schemas and the ladder use its numbers. The tests of the client compare
 * the limits of its links with the schemas.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DeliveryQuery } from '../../src/http/delivery/schemas.ts';
import { defaultPlans } from '../../src/imaging/ladder.ts';
import {
  DEFAULT_SIZE,
  MAX_REQUESTED_SIDE,
  MAX_SIDE,
  parseSize,
  SIZE_FORM,
  writeSize,
} from '../../src/imaging/size.ts';

const side = fc.oneof(fc.integer({ min: 0, max: MAX_REQUESTED_SIDE }), fc.integer({ min: 0, max: 5 }));

const MALFORMED = [
  '',
  'x',
  '1',
  '1x',
  'x1',
  '01x1',
  '1x01',
  '00x1',
  '100000x1',
  '1x100000',
  '1X1',
  ' 1x1',
  '1x1 ',
  '1x1\n',
  '1x1x1',
  '-1x1',
  '+1x1',
  '1.0x1',
  '1e2x1',
  '1,1',
  '١x1',
  '1×1',
  '0x1f',
];

describe('a size', () => {
  test('is read as it was written, for every pair of sides from 0 to 99999', () => {
    fc.assert(
      fc.property(side, side, (width, height) => {
        assert.deepEqual(parseSize(writeSize({ width, height })), { width, height });
      }),
    );
    assert.ok(parseSize(`${MAX_REQUESTED_SIDE}x0`));
    assert.equal(parseSize(`${MAX_REQUESTED_SIDE + 1}x0`), undefined);
  });

  test('is two whole numbers with a lower-case x between them, and nothing else', () => {
    for (const text of MALFORMED) assert.equal(parseSize(text), undefined, JSON.stringify(text));
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseSize(text);
        if (parsed !== undefined) assert.equal(writeSize(parsed), text);
      }),
    );
  });
});

describe('the numbers of sizes', () => {
  test('are 400 x 400 by default, 2048 for a rendition and 99999 for a request', () => {
    assert.deepEqual(
      [DEFAULT_SIZE, MAX_SIDE, MAX_REQUESTED_SIDE],
      [{ width: 400, height: 400 }, 2_048, 99_999],
    );
    assert.equal(SIZE_FORM, 'of the form WxH, each a whole number from 0 to 99999');
  });

  test('are those of the schema of a public link', () => {
    const size = DeliveryQuery.properties.size as {
      default?: string;
      description?: string;
      pattern?: string;
    };
    assert.equal(size.default, writeSize(DEFAULT_SIZE));
    assert.match(size.description ?? '', new RegExp(`capped at ${MAX_SIDE}\\b`));
    for (const text of MALFORMED) assert.equal(new RegExp(size.pattern ?? '').test(text), false, text);
  });

  test('are those of the renditions that are made at upload', () => {
    const original = { format: 'jpeg', width: 900, height: 900, frames: 1, transparent: false } as const;
    for (const { width, height } of defaultPlans(original)) assert.deepEqual({ width, height }, DEFAULT_SIZE);
  });
});
