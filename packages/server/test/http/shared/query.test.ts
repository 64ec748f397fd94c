import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DeliveryQuery } from '../../../src/http/delivery/schemas.ts';
import { compileQuery } from '../../../src/http/shared/query.ts';
import { ListQuery } from '../../../src/http/shared/schemas.ts';

const list = compileQuery(ListQuery);
const delivery = compileQuery(DeliveryQuery);
const refusal = (check: typeof list, query: Record<string, unknown>) => {
  const result = check(query);
  return 'error' in result ? result.error.message : undefined;
};

describe('the query of a list', () => {
  test('accepts whole numbers', () => {
    assert.deepEqual(list({ skip: '60', count: '20' }), { value: { skip: 60, count: 20 } });
    assert.deepEqual(list({}), { value: {} });
  });

  test('refuses other values and names the parameter and its limit', () => {
    for (const text of ['', '-1', '+1', '1.0', '1e2', '0x10', ' 1', 'abc', '１', 'NaN']) {
      assert.equal(refusal(list, { skip: text }), 'skip must be a whole number from 0', text);
      assert.equal(refusal(list, { count: text }), 'count must be a whole number from 1', text);
    }
    assert.equal(refusal(list, { count: '0' }), 'count must be a whole number from 1');
  });

  test('refuses a parameter that is given twice', () => {
    assert.equal(refusal(list, { skip: ['1', '1'] }), 'skip must be given once');
  });

  test('ignores unknown parameters', () => {
    assert.deepEqual(list({ sort: 'x', __proto__: null, constructor: '1' }), { value: {} });
  });

  test('accepts digits only', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(refusal(list, { skip: text }) === undefined, /^\d+$/.test(text));
      }),
    );
  });
});

describe('the query of a delivery', () => {
  test('names the values of a parameter with fixed values', () => {
    assert.equal(refusal(delivery, { fit: 'fill' }), 'fit must be one of cover, contain');
    assert.equal(refusal(delivery, { format: 'gif' }), 'format must be one of webp, jpeg, png, avif');
    assert.equal(
      refusal(delivery, { position: 'top' }),
      'position must be one of center, attention, entropy, focal',
    );
  });

  test('names the range of a number', () => {
    assert.equal(refusal(delivery, { quality: '0' }), 'quality must be a whole number from 1 to 100');
    for (const quality of ['101', '80.0', '80.5', '8e1', '-1', '+80', '', ' 80', 'high', 'NaN']) {
      assert.equal(
        refusal(delivery, { quality }),
        'quality must be a whole number from 1 to 100',
        `quality=${quality}`,
      );
    }
  });

  test('accepts a dpr as browsers report it, with any number of digits', () => {
    for (const [text, dpr] of [
      ['1', 1],
      ['1.5', 1.5],
      ['2.0', 2],
      ['01.50', 1.5],
      ['1.100000023841858', 1.100000023841858],
      ['0.8999999761581421', 0.8999999761581421],
      [`1.${'3'.repeat(400)}`, 4 / 3],
      ['4', 4],
    ] as const) {
      assert.deepEqual(delivery({ dpr: text }), { value: { dpr } }, text);
    }
    assert.equal(refusal(delivery, { dpr: '9'.repeat(400) }), undefined);
    assert.equal(refusal(delivery, { dpr: `0.${'0'.repeat(400)}1` }), undefined);
  });

  test('refuses a dpr that is no positive decimal number', () => {
    for (const dpr of [
      ...['', '0', '0.0', '-0', '-1', '+1', '-0.5', 'NaN', 'Infinity', '-Infinity', 'abc', 'null'],
      ...['undefined', '1,5', '.5', '2.', '1e0', '2E0', '0x2', ' 2', '2 ', '2x', '1.2.3', '２', '%'],
    ]) {
      assert.equal(
        refusal(delivery, { dpr }),
        'dpr must be a decimal number above 0, such as 1.5',
        `dpr=${dpr}`,
      );
    }
    assert.equal(refusal(delivery, { dpr: ['1', '2'] }), 'dpr must be given once');
  });

  test('names the form of a size', () => {
    for (const size of [
      '',
      '400',
      '400X400',
      '0400x400',
      '-1x5',
      '400x',
      '400x400x1',
      '100000x1',
      '400x400 ',
      '4e2x1',
    ]) {
      assert.match(refusal(delivery, { size }) ?? '', /^size must be of the form WxH/, size);
    }
    assert.deepEqual(delivery({ size: '0x99999' }), { value: { size: '0x99999' } });
  });
});
