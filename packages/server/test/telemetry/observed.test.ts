/**
 * Observed stores behave like the stores themselves. The full contract of both ports runs through the
 * observers.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { observeBlobs } from '../../src/blobs/observed.ts';
import { observeMetadata } from '../../src/database/observed.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import { openTelemetry } from '../../src/telemetry/observer.ts';
import { blobConformance } from '../conformance/blobs.ts';
import { metadataConformance } from '../conformance/metadata.ts';
import { accountOf, BY, newImage } from '../conformance/metadata-samples.ts';
import { createSqliteHarness } from '../conformance/sqlite-harness.ts';

metadataConformance('observed SQLite', async () => {
  const telemetry = await openTelemetry('0.0.0');
  return createSqliteHarness({ wrap: (store) => observeMetadata(store, telemetry) });
});

blobConformance('The observed file driver', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-observed-'));
  const telemetry = await openTelemetry('0.0.0');
  const open = async () => observeBlobs(await openFileBlobs({ folder }), telemetry);
  return { driver: await open(), reopen: open, destroy: () => rm(folder, { recursive: true }) };
});

test('each call is recorded with its operation and its outcome', async (t) => {
  const telemetry = await openTelemetry('0.0.0');
  const sqlite = await openSqlite({ path: ':memory:' });
  const store = observeMetadata(sqlite, telemetry);
  await store.migrate();
  const account = accountOf();
  await store.accounts.create(account, BY);
  await store.forAccount(account.accountID, BY).insert(newImage('a'), { defaultQuota: 1 });
  await store.keys.find('none');
  await store.catalogOf(account.accountID).findProduct('none');
  await store.close();
  await assert.rejects(store.accounts.find(account.accountID));

  const folder = await mkdtemp(join(tmpdir(), 'vitrine-observed-'));
  t.after(() => rm(folder, { recursive: true }));
  const driver = observeBlobs(await openFileBlobs({ folder }), telemetry);
  await driver.stat('not/stored');
  assert.equal(await driver.open('not/stored'), undefined);
  for await (const _ of driver.list('')) assert.fail('nothing is stored');
  assert.equal(driver.localPath?.('a/b'), join(folder, 'a/b'));

  const { text } = await telemetry.metrics();
  const series = [...text.matchAll(/^vitrine_(database|blob)_duration_seconds_count\{(.*)\} (\d+)$/gm)];
  assert.deepEqual(series.map(([, kind, labels, value]) => `${kind} ${labels} ${value}`).toSorted(), [
    'blob operation="open",outcome="ok" 1',
    'blob operation="stat",outcome="ok" 1',
    'database operation="accounts.create",outcome="ok" 1',
    'database operation="accounts.find",outcome="internal" 1',
    'database operation="catalog.findProduct",outcome="ok" 1',
    'database operation="images.insert",outcome="ok" 1',
    'database operation="keys.find",outcome="ok" 1',
  ]);
});
