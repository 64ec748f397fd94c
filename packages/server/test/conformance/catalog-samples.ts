/** Sample products and line items for the metadata tests. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Account, DisablePolicy } from '../../src/access/account.ts';
import type { LineItem } from '../../src/catalog/line-items.ts';
import type { OptionGroup, ProductContent } from '../../src/catalog/product.ts';
import type { AccountCatalog, NewLineItems, NewProduct } from '../../src/catalog/records.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { AccountImages, EnableOptions, NewImage } from '../../src/images/records.ts';
import { accountOf, BY, newImage, START } from './metadata-samples.ts';

export const PRICE = { currency: 'USD', valueDecimal: '12.987654321' };

export function contentOf(
  imageIDs: readonly string[] = [],
  changes: Partial<ProductContent> = {},
): ProductContent {
  return { title: 'Lemonade', basePrice: PRICE, isTaxable: true, imageIDs, optionGroups: [], ...changes };
}

/** A group `Size` with one option for each list of images. */
export function groupOf(...options: readonly (readonly string[])[]): OptionGroup {
  return {
    name: 'Size',
    minSelect: 0,
    maxSelect: options.length,
    options: options.map((imageIDs, i) => ({ name: `Size ${i}`, imageIDs })),
  };
}

export function newProduct(content: ProductContent): NewProduct {
  return { productID: randomUUID(), content, createdOn: START };
}

export function itemOf(changes: Partial<LineItem> = {}): LineItem {
  return { name: 'Lemonade', basePrice: PRICE, quantity: 1, options: [], imageIDs: [], ...changes };
}

export function newLineItems(...items: readonly LineItem[]): NewLineItems {
  return { lineItemsID: randomUUID(), items, createdOn: START };
}

export interface Shop {
  readonly accountID: string;
  readonly images: AccountImages;
  readonly catalog: AccountCatalog;
  /** Adds an image with these bytes. @returns its imageID. */
  addImage(bytes: string, changes?: Partial<NewImage>): Promise<string>;
  /** Adds a product, and fails if the store refuses it. @returns its productID. */
  addProduct(content: ProductContent): Promise<string>;
  /** Adds a set of line items, and fails if the store refuses it. @returns its lineItemsID. */
  addLineItems(...items: readonly LineItem[]): Promise<string>;
}

/** A new account of this store, with methods that fill it. @param existing opens this account instead. */
export async function openShop(store: MetadataStore, existing?: string): Promise<Shop> {
  const account = accountOf();
  if (existing === undefined) await store.accounts.create(account, BY);
  const accountID = existing ?? account.accountID;
  const images = store.forAccount(accountID, BY);
  const catalog = store.catalogOf(accountID, BY);
  return {
    accountID,
    images,
    catalog,
    async addImage(bytes, changes) {
      const image = newImage(bytes, changes);
      assert.equal((await images.insert(image, { defaultQuota: 300 })).kind, 'inserted');
      return image.imageID;
    },
    async addProduct(content) {
      const product = newProduct(content);
      assert.equal((await catalog.insertProduct(product)).kind, 'inserted');
      return product.productID;
    },
    async addLineItems(...items) {
      const set = newLineItems(...items);
      assert.equal((await catalog.insertLineItems(set)).kind, 'inserted');
      return set.lineItemsID;
    },
  };
}

/** Options of `enable` with this image quota, and without a byte quota. */
export function imageQuota(images: number): EnableOptions {
  return { on: START, defaultQuota: images };
}

/** Sets the disable policy of the account. @returns undefined if there is no such account. */
export function setPolicy(
  store: MetadataStore,
  accountID: string,
  disablePolicy: DisablePolicy,
): Promise<Account | undefined> {
  return store.accounts.change(accountID, { kind: 'settings', disablePolicy }, START, BY);
}
