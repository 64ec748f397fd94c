/**
 * The published schemas do not validate requests. These tests check that both accept the same requests.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { NO_CATEGORIES } from '../../../src/catalog/categories.ts';
import { parseLineItems } from '../../../src/catalog/line-items.ts';
import { markdownProblem } from '../../../src/catalog/markdown.ts';
import { parseProduct } from '../../../src/catalog/product.ts';
import { LINE_ITEM_SCHEMAS } from '../../../src/http/catalog/line-item-schemas.ts';
import { PRODUCT_SCHEMAS } from '../../../src/http/catalog/product-schemas.ts';

const schemas: Record<string, TSchema> = {};
for (const schema of [...PRODUCT_SCHEMAS, ...LINE_ITEM_SCHEMAS]) {
  schemas[(schema as { $id?: string }).$id ?? ''] = schema;
}
const validator = (name: string) => Compile(schemas, { $ref: name });

const PRICE = { currency: 'USD', valueDecimal: '1.5' };
const ID = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
const images = (count: number) => Array.from({ length: count }, () => ({ imageID: ID }));
const options = (count: number) => Array.from({ length: count }, () => ({ name: 'x' }));
const group = (changes: object = {}) => ({
  name: 'x',
  minSelect: 0,
  maxSelect: 1,
  options: options(1),
  ...changes,
});
const product = (changes: object = {}) => ({ title: 'x', basePrice: PRICE, ...changes });
const item = (changes: object = {}) => ({ name: 'x', basePrice: PRICE, quantity: 1, ...changes });

describe('the published schema', () => {
  test('of a product accepts exactly the requests that the server accepts', () => {
    const schema = validator('ProductRequest');
    const rules = { description: markdownProblem, categories: NO_CATEGORIES };
    for (const [request, isValid] of [
      [product(), true],
      [product({ description: 'x', images: images(20), optionGroups: [group()] }), true],
      [
        product({
          optionGroups: [group({ options: [{ name: 'x', priceModifier: PRICE, images: images(1) }] })],
        }),
        true,
      ],
      [product({ unknown: 1 }), true],
      [product({ isTaxable: false }), true],
      [product({ isTaxable: 'false' }), false],
      [product({ categoryID: 1 }), false],
      [{ title: 'x' }, false],
      [{ basePrice: PRICE }, false],
      [product({ title: '' }), false],
      [product({ title: 'x'.repeat(201) }), false],
      [product({ description: 'x'.repeat(5_001) }), false],
      [product({ basePrice: { currency: 'USD', valueDecimal: 1 } }), false],
      [product({ basePrice: { currency: 'usd', valueDecimal: '1' } }), false],
      [product({ basePrice: { currency: 'USD', valueDecimal: '1.0000000000' } }), false],
      [product({ images: images(21) }), false],
      [product({ images: [ID] }), false],
      [product({ optionGroups: [group({ minSelect: undefined })] }), false],
      [product({ optionGroups: [group({ maxSelect: 0.5 })] }), false],
      [product({ optionGroups: [group({ options: [] })] }), false],
      [product({ optionGroups: [group({ options: options(101) })] }), false],
      [product({ optionGroups: Array.from({ length: 51 }, () => group()) }), false],
    ] as const) {
      const label = JSON.stringify(request).slice(0, 200);
      assert.equal(schema.Check(JSON.parse(JSON.stringify(request))), isValid, `schema: ${label}`);
      assert.equal(!parseProduct(request, rules).violations.any, isValid, `server: ${label}`);
    }
  });

  test('of line items accepts exactly the requests that the server accepts', () => {
    const schema = validator('CreateLineItems');
    for (const [request, isValid] of [
      [{ items: [item()] }, true],
      [
        {
          items: [item({ imageIDs: [ID], productID: ID, options: [{ name: 'x', quantity: 1, group: 'y' }] })],
        },
        true,
      ],
      [{}, false],
      [{ items: [] }, false],
      [{ items: Array.from({ length: 101 }, () => item()) }, false],
      [{ items: [item({ quantity: 0 })] }, false],
      [{ items: [item({ quantity: 2_147_483_648 })] }, false],
      [{ items: [item({ options: [{ name: 'x' }] })] }, false],
      [{ items: [item({ imageIDs: Array.from({ length: 21 }, () => ID) })] }, false],
    ] as const) {
      const label = JSON.stringify(request).slice(0, 200);
      assert.equal(schema.Check(JSON.parse(JSON.stringify(request))), isValid, `schema: ${label}`);
      assert.equal(!parseLineItems(request).violations.any, isValid, `server: ${label}`);
    }
  });
});
