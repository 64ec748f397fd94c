/** Sample records for the metadata tests. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Account, ApiKey } from '../../src/access/account.ts';
import type { Actor } from '../../src/access/audit.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { Original } from '../../src/image.ts';
import type { AccountImages, NewImage } from '../../src/images/records.ts';

/** The time of the samples. It has milliseconds, because a store could lose them. */
export const START = new Date('2026-02-03T04:05:06.789Z');

/** The actor of the samples. */
export const BY: Actor = {
  kind: 'key',
  keyID: '6b0d6c9e-0b5e-4f0e-8f43-0d2f1f9f7a01',
  requestID: 'request-1',
  address: '203.0.113.7',
};

/** The time this many seconds after START. */
export function later(seconds: number): Date {
  return new Date(START.getTime() + seconds * 1_000);
}

export function digestOf(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function originalOf(bytes: string, changes: Partial<Original> = {}): Original {
  return {
    digest: digestOf(bytes),
    size: bytes.length,
    format: 'jpeg',
    width: 640,
    height: 480,
    frames: 1,
    transparent: false,
    ...changes,
  };
}

/** A new image with these bytes and unique IDs. */
export function newImage(bytes: string, changes: Partial<NewImage> = {}): NewImage {
  return {
    imageID: randomUUID(),
    publicID: randomBytes(16).toString('base64url').slice(0, 21),
    createdOn: START,
    original: originalOf(bytes),
    ...changes,
  };
}

export function accountOf(changes: Partial<Account> = {}): Account {
  return { accountID: randomUUID(), displayName: 'an account', createdOn: START, ...changes };
}

/** A new account in the store, with one image of the bytes `first`. */
export async function accountWithImage(
  store: MetadataStore,
): Promise<{ account: Account; images: AccountImages; first: NewImage }> {
  const account = accountOf();
  await store.accounts.create(account, BY);
  const images = store.forAccount(account.accountID, BY);
  const first = newImage('first');
  assert.equal((await images.insert(first, { defaultQuota: 300 })).kind, 'inserted');
  return { account, images, first };
}

/** A new key with unique IDs. `changes` sets other accounts, scopes and properties. */
export function keyOf(changes: Partial<ApiKey> = {}): ApiKey {
  return {
    keyID: randomUUID(),
    publicKey: `pub_${randomUUID()}`,
    name: 'a key',
    accounts: 'all',
    scopes: ['images.read', 'images.write', 'ping.read'],
    createdOn: START,
    ...changes,
  };
}
