/** The contract of access and refresh tokens, including concurrent uses of a refresh token. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { AccountSet, ApiKey, Grants, Scope } from '../../src/access/account.ts';
import type { TokenPair } from '../../src/access/records.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';
import { BY, digestOf, keyOf, later } from './metadata-samples.ts';

export function metadataTokens(current: () => MetadataHarness): void {
  describe('tokens', () => {
    let store: MetadataStore;
    let key: ApiKey;
    beforeEach(async () => {
      store = current().store;
      key = keyOf();
      await store.keys.create(key, digestOf('secret'), BY);
    });

    const grants: Grants = new Map<Scope, AccountSet>([
      ['images.read', ['3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb']],
      ['ping.read', 'all'],
    ]);
    let number = 0;
    const pairOf = (changes: Partial<TokenPair> = {}): TokenPair => {
      number += 1;
      const tokenOf = (kind: 'access' | 'refresh', seconds: number) => ({
        tokenID: randomUUID(),
        kind,
        digest: digestOf(`${kind} ${number}`),
        grants,
        expiresOn: later(seconds),
      });
      return {
        keyID: key.keyID,
        secretDigest: digestOf('secret'),
        family: randomUUID(),
        createdOn: later(0),
        access: tokenOf('access', 3_600),
        refresh: tokenOf('refresh', 86_400),
        ...changes,
      };
    };
    /** For the access and the refresh token: true if it was revoked or deleted. */
    const areRevoked = async ({ access, refresh }: TokenPair) => {
      const tokens = [await store.tokens.find(access.digest), await store.tokens.find(refresh.digest)];
      return tokens.map((token) => token === undefined || token.revokedOn !== undefined);
    };

    test('are found by their digests with their key', async () => {
      const pair = pairOf();
      await store.tokens.issue(pair, BY);
      const { family, secretDigest } = pair;
      const owner = await store.keys.find(key.publicKey);
      assert.deepEqual(await store.tokens.find(pair.access.digest), {
        ...pair.access,
        family,
        secretDigest,
        owner,
      });
      assert.deepEqual(await store.tokens.find(pair.refresh.digest), {
        ...pair.refresh,
        family,
        secretDigest,
        owner,
      });
      assert.equal(await store.tokens.find(digestOf('unknown')), undefined);
    });

    test('are deleted after they have expired, when their key gets new ones', async () => {
      const old = pairOf();
      await store.tokens.issue(old, BY);
      await store.tokens.issue(pairOf({ createdOn: later(3_600) }), BY);
      assert.equal(await store.tokens.find(old.access.digest), undefined);
      assert.ok(await store.tokens.find(old.refresh.digest));
      await store.tokens.issue(pairOf({ createdOn: later(86_400) }), BY);
      assert.equal(await store.tokens.find(old.refresh.digest), undefined);
    });

    test('are refreshed once, and a second use revokes their family', async () => {
      const first = pairOf();
      const { family } = first;
      await store.tokens.issue(first, BY);
      const second = pairOf({ family });
      assert.equal(await store.tokens.refresh(first.refresh.digest, second, BY), 'refreshed');
      assert.deepEqual(await areRevoked(second), [false, false]);
      const unrelated = pairOf();
      await store.tokens.issue(unrelated, BY);
      const third = pairOf({ family });
      assert.equal(await store.tokens.refresh(first.refresh.digest, third, BY), 'reused');
      assert.deepEqual(await areRevoked(first), [true, true]);
      assert.deepEqual(await areRevoked(second), [true, true]);
      assert.equal(await store.tokens.find(third.access.digest), undefined);
      assert.equal(await store.tokens.refresh(second.refresh.digest, pairOf({ family }), BY), 'gone');
      assert.deepEqual(await areRevoked(unrelated), [false, false]);
    });

    test('are not refreshed with an access token, an unknown token or a token of another key', async () => {
      const pair = pairOf();
      await store.tokens.issue(pair, BY);
      assert.equal(await store.tokens.refresh(pair.access.digest, pairOf(), BY), 'gone');
      assert.equal(await store.tokens.refresh(digestOf('unknown'), pairOf(), BY), 'gone');
      const other = keyOf();
      await store.keys.create(other, digestOf('other'), BY);
      const theirs = pairOf({ keyID: other.keyID });
      assert.equal(await store.tokens.refresh(pair.refresh.digest, theirs, BY), 'gone');
      assert.deepEqual(await areRevoked(pair), [false, false]);
    });

    test('give one pair to ten concurrent refreshes, and then their family is revoked', async () => {
      const first = pairOf();
      const { family } = first;
      await store.tokens.issue(first, BY);
      const other = await current().openAnother();
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          (i % 2 ? store : other).tokens.refresh(first.refresh.digest, pairOf({ family }), BY),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome === 'refreshed').length, 1);
      // The first of the other calls revokes the family. The later ones get `gone`.
      assert.ok(outcomes.includes('reused'));
      assert.deepEqual(await areRevoked(first), [true, true]);
    });

    test('are revoked one by one or with their family, and only by their own key', async () => {
      const pair = pairOf();
      await store.tokens.issue(pair, BY);
      const other = keyOf();
      await store.keys.create(other, digestOf('other'), BY);
      await store.tokens.revoke(pair.access.digest, other.keyID, later(1), BY);
      await store.tokens.revoke(pair.refresh.digest, other.keyID, later(1), BY);
      await store.tokens.revoke(digestOf('unknown'), key.keyID, later(1), BY);
      assert.deepEqual(await areRevoked(pair), [false, false]);
      await store.tokens.revoke(pair.access.digest, key.keyID, later(1), BY);
      assert.deepEqual(await areRevoked(pair), [true, false]);
      const second = pairOf();
      await store.tokens.issue(second, BY);
      await store.tokens.revoke(second.refresh.digest, key.keyID, later(1), BY);
      assert.deepEqual(await areRevoked(second), [true, true]);
    });

    test('are revoked with their key', async () => {
      const pair = pairOf();
      await store.tokens.issue(pair, BY);
      await store.keys.revoke(key.keyID, later(1), BY);
      assert.deepEqual(await areRevoked(pair), [true, true]);
    });
  });
}
