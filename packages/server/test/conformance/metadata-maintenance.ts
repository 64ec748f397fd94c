/** The contract of maintenance: checks and repairs, garbage collection, snapshots and restores. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import type { ImageFilter } from '../../src/images/records.ts';
import type { RecordFinding, TableRows } from '../../src/maintenance/records.ts';
import { contentOf, groupOf, itemOf, openShop } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import {
  accountOf,
  accountWithImage,
  BY,
  digestOf,
  keyOf,
  later,
  newImage,
  originalOf,
  START,
} from './metadata-samples.ts';

const QUOTA = { defaultQuota: 300 };

export function metadataMaintenance(current: () => MetadataHarness): void {
  async function findings(repair = false): Promise<RecordFinding[]> {
    return allOf(current().store.maintenance.checkRecords({ repair }));
  }

  /** A shop with rows in every table. */
  async function fullShop() {
    const { store } = current();
    const shop = await openShop(store);
    const imageIDs = [
      await shop.addImage('one', { altText: 'STRASSE', tags: ['Été', 'a "b"'], fileName: 'shoe.jpg' }),
      await shop.addImage('two'),
      await shop.addImage('three'),
    ];
    const [one = '', two = '', three = ''] = imageIDs;
    const product = await shop.addProduct(contentOf([one], { optionGroups: [groupOf([two], [one, two])] }));
    await shop.addLineItems(itemOf({ imageIDs: [three] }), itemOf({ productID: product }));
    await store.keys.create(keyOf({ accounts: [shop.accountID] }), digestOf('secret'), BY);
    const idempotency = { key: 'k', fingerprint: 'f', notBefore: later(-60) };
    await shop.images.insert(newImage('four', { altText: 'Fünf “Vier”\n\u{1F3FA}' }), {
      ...QUOTA,
      idempotency,
    });
    return { shop, one, two, three, product };
  }

  describe('the records in maintenance', () => {
    test('have the schema of this version, and no damage', async () => {
      const { maintenance } = current().store;
      const { applied, available } = await maintenance.readSchema();
      assert.deepEqual(applied, available);
      assert.deepEqual(await maintenance.findDamage(), []);
      const unused = await current().openEmpty();
      assert.deepEqual((await unused.maintenance.readSchema()).applied, []);
    });

    test('are checked until the signal fires, and earlier findings are reported', async () => {
      const { maintenance } = current().store;
      const shops = [await fullShop(), await fullShop()];
      for (const { shop } of shops) {
        await current().run(`update accounts set byte_count = 1 where account_id = '${shop.accountID}'`);
      }
      const controller = new AbortController();
      const reported: RecordFinding[] = [];
      const checking = (async () => {
        const { signal } = controller;
        for await (const finding of maintenance.checkRecords({ repair: false, signal })) {
          reported.push(finding);
          controller.abort();
        }
      })();
      await assert.rejects(checking, { name: 'AppError', code: 'cancelled' });
      assert.equal(reported.length, 1);
    });

    test('are read as groups of the images of one original, from all accounts', async () => {
      const { store } = current();
      const shops = [await openShop(store), await openShop(store), await openShop(store)];
      for (const [i, shop] of shops.entries()) {
        await shop.addImage('all');
        await current().run(insertImages(current(), shop.accountID, 200, i));
      }
      const groups = await allOf(store.maintenance.imagesByOriginal());
      assert.equal(groups.length, 601);
      assert.equal(await store.maintenance.countImages(), 3);
      const shared = groups.find((group) => group.length > 1);
      assert.deepEqual(
        new Set(shared?.map(({ accountID }) => accountID)),
        new Set(shops.map(({ accountID }) => accountID)),
      );
      const digests = groups.map(([image]) => image?.original.digest);
      assert.deepEqual(digests, [...new Set(digests)].sort());
    });

    test('have no findings after all kinds of changes', async () => {
      const { shop, one, three, product } = await fullShop();
      await shop.images.disable(three, later(1));
      await shop.images.replace(one, { original: originalOf('other bytes'), updatedOn: later(2) });
      await shop.images.describe(one, { altText: 'Ärmel' }, later(3));
      await shop.catalog.disableProduct(product, later(4));
      await shop.images.enable(three, { ...QUOTA, on: later(5) });
      assert.deepEqual(await findings(), []);
    });

    test('have counters that are checked and repaired', async () => {
      const { shop } = await fullShop();
      await current().run(
        `update accounts set image_count = 9, enabled_count = 2, byte_count = byte_count + 5 where account_id = '${shop.accountID}'`,
      );
      const [finding, ...others] = await findings();
      assert.deepEqual(others, []);
      assert.equal(finding?.kind, 'counters');
      assert.equal(finding?.accountID, shop.accountID);
      assert.match(
        finding?.text ?? '',
        /images 9 instead of 4, enabled images 2 instead of 4, bytes 20 instead of 15/,
      );
      assert.equal(finding?.repaired, false);
      assert.equal((await findings(true))[0]?.repaired, true);
      assert.deepEqual(await findings(), []);
      assert.equal((await shop.images.list({ skip: 0, count: 9 })).total, 4);
      await shop.addImage('another');
      assert.deepEqual(await findings(), []);
    });

    test('that are missing are reported and not repaired', async () => {
      const { shop } = await fullShop();
      await current().run('delete from idempotency_keys');
      await current().run(`delete from images where alt_text like 'F%'`);
      await shop.addImage('five');
      await findings(true);
      const reports = await findings();
      assert.deepEqual(
        reports.map(({ kind, repaired }) => [kind, repaired]),
        [['record', false]],
      );
      assert.match(reports[0]?.text ?? '', /has 4 images, numbered up to 5/);
    });

    test('have uses of images that are checked and repaired', async () => {
      const { shop, one, two, product } = await fullShop();
      const usage = () => Promise.all([one, two].map((image) => shop.images.usage(image)));
      const before = await usage();
      await current().run(`delete from image_uses where kind = 'option' and image_id = '${two}'`);
      await current().run(`update image_uses set outer_index = 7 where kind = 'line-item'`);
      await current().run(
        `insert into image_uses (account_id, image_id, kind, owner_sequence, outer_index, inner_index) values ('${shop.accountID}', '${one}', 'product', 99, -1, -1)`,
      );
      const reports = await findings();
      assert.deepEqual(
        reports.map(({ kind, repaired }) => [kind, repaired]),
        [
          ['uses', false],
          ['uses', false],
          ['uses', false],
        ],
      );
      assert.match(reports[0]?.text ?? '', new RegExp(`the product ${product}`));
      assert.match(reports[1]?.text ?? '', /a product that does not exist/);
      assert.match(reports[2]?.text ?? '', /the set of line items/);
      assert.ok((await findings(true)).every(({ repaired }) => repaired));
      assert.deepEqual(await findings(), []);
      assert.deepEqual(await usage(), before);
    });

    test('that cannot be read are reported one by one, and later records are checked', async () => {
      const { shop, two } = await fullShop();
      const { store } = current();
      const uses = async () => {
        const all = await store.maintenance.snapshot((snapshot) => allOf(snapshot.rows()));
        const rows = all.filter(({ table }) => table === 'image_uses').flatMap(({ rows }) => rows);
        return rows.filter(({ account_id }) => account_id === shop.accountID);
      };
      const before = await uses();
      await current().run(`update products set content = '{"images": [' where sequence = 1`);
      await current().run(`update line_items set content = 'null'`);
      await current().run(`update images set has_alt_text = 7 where image_id = '${two}'`);
      const { shop: other } = await fullShop();
      await current().run(`update accounts set image_count = 9 where account_id = '${other.accountID}'`);
      const reports = await findings(true);
      assert.deepEqual(
        reports
          .filter(({ accountID }) => accountID === shop.accountID)
          .map(({ kind, repaired }) => [kind, repaired]),
        [
          ['record', true],
          ['record', false],
          ['record', false],
        ],
      );
      assert.match(
        reports.map(({ text }) => text).join(),
        /content of the product .* content of the set of line items/s,
      );
      assert.ok(reports.some(({ kind, accountID }) => kind === 'counters' && accountID === other.accountID));
      assert.deepEqual(await uses(), before);
    });

    test('that show a missing image are reported and not repaired', async () => {
      const { one, product } = await fullShop();
      await current().run(`delete from image_uses where image_id = '${one}'`);
      await current().run(`delete from images where image_id = '${one}'`);
      await findings(true);
      const reports = (await findings(true)).filter(({ kind }) => kind === 'uses');
      assert.deepEqual(
        reports.map(({ repaired }) => repaired),
        [false, false],
      );
      assert.match(
        reports[0]?.text ?? '',
        new RegExp(`the product ${product} shows 2 images that do not exist`),
      );
      assert.match(reports[1]?.text ?? '', /the set of line items .* images that do not exist/);
    });

    test('have records for searches and filters that are checked and repaired', async () => {
      const { shop, one } = await fullShop();
      const text = 'the records for searches and filters are wrong: ';
      const page = { skip: 0, count: 9 };
      const image = `from images where images.account_id = '${shop.accountID}' and images.image_id = '${one}'`;
      const row = `account_id = '${shop.accountID}' and sequence = (select sequence ${image})`;
      await shop.images.describe(
        one,
        { altText: 'Straße', tags: ['Été', 'b'], fileName: 'a.jpg' },
        new Date(0),
      );
      const DAMAGE: readonly (readonly [statement: string, name: string])[] = [
        [`update image_search set content = 'x' where ${row}`, 'search text'],
        [`delete from image_search where ${row}`, 'search text'],
        [`update image_tags set tag = 'x' where tag = 'b' and ${row}`, 'tags'],
        [`delete from image_tags where ${row}`, 'tags'],
        [`update images set sort_name = 'z' where ${row}`, 'name for sorting'],
        [`update images set has_alt_text = 0 where ${row}`, 'alt text'],
        [`update images set used = 1 - used where ${row}`, 'use'],
      ];
      const filters = [
        { search: 'STRASSE' },
        { search: 'ete' },
        { tag: 'été' },
        { tag: 'B' },
        { unused: false },
      ];
      const results = () => Promise.all(filters.map((filter) => shop.images.list(page, filter)));
      const before = await results();
      assert.deepEqual(
        before.map(({ images }) => images.some(({ imageID }) => imageID === one)),
        [true, true, true, true, true],
      );
      for (const [statement, name] of DAMAGE) {
        await current().run(statement);
        const expected = { kind: 'record', accountID: shop.accountID, imageID: one, text: text + name };
        assert.deepEqual(await findings(), [{ ...expected, repaired: false }], statement);
        assert.deepEqual(await findings(true), [{ ...expected, repaired: true }], statement);
        assert.deepEqual(await findings(), [], statement);
        assert.deepEqual(await results(), before, statement);
      }
    });

    test('with impossible values are reported', async () => {
      const { one } = await fullShop();
      await current().run(
        `update images set public_id = 'short', size = 0, digest = 'none', format = 'gif', width = 0 where image_id = '${one}'`,
      );
      const texts = (await findings()).filter(({ kind }) => kind === 'record').map(({ text }) => text);
      assert.equal(texts.length, 5);
      await current().run('delete from idempotency_keys');
      const rename = `update images set image_id = 'none' where alt_text like 'F%'`;
      if (current().hasNativeTypes) return assert.rejects(current().run(rename), /type uuid/);
      await current().run(rename);
      const reported = (await findings()).map(({ text }) => text);
      assert.ok(reported.includes('the imageID is not a UUID'), reported.join());
    });
  });

  describe('unreferenced originals', () => {
    test('are found with the time at which they lost their last reference', async () => {
      const { store } = current();
      const { images, first } = await accountWithImage(store);
      const { images: theirs, first: other } = await accountWithImage(store);
      await images.replace(first.imageID, { original: originalOf('second'), updatedOn: later(5) });
      const free = Array.from({ length: 1_200 }, (_, i) => digestOf(`free ${i}`));
      const { maintenance } = store;
      const digests = [...free, digestOf('first'), digestOf('second')];
      assert.deepEqual(
        await maintenance.findUnreferenced(digests),
        new Map(free.map((digest) => [digest, undefined])),
      );
      await theirs.replace(other.imageID, { original: originalOf('third'), updatedOn: later(9) });
      assert.deepEqual(
        await maintenance.findUnreferenced([digestOf('first')]),
        new Map([[digestOf('first'), later(9)]]),
      );
    });

    test('are collected, and referenced again only after they were stored again', async () => {
      const { store } = current();
      const { images, first } = await accountWithImage(store);
      const digest = digestOf('unreferenced');
      let removed = 0;
      const remove = async () => {
        removed += 1;
      };
      assert.equal(
        await store.maintenance.garbageCollect(first.original.digest, START, remove),
        'referenced',
      );
      assert.equal(removed, 0);
      assert.equal(await store.maintenance.garbageCollect(digest, START, remove), 'collected');
      assert.equal(removed, 1);

      const outcome = await images.insert(newImage('unreferenced'), QUOTA);
      assert.equal(outcome.kind, 'collected');
      assert.ok(outcome.kind === 'collected');
      const wrong = await images.insert(newImage('unreferenced'), { ...QUOTA, markerToken: randomUUID() });
      assert.deepEqual(wrong, outcome);
      const change = { original: originalOf('unreferenced'), updatedOn: later(1) };
      assert.deepEqual(await images.replace(first.imageID, change), outcome);
      assert.equal((await images.list({ skip: 0, count: 9 })).total, 1);

      const { token: markerToken } = outcome;
      assert.equal((await images.replace(first.imageID, { ...change, markerToken })).kind, 'changed');
      assert.equal(await store.maintenance.garbageCollect(digest, START, remove), 'referenced');
      // A referenced original has no marker row, so another account adds the same bytes at once.
      const { images: theirs } = await accountWithImage(store);
      assert.equal((await theirs.insert(newImage('unreferenced'), QUOTA)).kind, 'inserted');
    });

    test('that were collected again after a token was returned must be stored again', async () => {
      const { store } = current();
      const { images } = await accountWithImage(store);
      const collect = () => store.maintenance.garbageCollect(digestOf('unreferenced'), START, async () => {});
      await collect();
      const first = await images.insert(newImage('unreferenced'), QUOTA);
      assert.ok(first.kind === 'collected');
      await collect();
      const second = await images.insert(newImage('unreferenced'), { ...QUOTA, markerToken: first.token });
      assert.ok(second.kind === 'collected');
      assert.notEqual(second.token, first.token);
      const third = await images.insert(newImage('unreferenced'), { ...QUOTA, markerToken: second.token });
      assert.equal(third.kind, 'inserted');
    });

    test('must be stored again after a removal that failed', async () => {
      const { store } = current();
      const { images } = await accountWithImage(store);
      const fault = new Error('the disk failed');
      const failing = store.maintenance.garbageCollect(digestOf('unreferenced'), START, () =>
        Promise.reject(fault),
      );
      await assert.rejects(failing, fault);
      assert.equal((await images.insert(newImage('unreferenced'), QUOTA)).kind, 'collected');
    });

    test('are not collected during a pause, and are collected after it', async () => {
      const { store } = current();
      const { maintenance } = store;
      const collect = (on: Date) => maintenance.garbageCollect(digestOf('unreferenced'), on, async () => {});
      await maintenance.pauseCollection('one', later(10));
      await maintenance.pauseCollection('two', later(20));
      assert.equal(await collect(START), 'paused');
      assert.equal(await collect(later(15)), 'paused');
      await maintenance.pauseCollection('one', later(30));
      await maintenance.resumeCollection('two');
      assert.equal(await collect(later(25)), 'paused');
      assert.equal(await collect(later(31)), 'collected');
      await maintenance.resumeCollection('one');
      assert.equal(await collect(START), 'collected');
      const { images } = await accountWithImage(store);
      await maintenance.deleteMarkers(START);
      assert.equal((await images.insert(newImage('unreferenced'), QUOTA)).kind, 'collected');
      await maintenance.garbageCollect(digestOf('unreferenced'), START, async () => {});
      await maintenance.deleteMarkers(later(40));
      assert.equal((await images.insert(newImage('unreferenced'), QUOTA)).kind, 'inserted');
    });
  });

  describe('a snapshot', () => {
    const copyOf = (store: MetadataStore) =>
      store.maintenance.snapshot(async (snapshot) => ({
        schema: snapshot.schema,
        rows: await allOf(snapshot.rows()),
        originals: await allOf(snapshot.originals()),
        count: await snapshot.countOriginals(),
      }));

    test('has every record of one moment, and fills an empty database', async () => {
      const { store } = current();
      const { shop, one } = await fullShop();
      await shop.images.describe(one, { altText: 'changed' }, later(1));
      await current().run(insertImages(current(), (await openShop(store)).accountID, 450, 7));
      const copied = await store.maintenance.snapshot(async (snapshot) => {
        const rows: TableRows[] = [];
        for await (const batch of snapshot.rows()) {
          // A concurrent write, which is not in the snapshot.
          await shop.images.insert(newImage(`concurrent ${rows.length}`), QUOTA);
          rows.push(batch);
        }
        const originals = await allOf(snapshot.originals());
        return { schema: snapshot.schema, rows, originals, count: await snapshot.countOriginals() };
      });
      const tables = new Set(copied.rows.map(({ table }) => table));
      for (const table of [
        'accounts',
        'api_keys',
        'key_secrets',
        'audit',
        'images',
        'products',
        'line_items',
      ]) {
        assert.ok(tables.has(table), table);
      }
      assert.equal(copied.originals.length, 454);
      assert.equal(copied.count, 454);
      assert.equal(copied.schema, (await store.maintenance.readSchema()).applied.at(-1));

      const other = await current().openEmpty();
      await other.maintenance.restore(copied.schema, iterate(copied.rows));
      assert.deepEqual(await copyOf(other), copied);
      const again = other.forAccount(shop.accountID, BY);
      assert.equal((await again.list({ skip: 0, count: 9 })).total, 4);
      assert.equal((await again.insert(newImage('added'), QUOTA)).kind, 'inserted');
    });

    test('is restored only into an empty database, and only as a whole', async () => {
      const { store } = current();
      await fullShop();
      const { schema, rows } = await copyOf(store);
      await assert.rejects(store.maintenance.restore(schema, iterate(rows)), {
        name: 'AppError',
        code: 'conflict',
        message: /not empty: there are accounts/,
      });

      const other = await current().openEmpty();
      const fault = new Error('the rows cannot be read');
      const incomplete = async function* () {
        yield* rows.slice(0, -1);
        throw fault;
      };
      await assert.rejects(other.maintenance.restore(schema, incomplete()), fault);
      assert.equal(await other.accounts.isEmpty(), true);
      await other.maintenance.restore(schema, iterate(rows));
      assert.equal((await copyOf(other)).count, 4);
    });

    test('of the first release is restored, and its images are found like new ones', async () => {
      const store = await current().openEmpty();
      const { accountID: account_id } = accountOf();
      const created_on = START.getTime();
      const [used = '', unused = ''] = [randomUUID(), randomUUID()];
      const image = (sequence: number, image_id: string, alt_text: string | null) => ({
        ...{ account_id, sequence, image_id, public_id: `public_id___________${sequence}` },
        ...{ digest: digestOf(`${sequence}`), size: 10 * sequence, format: 'png', width: 3, height: 2 },
        ...{ frames: 1, transparent: 0, alt_text, folded_alt_text: alt_text?.toLowerCase() ?? null },
        ...{ focal_x: 250_000, focal_y: 1_000_000, created_on, updated_on: created_on, disabled_on: null },
      });
      const use = {
        account_id,
        image_id: used,
        kind: 'product',
        owner_sequence: 1,
        outer_index: 0,
        inner_index: 0,
      };
      const counters = { image_count: 2, enabled_count: 2, byte_count: 30 };
      const rows: TableRows[] = [
        { table: 'accounts', rows: [{ account_id, display_name: 'old', created_on, ...counters }] },
        { table: 'images', rows: [image(1, used, 'İstanbul'), image(2, unused, null)] },
        { table: 'image_uses', rows: [use] },
      ];
      await store.maintenance.restore('0007-library', iterate(rows));
      await store.migrate();
      const images = store.forAccount(account_id, BY);
      const find = async (filter: ImageFilter) =>
        (await images.list({ skip: 0, count: 9 }, filter)).images.map(({ imageID }) => imageID);
      assert.deepEqual(await find({ search: 'istanbul' }), [used]);
      assert.deepEqual(await find({ unused: true }), [unused]);
      assert.deepEqual(await find({ altText: 'missing' }), [unused]);
      assert.deepEqual(await find({ sort: 'fileName' }), [used, unused]);
      assert.deepEqual(await find({ sort: '-bytes' }), [unused, used]);
      const { fileName, tags, version, visibility, focalPoint, original } =
        (await images.find(used)) ?? assert.fail('the image is missing');
      assert.deepEqual(
        { fileName, tags, version, visibility, focalPoint, analysis: original.analysis },
        {
          ...{ fileName: undefined, tags: [], version: 1, visibility: 'public' },
          ...{ focalPoint: { x: 0.25, y: 1 }, analysis: undefined },
        },
      );
      assert.deepEqual(
        await store.maintenance.unanalysedOriginals('', 9),
        [digestOf('1'), digestOf('2')].toSorted(),
      );
      // The uses belong to a product that these rows do not have.
      const texts = (await allOf(store.maintenance.checkRecords({ repair: false }))).map(({ text }) => text);
      assert.deepEqual(texts, ['1 records of image uses are wrong for a product that does not exist']);
    });

    test('of an earlier version is restored and migrated, and one of a later version is refused', async () => {
      const other = await current().openEmpty();
      await assert.rejects(other.maintenance.restore('9999-later', iterate([])), {
        code: 'conflict',
        message: /another version of Vitrine: their schema is 9999-later/,
      });
      const account = accountOf();
      const row = {
        account_id: account.accountID,
        display_name: account.displayName,
        created_on: START.getTime(),
        image_quota: null,
        image_count: 0,
        enabled_count: 0,
        suspended_on: null,
      };
      // At this version there were no byte quotas and no catalogue.
      await other.maintenance.restore('0002-access', iterate([{ table: 'accounts', rows: [row] }]));
      await other.migrate();
      assert.deepEqual(await other.accounts.find(account.accountID), account);
      const { applied, available } = await other.maintenance.readSchema();
      assert.deepEqual(applied, available);
      await assert.rejects(other.maintenance.restore('0002-access', iterate([])), {
        code: 'conflict',
        message: /has the schema .* already/,
      });
    });
  });
}

/** A statement that inserts many images into an account, without a change of its counters. */
function insertImages(
  { hasNativeTypes }: MetadataHarness,
  accountID: string,
  count: number,
  salt: number,
): string {
  const time = hasNativeTypes ? 'to_timestamp(0)' : '0';
  const rows = Array.from({ length: count }, (_, n) => {
    const { imageID, publicID, original } = newImage(`${salt} has ${n}`);
    return `('${accountID}', ${n + 1_000}, '${imageID}', '${publicID}', '${hasNativeTypes ? '\\x' : ''}${original.digest}', 1, 'png', 1, 1, 1, 0, ${time}, ${time})`;
  });
  return `insert into images (account_id, sequence, image_id, public_id, digest, size, format, width, height, frames,
    transparent, created_on, updated_on) values ${rows.join(', ')}`;
}

async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
