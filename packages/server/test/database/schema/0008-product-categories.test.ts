/** The migration of products from before categories. The test restores them from such a backup. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import type { TableRows } from '../../../src/maintenance/records.ts';
import { contentOf, newProduct, openShop } from '../../conformance/catalog-samples.ts';
import { accountOf, later, START } from '../../conformance/metadata-samples.ts';

test('products from before are taxable and have no category, and can be changed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-migration-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'vitrine.db');
  const account = accountOf();
  const { accountID } = account;
  const product = newProduct(contentOf([], { title: 'Old' }));
  const { productID } = product;
  const { isTaxable, categoryID, ...content } = product.content;
  const again = await openSqlite({ path });
  async function* rows(): AsyncGenerator<TableRows> {
    const created_on = START.getTime();
    yield {
      table: 'accounts',
      rows: [
        {
          ...{ account_id: accountID, display_name: account.displayName, created_on },
          ...{ image_count: 0, enabled_count: 0 },
        },
      ],
    };
    yield {
      table: 'products',
      rows: [
        {
          ...{ account_id: accountID, sequence: 1, product_id: productID, folded_title: 'old' },
          ...{ content: JSON.stringify(content), created_on, updated_on: created_on },
        },
      ],
    };
  }
  await again.maintenance.restore('0007-library', rows());
  await again.migrate();
  const { catalog } = await openShop(again, accountID);
  assert.deepEqual((await catalog.findProduct(productID))?.content, contentOf([], { title: 'Old' }));
  const { isTaxable: _, ...silent } = contentOf([], { title: 'New', categoryID: 'food' });
  await catalog.replaceProduct(productID, silent, later(1));
  const { products } = await catalog.listProducts({ skip: 0, count: 1 }, { categoryIDs: ['food'] });
  assert.deepEqual(products[0]?.content, { ...silent, isTaxable: true });
  await again.close();
});
