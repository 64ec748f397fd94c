/**
 * The migration of a database without a catalogue, from the schema of the first version.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { contentOf, openShop } from '../../conformance/catalog-samples.ts';
import { accountOf } from '../../conformance/metadata-samples.ts';
import { INITIAL_DATABASE } from '../../support/initial-schema.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-migration-'));
});
after(() => rm(folder, { recursive: true }));

test('searches, assigns and filters images from before the catalogue like new ones', async () => {
  const path = join(folder, 'vitrine.db');
  const shops = [accountOf(), accountOf()];
  const raw = new DatabaseSync(path);
  for (const statement of INITIAL_DATABASE) raw.exec(statement);
  const addImage = raw.prepare(
    `insert into images values (?, ?, ?, ?, ?, 1, 'png', 1, 1, 1, 0, ?, 1000, 2000, null)`,
  );
  // More than one batch. Some images have no alt text.
  for (const [index, { accountID }] of shops.entries()) {
    raw.exec(`insert into accounts values ('${accountID}', 'shop', 500, 10000, 400, 400)`);
    for (let i = 0; i < 400; i += 1) {
      const id = `${index}-${i}`;
      addImage.run(accountID, i + 1, id, id, id, i % 4 === 0 ? null : `STRASSE ${i}`);
    }
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
