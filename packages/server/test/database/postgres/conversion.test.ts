/** The conversion of a library from the tables of the first release to native types. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NAMESPACE } from '../../../src/database/postgres/dialect.ts';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { TABLE_NAMES } from '../../../src/database/schema/table-names.ts';
import type { MetadataStore } from '../../../src/database/store.ts';
import type { ImageFilter } from '../../../src/images/records.ts';
import { contentOf, openShop } from '../../conformance/catalog-samples.ts';
import {
  accountOf,
  BY,
  digestOf,
  keyOf,
  later,
  newImage,
  originalOf,
} from '../../conformance/metadata-samples.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

/** The last migration before native types. */
const TEXT_SCHEMA = '0012-library-state';

/** The machine may be slow. */
const LIMITS = { wait: 60_000, statement: 60_000, transaction: 60_000 };

function server(): TestPostgres {
  assert.ok(postgres !== undefined);
  return postgres;
}

/** A store over a database whose columns are texts and numbers. */
async function openText(): Promise<{ url: string; store: MetadataStore }> {
  const url = await server().createEmptyDatabase();
  // As in production: the path of the tests finds native tables too.
  await server().query(url, `alter database ${new URL(url).pathname.slice(1)} reset search_path`);
  const store = await openPostgres({ url, limits: LIMITS });
  await store.maintenance.restore(TEXT_SCHEMA, nothing());
  return { url, store };
}

/** A new database with native tables. */
async function createNew(): Promise<string> {
  const url = await server().createDatabase();
  await server().query(url, `alter database ${new URL(url).pathname.slice(1)} reset search_path`);
  return url;
}

async function* nothing(): AsyncGenerator<never> {}

interface Copying {
  readonly child: ChildProcess;
  /** Resolves when a line of the progress matches. Rejects if the process ends before. */
  until(pattern: RegExp): Promise<void>;
}

function startCopy(url: string, batch: number): Copying {
  const script = fileURLToPath(new URL('conversion-process.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=vitrine-source', script, url, String(batch)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.ok(child.stdout);
  const lines = createInterface(child.stdout);
  return {
    child,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        lines.on('line', (line) => {
          if (pattern.test(line)) resolve();
        });
        child.once('exit', (code) => reject(new Error(`the copy ended with ${code}`)));
      }),
  };
}

/** Copies a library of any size with the method for large ones. */
async function copy(url: string): Promise<void> {
  const [code] = await once(startCopy(url, 100).child, 'exit');
  assert.equal(code, 0);
}

/** All rows of a schema, as the store reads them. The order of columns differs between the forms. */
async function rowsOf(url: string, schema: string): Promise<Record<string, string[]>> {
  const entries = await Promise.all(
    [...TABLE_NAMES].map(async (table) => {
      const rows = await server().query(url, `select * from ${schema}."${table}"`);
      const texts = rows.map((row) =>
        JSON.stringify(
          Object.entries(row)
            // The counts of text tables are texts here, and so are their times.
            .map(([name, value]) => [name, typeof value === 'number' ? String(value) : value] as const)
            .sort(([one], [other]) => (one < other ? -1 : 1)),
        ),
      );
      return [table, texts.sort()] as const;
    }),
  );
  return Object.fromEntries(entries);
}

/** The definitions of everything in the schema of the native tables. */
async function definitionsOf(url: string): Promise<unknown> {
  return Promise.all(
    [
      `select table_name, column_name, ordinal_position, column_default, is_nullable, data_type, collation_name
        from information_schema.columns where table_schema = '${NAMESPACE}' order by 1, 3`,
      `select indexname, indexdef from pg_indexes where schemaname = '${NAMESPACE}' order by 1`,
      `select conrelid::regclass::text as "table", conname, convalidated, pg_get_constraintdef(oid) as definition
        from pg_constraint where connamespace = '${NAMESPACE}'::regnamespace order by 1, 2`,
      `select tgname, pg_get_triggerdef(oid) as definition from pg_trigger where not tgisinternal order by 1`,
      `select proname, pg_get_functiondef(oid) as definition
        from pg_proc where pronamespace = '${NAMESPACE}'::regnamespace order by 1`,
      `select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1`,
      `select proname from pg_proc p where pronamespace = 'public'::regnamespace and not exists (
        select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1`,
    ].map((statement) => server().query(url, statement)),
  );
}

/** A shop with rows in most tables, and a row of an idempotency key. */
async function fill(store: MetadataStore) {
  const shop = await openShop(store);
  const one = await shop.addImage('one', { altText: 'STRASSE', tags: ['Été', 'b'], fileName: 'shoe.jpg' });
  const two = await shop.addImage('two');
  await shop.addProduct(contentOf([one]));
  const key = keyOf({ accounts: [shop.accountID] });
  await store.keys.create(key, digestOf('secret'), BY);
  await store.keys.create(keyOf(), digestOf('of all accounts'), BY);
  const idempotency = { key: 'k', fingerprint: 'f', notBefore: later(-60) };
  const image = newImage('remembered', { altText: 'ä' });
  await shop.images.insert(image, { defaultQuota: 300, idempotency });
  await shop.images.disable(two, later(2));
  return { shop, one, two, key, idempotency, image };
}

const statementsOfFirstRelease = (accountID: string) => [
  `select * from "images" where "public_id" = 'x'`,
  `select * from "tokens" where "digest" = '${digestOf('x')}'`,
  `select * from "images" where "account_id" = '${accountID}' and "digest" = '${digestOf('one')}'`,
  `update "accounts" set "image_count" = 7 where "account_id" = '${accountID}'`,
  `insert into "audit_heads" ("account_id", "sequence") values ('', 1)`,
  'select "account_id" from "accounts" limit 1',
];

describe('the conversion to native types', { skip }, () => {
  for (const method of ['in one transaction', 'while servers work'] as const) {
    test(`${method} keeps every row, and gives the definitions of a new database`, async () => {
      const { url, store } = await openText();
      const { shop, one, key, idempotency, image } = await fill(store);
      const before = await rowsOf(url, 'public');
      assert.ok((before.audit ?? []).some((row) => row.includes('["account_id",""]')));
      const role = `reader_${new URL(url).pathname.slice(1)}`;
      await server().query(url, `create role ${role}`);
      await server().query(url, `grant select, insert on all tables in schema public to ${role}`);
      await server().query(url, `grant select on public.accounts to public`);
      const pages = () => shop.images.list({ skip: 0, count: 9 });
      const page = await pages();
      if (method === 'while servers work') await copy(url);
      await store.migrate();
      assert.deepEqual(await rowsOf(url, NAMESPACE), before);
      assert.deepEqual(await definitionsOf(url), await definitionsOf(await createNew()));
      const rights = await server().query(
        url,
        `select has_table_privilege('${role}', '${NAMESPACE}.images', 'insert') as is_allowed,
          has_table_privilege('${role}', '${NAMESPACE}.images', 'update') as is_refused,
          has_schema_privilege('${role}', '${NAMESPACE}', 'usage') as is_reached`,
      );
      assert.deepEqual(rights, [{ is_allowed: true, is_refused: false, is_reached: true }]);
      await server().query(url, `drop owned by ${role}`);
      await server().query(url, `drop role ${role}`);

      // The same store continues, although it has used the text tables.
      assert.deepEqual(await pages(), page);
      assert.deepEqual((await store.keys.find(key.publicKey))?.secrets[0]?.digest, digestOf('secret'));
      const replayed = await shop.images.insert(newImage('other'), { defaultQuota: 300, idempotency });
      assert.equal(replayed.kind === 'replayed' && replayed.image.imageID, image.imageID);
      assert.equal((await shop.images.insert(newImage('one'), { defaultQuota: 300 })).kind, 'duplicate');
      assert.equal((await shop.images.list({ skip: 0, count: 9 }, { search: 'strasse' })).total, 1);
      const change = { original: originalOf('replaced'), updatedOn: later(9) };
      assert.equal((await shop.images.replace(one, change)).kind, 'changed');
      const findings = [];
      for await (const finding of store.maintenance.checkRecords({ repair: false })) findings.push(finding);
      assert.deepEqual(findings, []);
      await store.close();
    });
  }

  test('leaves nothing that the statements of the first release could read or change', async () => {
    const { url, store } = await openText();
    const { shop } = await fill(store);
    const statements = statementsOfFirstRelease(shop.accountID);
    for (const statement of statements.slice(0, 4)) await server().query(url, statement);
    await store.migrate();
    for (const statement of statements) {
      await assert.rejects(server().query(url, statement), { code: '42P01' }, statement);
    }
    await store.close();
  });

  test('is resumed after kills, while nodes read and write, and loses nothing', async () => {
    const { url, store } = await openText();
    const other = await openPostgres({ url, limits: LIMITS });
    await addImages(url, 1_500);
    const shop = await fill(store);
    let isOver = false;
    let changes = 0;
    const uploaded: string[] = [];
    const writers = [store, other].map(async (node, writer) => {
      const images = node.forAccount(shop.shop.accountID, BY);
      for (let n = 0; !isOver; n += 1) {
        const image = newImage(`${writer} ${n}`, { tags: ['a', `b${n}`] });
        assert.equal((await images.insert(image, { defaultQuota: 1e6 })).kind, 'inserted');
        uploaded.push(image.imageID);
        const of = images.describe(image.imageID, { altText: `text ${n}`, tags: ['c'] }, later(n));
        assert.equal((await of).kind, 'changed');
        const change = { original: originalOf(`${writer} again ${n}`), updatedOn: later(n) };
        assert.equal((await images.replace(image.imageID, change)).kind, 'changed');
        const catalog = node.catalogOf(shop.shop.accountID, BY);
        const product = await catalog.insertProduct(productOf(image.imageID));
        assert.equal(product.kind, 'inserted');
        if (product.kind === 'inserted') {
          const { productID } = product.product;
          assert.equal((await catalog.disableProduct(productID, later(n))).kind, 'disabled');
        }
        assert.equal((await images.findMany([image.imageID])).size, 1);
        const filter: ImageFilter = { tag: 'c', sort: '-updatedOn' };
        assert.ok((await images.list({ skip: 0, count: 3 }, filter)).total > 0);
        changes += 1;
      }
    });
    const done = Promise.all(writers);

    for (const moment of [/^image_search: 400 rows/, /^images: 300 rows/, /index images_by_name/]) {
      const copying = startCopy(url, 100);
      await Promise.race([copying.until(moment), done]);
      copying.child.kill('SIGKILL');
      await once(copying.child, 'exit');
    }
    await copy(url);
    const atCopy = changes;
    await store.migrate();
    // Both nodes continue with the native tables.
    while (changes < atCopy + 20) await Promise.race([done, new Promise(setImmediate)]);
    isOver = true;
    await done;

    assert.ok(atCopy > 0);
    const images = other.forAccount(shop.shop.accountID);
    assert.equal((await images.findMany(uploaded)).size, uploaded.length);
    const findings = [];
    for await (const finding of other.maintenance.checkRecords({ repair: false })) findings.push(finding);
    assert.deepEqual(findings, []);
    await store.close();
    await other.close();
  });

  test('has the same rows in both tables while writers of every kind work', async () => {
    const { url, store } = await openText();
    const { shop, one, key } = await fill(store);
    await copy(url);
    await shop.images.describe(one, { altText: 'new', tags: ['x', 'y'] }, later(3));
    const product = await shop.addProduct(contentOf([one]));
    await shop.catalog.disableProduct(product, later(4));
    // The ID of the key changes, which other tables refer to, and rows are deleted.
    await store.keys.put({ ...key, name: 'again' }, digestOf('another'), later(5), BY);
    await store.keys.revoke(key.keyID, later(6), BY);
    await store.accounts.create(accountOf(), BY);
    await store.maintenance.pauseCollection('backup', later(9));
    await store.maintenance.resumeCollection('backup');
    await server().query(url, 'update public.idempotency_keys set key = key || 1');
    assert.deepEqual(await rowsOf(url, NAMESPACE), await rowsOf(url, 'public'));
    await server().query(url, 'delete from public.idempotency_keys');
    assert.deepEqual(await rowsOf(url, NAMESPACE), await rowsOf(url, 'public'));
    await store.close();
  });

  test('is left to the command in a large library, which is served and backed up before', async () => {
    const { url, store } = await openText();
    await addImages(url, 30_000);
    const { shop } = await fill(store);
    const atStart = await store.migrate({ postpones: true });
    assert.deepEqual(atStart, { applied: [], newer: [], postponed: ['0012-native-types'] });
    const state = await store.maintenance.readSchema();
    assert.deepEqual([state.pending, state.isServable], [['0012-native-types'], true]);
    assert.equal((await shop.images.insert(newImage('five'), { defaultQuota: 99 })).kind, 'inserted');
    const schema = await store.maintenance.snapshot(async (snapshot) => {
      const counts = new Map<string, number>();
      for await (const { table, rows } of snapshot.rows()) {
        counts.set(table, (counts.get(table) ?? 0) + rows.length);
      }
      assert.equal(counts.get('images'), 30_004);
      return snapshot.schema;
    });
    assert.equal(schema, TEXT_SCHEMA);

    const progress: string[] = [];
    const outcome = await store.migrate({ report: (text) => progress.push(text) });
    assert.deepEqual(outcome, { applied: ['0012-native-types'], newer: [], postponed: [] });
    assert.ok(
      progress.some((text) => /images: 30004 rows/.test(text)),
      progress.join(),
    );
    assert.deepEqual(await definitionsOf(url), await definitionsOf(await createNew()));
    assert.equal((await shop.images.list({ skip: 0, count: 9 })).total, 4);
    assert.deepEqual(await store.migrate({ postpones: true }), { applied: [], newer: [], postponed: [] });
    await store.close();
  });

  test('refuses views on the tables before it copies anything', async () => {
    const { url, store } = await openText();
    await server().query(url, 'create view public.mine as select image_id from public.images');
    const [code] = await once(startCopy(url, 100).child, 'exit');
    assert.equal(code, 1);
    assert.deepEqual(
      await server().query(url, `select 1 from pg_namespace where nspname = '${NAMESPACE}'`),
      [],
    );
    await server().query(url, 'drop view public.mine');
    await copy(url);
    await store.close();
  });

  test('names the row that has no native form', async () => {
    const { url, store } = await openText();
    const { one, shop } = await fill(store);
    await server().query(url, `update images set digest = 'none' where image_id = '${one}'`);
    await assert.rejects(store.migrate(), {
      name: 'AppError',
      code: 'conflict',
      message: new RegExp(`table images .*digest of the row ${shop.accountID}, 1 is "none"`),
    });
    assert.equal((await shop.images.list({ skip: 0, count: 9 })).total, 3);
    await server().query(url, `update images set digest = '${digestOf('x')}' where image_id = '${one}'`);
    await store.migrate();
    assert.equal((await shop.images.find(one))?.original.digest, digestOf('x'));
    await store.close();
  });

  test('refuses a namespace that is in use, before it changes anything', async () => {
    const { url, store } = await openText();
    await server().query(url, `create schema ${NAMESPACE}`);
    await server().query(url, `create table ${NAMESPACE}.other ()`);
    await assert.rejects(store.migrate(), /only one library/);
    await server().query(url, `drop table ${NAMESPACE}.other`);
    await store.migrate();
    await store.close();
  });
});

function productOf(imageID: string) {
  return { productID: crypto.randomUUID(), content: contentOf([imageID]), createdOn: later(1) };
}

/** Adds images to a new account by one statement for each table. */
async function addImages(url: string, count: number): Promise<void> {
  const account = '0f0e0d0c-0b0a-4908-8706-050403020100';
  for (const statement of [
    `insert into accounts (account_id, display_name, created_on, image_count, enabled_count, byte_count)
      values ('${account}', 'many', 1, ${count}, ${count}, ${count})`,
    `insert into images (account_id, sequence, image_id, public_id, digest, size, format, width, height, frames,
        transparent, created_on, updated_on)
      select '${account}', n, md5('i' || n)::uuid::text, left(md5('p' || n), 21),
        encode(sha256(n::text::bytea), 'hex'), 1, 'png', 1, 1, 1, 0, 1700000000000 + n, 1700000000000 + n * 7
      from generate_series(1, ${count}) as n`,
    `insert into image_search (account_id, sequence, content)
      select account_id, sequence, e'\\n\\n' from images where account_id = '${account}'`,
  ]) {
    await server().query(url, statement);
  }
}
