import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseLineItems } from '../../src/catalog/line-items.ts';
import type { ViolationTree } from '../../src/validation/violations.ts';

const PRICE = { currency: 'USD', valueDecimal: '4.99' };

function item(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { name: 'Lemonade', basePrice: PRICE, quantity: 1, ...changes };
}

function errorsOf(body: Record<string, unknown>): ViolationTree | undefined {
  const { violations } = parseLineItems(body);
  return violations.any ? violations.tree : undefined;
}

describe('a set of line items', () => {
  test('is parsed as written, with every field', () => {
    const [imageID, other, productID] = [randomUUID(), randomUUID(), randomUUID()];
    const option = { name: 'Ice', quantity: 2, priceModifier: { currency: 'USD', valueDecimal: '-0.10' } };
    const body = {
      items: [
        item({ quantity: 2_147_483_647, imageIDs: [imageID, imageID], productID: productID.toUpperCase() }),
        item({ options: [{ ...option, group: 'extras', imageIDs: [other] }], imageIDs: null, productID: '' }),
      ],
    };
    const { items, references, products, violations } = parseLineItems(body);
    assert.equal(violations.any, false);
    assert.deepEqual(items, [
      { ...item({ quantity: 2_147_483_647 }), options: [], imageIDs: [imageID, imageID], productID },
      { ...item(), options: [{ ...option, group: 'extras', imageIDs: [other] }], imageIDs: [] },
    ]);
    assert.deepEqual(references, [
      { imageID, path: ['items', 0, 'imageIDs', 0] },
      { imageID, path: ['items', 0, 'imageIDs', 1] },
      { imageID: other, path: ['items', 1, 'options', 0, 'imageIDs', 0] },
    ]);
    assert.deepEqual(products, [{ productID, path: ['items', 0, 'productID'] }]);
  });

  test('is refused with all errors at once, in the shape of the request', () => {
    const body = {
      items: [
        item(),
        item({ name: '', quantity: 0, basePrice: { currency: 'USD', valueDecimal: '-1' } }),
        item({ imageIDs: [randomUUID(), 'x', 7], productID: 'y' }),
        item({
          options: [
            { name: 'Ice', quantity: 1.5, group: 'two\nlines', imageIDs: ['z'] },
            { name: 'Straw', quantity: 1, priceModifier: { currency: 'EUR', valueDecimal: '1' } },
            'Lemon',
          ],
        }),
        'tea',
      ],
    };
    const unknown = 'the account has no such image';
    assert.deepEqual(errorsOf(body), {
      items: {
        1: {
          name: 'name must not be blank',
          quantity: 'quantity must be a whole number from 1 to 2147483647',
          basePrice: { valueDecimal: 'valueDecimal must not be negative' },
        },
        2: {
          imageIDs: { 1: unknown, 2: 'imageID must be a string' },
          productID: 'the account has no such product',
        },
        3: {
          options: {
            0: {
              quantity: 'quantity must be a whole number from 1 to 2147483647',
              group: 'group must be one line: it has a line break',
              imageIDs: { 0: unknown },
            },
            1: { priceModifier: { currency: 'currency must be USD, the currency of basePrice' } },
            2: { name: 'an option must be an object' },
          },
        },
        4: { name: 'a line item must be an object' },
      },
    });
  });

  test('has at least one item, and no list exceeds its limit', () => {
    const none = { items: { 0: { name: 'items must have at least one line item' } } };
    assert.deepEqual(errorsOf({}), none);
    assert.deepEqual(errorsOf({ items: [] }), none);
    assert.deepEqual(errorsOf({ items: {} }), { items: { 0: { name: 'items must be an array' } } });
    const times = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
    const option = () => ({ name: 'Ice', quantity: 1 });
    assert.equal(errorsOf({ items: times(100, item) }), undefined);
    assert.deepEqual(errorsOf({ items: times(101, item) }), {
      items: { 100: { name: 'items must have at most 100 elements' } },
    });
    assert.deepEqual(errorsOf({ items: [item({ imageIDs: times(21, randomUUID) })] }), {
      items: { 0: { imageIDs: { 20: 'imageIDs must have at most 20 elements' } } },
    });
    assert.deepEqual(errorsOf({ items: [item({ options: times(101, option) })] }), {
      items: { 0: { options: { 100: { name: 'options must have at most 100 elements' } } } },
    });
  });

  test('has whole numbers from 1 as quantities', () => {
    for (const quantity of [undefined, null, 0, -1, 1.5, '1', 1e10, Number.MAX_SAFE_INTEGER]) {
      assert.match(JSON.stringify(errorsOf({ items: [item({ quantity })] })), /whole number from 1/);
    }
  });
});
