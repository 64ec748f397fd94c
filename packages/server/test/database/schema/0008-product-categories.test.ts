/** The migration of products from before categories. The test makes them by reverting the migration. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { contentOf, openShop } from '../../conformance/catalog-samples.ts';
import { later } from '../../conformance/metadata-samples.ts';

test('products from before are taxable and have no category, and can be changed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-migration-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'vitrine.db');
  const store = await openSqlite({ path });
  await store.migrate();
  const { accountID, ...shop } = await openShop(store);
  const productID = await shop.addProduct(contentOf([], { title: 'Old' }));
  await store.close();

  const raw = new DatabaseSync(path);
  for (const statement of [
    'drop index products_by_category',
    'alter table products drop column category_id',
    "update products set content = json_remove(content, '$.isTaxable')",
    "delete from kysely_migration where name >= '0008-product-categories'",
  ]) {
    raw.exec(statement);
  }
  raw.close();

  const again = await openSqlite({ path });
  await again.migrate();
  const { catalog } = await openShop(again, accountID);
  assert.deepEqual((await catalog.findProduct(productID))?.content, contentOf([], { title: 'Old' }));
  const { isTaxable: _, ...silent } = contentOf([], { title: 'New', categoryID: 'food' });
  await catalog.replaceProduct(productID, silent, later(1));
  const { products } = await catalog.listProducts({ skip: 0, count: 1 }, { categoryIDs: ['food'] });
  assert.deepEqual(products[0]?.content, { ...silent, isTaxable: true });
  await again.close();
});
