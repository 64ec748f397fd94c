/**
 * The migration of a database without a catalogue. The test makes such a database by reverting the migration.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { contentOf, openShop } from '../../conformance/catalog-samples.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-migration-'));
});
after(() => rm(folder, { recursive: true }));

test('searches, assigns and filters images from before the catalogue like new ones', async () => {
  const path = join(folder, 'vitrine.db');
  const store = await openSqlite({ path });
  await store.migrate();
  const shops = [await openShop(store), await openShop(store)];
  // More than one batch. Some images have no alt text.
  for (const [index, shop] of shops.entries()) {
    for (let i = 0; i < 400; i += 1) {
      await shop.images.insert(
        {
          imageID: `${index}-${i}`,
          publicID: `${index}-${i}`,
          createdOn: new Date(0),
          original: {
            digest: `${index}-${i}`,
            size: 1,
            format: 'png',
            width: 1,
            height: 1,
            frames: 1,
            transparent: false,
          },
          ...(i % 4 !== 0 && { altText: `STRASSE ${i}` }),
        },
        { defaultQuota: 10_000 },
      );
    }
  }
  await store.close();

  const raw = new DatabaseSync(path);
  for (const statement of [
    'drop table image_uses',
    'drop table products',
    'drop table line_items',
    'alter table images drop column focal_x',
    'alter table images drop column focal_y',
    'alter table images drop column folded_alt_text',
    'alter table accounts drop column disable_policy',
    'drop table collected_originals',
    'drop table collection_holds',
    'drop index audit_replacements',
    'drop table library',
    // Later migrations too, because migrations are applied only in their order.
    "delete from kysely_migration where name >= '0004-catalog'",
  ]) {
    raw.exec(statement);
  }
  raw.close();

  const again = await openSqlite({ path });
  await again.migrate();
  for (const { accountID } of shops) {
    const shop = await openShop(again, accountID);
    const page = { skip: 0, count: 1 };
    assert.equal((await shop.images.list(page)).total, 400);
    assert.equal((await shop.images.list(page, { search: 'straße' })).total, 300);
    assert.equal((await shop.images.list(page, { altText: 'missing' })).total, 100);
    const [image] = (await shop.images.list(page)).images;
    await shop.addProduct(contentOf([image?.imageID ?? '']));
    assert.equal((await shop.images.list(page, { unused: true })).total, 399);
    assert.equal((await again.accounts.find(accountID))?.disablePolicy, undefined);
  }
  await again.close();
});
