/**
 * The test of a database of the first version. The migration keeps all records, and computes the later
 * counters.
 */
import assert from 'node:assert/strict';
import type { MetadataStore } from '../../src/database/store.ts';
import { ACCOUNTS, KEY, SIZES } from '../support/initial-schema.ts';
import { BY, newImage, originalOf } from './metadata-samples.ts';

/** @param store a store over a database of INITIAL_DATABASE that was not migrated yet. */
export async function assertMigratesInitial(store: MetadataStore): Promise<void> {
  await store.migrate();
  const account = await store.accounts.find(ACCOUNTS.withImages);
  assert.equal(account?.displayName, 'Holding');
  assert.deepEqual(account?.createdOn, new Date(500));
  assert.equal(account?.imageQuota, undefined);
  assert.equal(account?.byteQuota, undefined);
  assert.equal((await store.accounts.find(ACCOUNTS.empty))?.imageQuota, 7);
  assert.equal((await store.keys.find(KEY.publicKey))?.key.accounts, 'all');

  const images = store.forAccount(ACCOUNTS.withImages, BY);
  const { images: listed, total } = await images.list({ skip: 0, count: 20 });
  assert.equal(total, 3);
  assert.deepEqual(
    listed.map(({ altText, original, disabledOn }) => [altText, original.size, disabledOn?.getTime()]),
    [
      ['alt 3', SIZES.disabled, 3000],
      ['alt 2', SIZES.second, undefined],
      ['alt 1', SIZES.first, undefined],
    ],
  );

  const enabledBytes = SIZES.first + SIZES.second;
  const added = newImage('added', { original: originalOf('added', { size: 10 }) });
  const refused = await images.insert(added, { defaultQuota: 300, defaultByteQuota: enabledBytes + 9 });
  assert.deepEqual(refused, { kind: 'byte-quota-exceeded', limit: enabledBytes + 9 });
  assert.equal(
    (await images.insert(added, { defaultQuota: 300, defaultByteQuota: enabledBytes + 10 })).kind,
    'inserted',
  );
  const empty = store.forAccount(ACCOUNTS.empty, BY);
  const other = newImage('other', { original: originalOf('other', { size: 10 }) });
  assert.equal((await empty.insert(other, { defaultQuota: 300, defaultByteQuota: 10 })).kind, 'inserted');
}
