/**
 * The database part of ten starts at the same moment, over one PostgreSQL and one blob store. The steps are
 * those of `app.ts`. `test/system/process/first-starts.test.ts` starts whole processes.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { createFirstKey, ensureBootstrapKey } from '../../src/access/bootstrap.ts';
import { digestOf } from '../../src/access/secrets.ts';
import type { BlobsConfig } from '../../src/blobs/location.ts';
import { openBlobs } from '../../src/blobs/open.ts';
import { openPostgres } from '../../src/database/postgres/postgres.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { joinLibrary } from '../../src/maintenance/installation.ts';
import { newLocation, startS3 } from '../blobs/s3-servers.ts';
import { startPostgres } from '../support/postgres.ts';

const { postgres, skip } = await startPostgres();
const { s3, skip: skipS3 } = await startS3();
after(() => Promise.all([postgres?.stop(), s3?.stop()]));

const NODES = 10;
const ROUNDS = 5;
const ACCOUNT = 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11';

let folder: string;
let url: string;
beforeEach(async () => {
  assert.ok(postgres);
  folder = await mkdtemp(join(tmpdir(), 'vitrine-first-'));
  url = await postgres.createEmptyDatabase();
});
afterEach(() => rm(folder, { recursive: true }));

/**
 * Starts all nodes at once.
 * @param secretKey the secret of the bootstrap key; undefined: there is none.
 * @returns the first keys that they made.
 */
async function startAll({ secretKey, blobs }: { secretKey?: string; blobs?: BlobsConfig } = {}) {
  const start = async (number: number) => {
    const dataFolder = join(folder, String(number));
    const location = blobs ?? { kind: 'file', folder: join(folder, 'blobs') };
    await using opened = new AsyncDisposableStack();
    const store = opened.adopt(await openPostgres({ url }), (each) => each.close());
    await store.migrate();
    const files = opened.adopt(await openBlobs({ blobs: location, dataFolder }), (each) => each.close());
    await joinLibrary({ records: store.maintenance, blobs: files });
    if (secretKey !== undefined) {
      const credentials = { publicKey: 'first', secretKey };
      assert.equal(await ensureBootstrapKey(store, ACCOUNT, credentials, new Date()), 'ready');
    }
    // Awaited, because the store is closed afterwards.
    return await createFirstKey(store, new Date());
  };
  const started = await Promise.all(Array.from({ length: NODES }, (_, number) => start(number)));
  return started.filter((key) => key !== undefined);
}

async function withStore<T>(work: (store: MetadataStore) => Promise<T>): Promise<T> {
  const store = await openPostgres({ url });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The numbers of accounts and keys, and the actions of the audit trails of the server and of an account. */
function readLibrary(accountID: string) {
  const page = { skip: 0, count: 100 };
  return withStore(async (store) => {
    const actionsOf = async (account: string | undefined) =>
      (await store.audit.list(account, page)).entries.map(({ action }) => action);
    return {
      accounts: (await store.accounts.list(page, 'all')).total,
      keys: (await store.keys.list(page)).total,
      server: await actionsOf(undefined),
      account: await actionsOf(accountID),
    };
  });
}

describe('ten servers that start at once on an empty PostgreSQL', { skip }, () => {
  for (let round = 1; round <= ROUNDS; round += 1) {
    test(`make one account and one key, which one of them returns (round ${round})`, async () => {
      const [first, ...others] = await startAll();
      assert.ok(first);
      assert.deepEqual(others, []);
      assert.deepEqual(await readLibrary(first.accountID), {
        accounts: 1,
        keys: 1,
        server: ['key.create'],
        account: ['account.create'],
      });
      const stored = await withStore((store) => store.keys.find(first.publicKey));
      assert.equal(stored?.secrets[0]?.digest, digestOf(first.secretKey));
      assert.deepEqual(await startAll(), []);
    });

    test(`make the bootstrap account and key once, and replace its secret once (round ${round})`, async () => {
      assert.deepEqual(await startAll({ secretKey: 'secret one' }), []);
      const once = { accounts: 1, keys: 1, server: ['key.create'], account: ['account.create'] };
      assert.deepEqual(await readLibrary(ACCOUNT), once);
      const before = await withStore((store) => store.keys.find('first'));
      assert.deepEqual(
        before?.secrets.map(({ digest }) => digest),
        [digestOf('secret one')],
      );

      await startAll({ secretKey: 'secret two' });
      assert.deepEqual(await readLibrary(ACCOUNT), { ...once, server: ['key.replace', 'key.create'] });
      const key = await withStore((store) => store.keys.find('first'));
      assert.deepEqual(
        key?.secrets.map(({ digest }) => digest),
        [digestOf('secret two')],
      );
      assert.deepEqual(key?.key, before?.key);
    });
  }

  test('make one library of a bucket, and leave nothing else in it', { skip: skipS3 }, async () => {
    assert.ok(s3);
    const blobs = await newLocation(s3);
    assert.equal((await startAll({ blobs })).length, 1);
    assert.deepEqual(await s3.objectsIn(blobs.bucket), ['library/library']);
  });
});
