/**
 * Ten servers that start at the same moment, each with its own data folder, over one PostgreSQL and one blob
 * folder. `test/system/process/first-starts.test.ts` does the same with processes.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { openPostgres } from '../../src/database/postgres/postgres.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { startS3 } from '../blobs/s3-servers.ts';
import { startPostgres } from '../support/postgres.ts';

const { postgres, skip } = await startPostgres();
const { s3, skip: skipS3 } = await startS3();
after(() => Promise.all([postgres?.stop(), s3?.stop()]));

const NODES = 10;
const ROUNDS = 2;
const ACCOUNT = 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11';

let folder: string;
let url: string;
const apps: App[] = [];

beforeEach(async () => {
  assert.ok(postgres);
  folder = await mkdtemp(join(tmpdir(), 'vitrine-first-'));
  url = await postgres.createEmptyDatabase();
});
afterEach(async () => {
  await stopAll();
  await rm(folder, { recursive: true });
});

async function stopAll(): Promise<void> {
  await Promise.all(apps.splice(0).map((app) => app.close()));
}

/** Starts all nodes at once. @returns what each start returned. @throws if one of them fails. */
async function startAll(env: Record<string, string> = {}) {
  const starting = Array.from({ length: NODES }, async (_, number) => {
    const config = loadConfig({
      VITRINE_PORT: '0',
      VITRINE_DATA: join(folder, String(number)),
      VITRINE_BLOBS: `file:${join(folder, 'blobs')}`,
      VITRINE_DATABASE: url,
      VITRINE_RENDER_CONCURRENCY: '1',
      ...env,
    });
    const app = await createApp(config, createLog({ level: 'silent' }));
    apps.push(app);
    return app.listen();
  });
  const outcomes = await Promise.allSettled(starting);
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  assert.deepEqual(failures, []);
  return Promise.all(starting);
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

async function statusOf(base: string, credentials: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  return (await fetch(`${base}/ping`, { headers: { authorization } })).status;
}

describe('ten servers that start at once on an empty PostgreSQL', { skip }, () => {
  for (let round = 1; round <= ROUNDS; round += 1) {
    test(`make one account and one key, which one of them returns (round ${round})`, async () => {
      const started = await startAll();
      const [first, ...others] = started.flatMap(({ firstKey }) => firstKey ?? []);
      assert.ok(first);
      assert.deepEqual(others, []);
      assert.deepEqual(await readLibrary(first.accountID), {
        accounts: 1,
        keys: 1,
        server: ['key.create'],
        account: ['account.create'],
      });
      for (const node of started) {
        assert.equal(await statusOf(node.url, `${first.publicKey}:${first.secretKey}`), 200);
      }
      await stopAll();
      const again = await startAll();
      assert.deepEqual(
        again.flatMap(({ firstKey }) => firstKey ?? []),
        [],
      );
    });

    test(`make the bootstrap account and key once, and replace its secret once (round ${round})`, async () => {
      const env = { VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT, VITRINE_BOOTSTRAP_KEY: 'first:secret one' };
      const started = await startAll(env);
      assert.deepEqual(
        started.flatMap(({ firstKey }) => firstKey ?? []),
        [],
      );
      const once = { accounts: 1, keys: 1, server: ['key.create'], account: ['account.create'] };
      assert.deepEqual(await readLibrary(ACCOUNT), once);
      for (const node of started) assert.equal(await statusOf(node.url, 'first:secret one'), 200);
      const before = await withStore((store) => store.keys.find('first'));

      await stopAll();
      const again = await startAll({ ...env, VITRINE_BOOTSTRAP_KEY: 'first:secret two' });
      assert.deepEqual(await readLibrary(ACCOUNT), { ...once, server: ['key.replace', 'key.create'] });
      for (const node of again) {
        assert.equal(await statusOf(node.url, 'first:secret two'), 200);
        assert.equal(await statusOf(node.url, 'first:secret one'), 401);
      }
      const key = await withStore((store) => store.keys.find('first'));
      assert.equal(key?.secrets.length, 1);
      assert.equal(key?.key.keyID, before?.key.keyID);
      assert.deepEqual(key?.key.createdOn, before?.key.createdOn);
    });
  }

  test('make one library of a bucket, and leave nothing else in it', { skip: skipS3 }, async () => {
    assert.ok(s3);
    const bucket = await s3.createBucket();
    const started = await startAll({ VITRINE_BLOBS: `s3://${bucket}/library?endpoint=${s3.endpoint}` });
    assert.equal(started.filter(({ firstKey }) => firstKey !== undefined).length, 1);
    assert.deepEqual(await s3.objectsIn(bucket), ['library/library']);
  });
});
