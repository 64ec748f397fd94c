/** The migration of databases of earlier versions. Their accounts and keys must stay usable. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import type { MetadataStore } from '../../../src/database/store.ts';
import { BY, digestOf, newImage } from '../../conformance/metadata-samples.ts';
import { startPostgres } from '../../support/postgres.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const ACCOUNT = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
/** The ID of a key for one account. */
const BOUND = '6b0d6c9e-0b5e-4f0e-8f43-0d2f1f9f7a01';
/** The ID of a key for all accounts. */
const WIDE = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

/** The tables of 0001-initial that later migrations change, with an account and two keys. */
const FIRST_VERSION = [
  `create table accounts (account_id text primary key not null, display_name text not null, created_on bigint not null,
    image_quota bigint, image_count bigint not null, enabled_count bigint not null)`,
  `create table api_keys (public_key text primary key not null, key_id text not null unique, secret_digest text not null,
    name text not null, all_accounts integer not null, scopes text not null, created_on bigint not null)`,
  `create table api_key_accounts (public_key text not null references api_keys (public_key) on delete cascade,
    position integer not null, account_id text not null,
    constraint api_key_accounts_key primary key (public_key, position))`,
  `create table images (account_id text not null references accounts (account_id), sequence bigint not null,
    image_id text not null, public_id text not null unique, digest text not null, size bigint not null,
    format text not null, width integer not null, height integer not null, frames integer not null,
    transparent integer not null, alt_text text, created_on bigint not null, updated_on bigint not null,
    disabled_on bigint, constraint images_key primary key (account_id, sequence),
    constraint images_image_id unique (account_id, image_id), constraint images_digest unique (account_id, digest))`,
  `create index images_by_digest on images (digest)`,
  `create table idempotency_keys (account_id text not null references accounts (account_id), key text not null,
    fingerprint text not null, image text not null, created_on bigint not null,
    constraint idempotency_keys_key primary key (account_id, key))`,
  `create index idempotency_keys_by_age on idempotency_keys (account_id, created_on)`,
  `create table kysely_migration (name varchar(255) not null primary key, timestamp varchar(255) not null)`,
  `create table kysely_migration_lock (id varchar(255) not null primary key, is_locked integer not null default 0)`,
  `insert into kysely_migration_lock values ('migration_lock', 0)`,
  `insert into kysely_migration values ('0001-initial', '2026-01-01T00:00:00.000Z')`,
  `insert into accounts values ('${ACCOUNT}', 'Old', 1000, 7, 0, 0)`,
  `insert into api_keys values ('wide', '${WIDE}', '${digestOf('one')}', 'Wide', 1, '["ping.read"]', 2000)`,
  `insert into api_keys values ('bound', '${BOUND}', '${digestOf('two')}', 'Bound', 0, '["images.read"]', 3000)`,
  `insert into api_key_accounts values ('bound', 0, '${ACCOUNT}')`,
];

async function assertMigratesKeys(store: MetadataStore): Promise<void> {
  await store.migrate();
  assert.deepEqual(await store.accounts.find(ACCOUNT), {
    accountID: ACCOUNT,
    displayName: 'Old',
    createdOn: new Date(1000),
    imageQuota: 7,
  });
  assert.deepEqual(await store.keys.find('wide'), {
    key: {
      keyID: WIDE,
      publicKey: 'wide',
      name: 'Wide',
      accounts: 'all',
      scopes: ['ping.read'],
      createdOn: new Date(2000),
    },
    secrets: [{ digest: digestOf('one'), createdOn: new Date(2000) }],
  });
  const bound = await store.keys.find('bound');
  assert.deepEqual(bound?.key.accounts, [ACCOUNT]);
  assert.equal(bound?.secrets[0]?.digest, digestOf('two'));
  const outcome = await store.forAccount(ACCOUNT, BY).insert(newImage('new'), { defaultQuota: 300 });
  assert.equal(outcome.kind, 'inserted');
  const { entries } = await store.audit.list(ACCOUNT, { skip: 0, count: 20 });
  assert.deepEqual(
    entries.map(({ action }) => action),
    ['image.upload'],
  );
}

describe('the migration of a database of the first version keeps its keys', () => {
  test('on SQLite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-migration-'));
    const path = join(folder, 'vitrine.db');
    const old = new DatabaseSync(path);
    for (const statement of FIRST_VERSION) old.exec(statement);
    old.close();
    const store = await openSqlite({ path });
    try {
      await assertMigratesKeys(store);
    } finally {
      await store.close();
      await rm(folder, { recursive: true });
    }
  });

  test('on PostgreSQL', { skip }, async () => {
    assert.ok(postgres);
    const url = await postgres.createEmptyDatabase();
    for (const statement of FIRST_VERSION) await postgres.query(url, statement);
    const store = await openPostgres({ url });
    try {
      await assertMigratesKeys(store);
    } finally {
      await store.close();
    }
  });
});
