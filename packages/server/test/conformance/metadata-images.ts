/** The contract of one account's images, without concurrency. metadata-races.ts has the races. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import type { Description } from '../../src/image.ts';
import type { MetadataHarness } from './metadata.ts';
import {
  accountOf,
  accountWithImage,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
  START,
} from './metadata-samples.ts';

export function metadataImages(current: () => MetadataHarness): void {
  describe('the images of an account', () => {
    let store: MetadataStore;
    beforeEach(() => {
      store = current().store;
    });
    const newAccount = () => accountWithImage(store);

    describe('adding an image', () => {
      test('makes it readable by its imageID, its publicID and its digest', async () => {
        const { account, images } = await newAccount();
        const added = newImage('second', { altText: 'a shoe' });
        const outcome = await images.insert(added, { defaultQuota: 300 });
        const expected = {
          ...added,
          accountID: account.accountID,
          tags: [],
          version: 1,
          visibility: 'public' as const,
          updatedOn: added.createdOn,
        };
        assert.deepEqual(outcome, { kind: 'inserted', image: expected });
        assert.deepEqual(await images.find(added.imageID), expected);
        assert.deepEqual(await images.findByDigest(added.original.digest), expected);
        assert.deepEqual(await store.findPublicImage(added.publicID), expected);
      });

      test('stores every property of the original', async () => {
        const { images } = await newAccount();
        const original = {
          digest: digestOf('properties'),
          size: 16_777_216,
          format: 'webp',
          width: 1,
          height: 30_000,
          frames: 1_000,
          transparent: true,
          analysis: { content: 'graphic', placeholder: 'mwgKHYSAd3iJeIeAd3h3h3+IOA==', color: '#a1b2c3' },
        } as const;
        const added = { ...newImage('properties'), original };
        await images.insert(added, { defaultQuota: 300 });
        assert.deepEqual((await images.find(added.imageID))?.original, original);
      });

      test('is refused in an account that does not exist', async () => {
        const images = store.forAccount(randomUUID(), BY);
        assert.deepEqual(await images.insert(newImage('a'), { defaultQuota: 300 }), { kind: 'no-account' });
        assert.deepEqual(await images.list({ skip: 0, count: 20 }), { images: [], total: 0 });
      });

      test('is refused for bytes of another image, enabled or disabled, and returns that image', async () => {
        const { images, first } = await newAccount();
        const twin = newImage('first');
        const existing = await images.find(first.imageID);
        assert.deepEqual(await images.insert(twin, { defaultQuota: 300 }), { kind: 'duplicate', existing });
        await images.disable(first.imageID, later(1));
        const disabled = await images.find(first.imageID);
        assert.deepEqual(await images.insert(twin, { defaultQuota: 300 }), {
          kind: 'duplicate',
          existing: disabled,
        });
        assert.equal(await images.find(twin.imageID), undefined);
      });

      test('is refused at the quota of the account, until another image is disabled', async () => {
        const limited = accountOf({ imageQuota: 2 });
        await store.accounts.create(limited, BY);
        const images = store.forAccount(limited.accountID, BY);
        const [one, two, three] = [newImage('1'), newImage('2'), newImage('3')];
        assert.equal((await images.insert(one, { defaultQuota: 1 })).kind, 'inserted');
        assert.equal((await images.insert(two, { defaultQuota: 1 })).kind, 'inserted');
        assert.deepEqual(await images.insert(three, { defaultQuota: 300 }), {
          kind: 'quota-exceeded',
          limit: 2,
        });
        await images.disable(one.imageID, later(1));
        assert.equal((await images.insert(three, { defaultQuota: 300 })).kind, 'inserted');
        assert.equal((await images.list({ skip: 0, count: 20 })).total, 3);
      });

      test('is refused at the default quota, after the check for duplicates', async () => {
        const { images } = await newAccount();
        assert.deepEqual(await images.insert(newImage('second'), { defaultQuota: 1 }), {
          kind: 'quota-exceeded',
          limit: 1,
        });
        assert.equal((await images.insert(newImage('first'), { defaultQuota: 1 })).kind, 'duplicate');
      });

      test('is refused under a quota of 0', async () => {
        const closed = accountOf({ imageQuota: 0 });
        await store.accounts.create(closed, BY);
        const outcome = await store
          .forAccount(closed.accountID, BY)
          .insert(newImage('a'), { defaultQuota: 300 });
        assert.deepEqual(outcome, { kind: 'quota-exceeded', limit: 0 });
      });
    });

    describe('an idempotency key', () => {
      const idempotency = { key: 'retry-1', fingerprint: 'f1', notBefore: later(-60) };

      test('gives a retry the first answer after the image has changed', async () => {
        const { images } = await newAccount();
        const added = newImage('second', { altText: 'before' });
        const first = await images.insert(added, { defaultQuota: 300, idempotency });
        assert.equal(first.kind, 'inserted');
        await images.describe(added.imageID, { altText: 'after' }, later(1));
        await images.disable(added.imageID, later(2));
        const retry = await images.insert(newImage('second'), { defaultQuota: 300, idempotency });
        assert.deepEqual(retry, { ...first, kind: 'replayed' });
        assert.equal((await images.list({ skip: 0, count: 20 })).total, 2);
      });

      test('is checked before duplicates and quotas', async () => {
        const { images } = await newAccount();
        const added = newImage('second');
        await images.insert(added, { defaultQuota: 2, idempotency });
        const retry = await images.insert(newImage('third'), { defaultQuota: 2, idempotency });
        assert.equal(retry.kind, 'replayed');
        const other = { ...idempotency, fingerprint: 'f2' };
        const reused = await images.insert(newImage('first'), { defaultQuota: 2, idempotency: other });
        assert.deepEqual(reused, { kind: 'key-reused' });
      });

      test('that an earlier release stored gives its answer', async () => {
        const { images } = await newAccount();
        const added = newImage('second', { altText: 'a' });
        await images.insert(added, { defaultQuota: 300, idempotency });
        const image = await images.find(added.imageID);
        const { original } = added;
        const row = {
          account_id: image?.accountID,
          sequence: 2,
          image_id: added.imageID,
          public_id: added.publicID,
          digest: original.digest,
          size: original.size,
          format: original.format,
          width: original.width,
          height: original.height,
          frames: original.frames,
          transparent: 0,
          alt_text: 'a',
          created_on: START.getTime(),
          updated_on: START.getTime(),
          disabled_on: null,
        };
        await current().run(`update idempotency_keys set image = '${JSON.stringify(row)}'`);
        assert.deepEqual((await images.recallUpload('retry-1', later(-60)))?.image, image);
      });

      test('is found with its fingerprint and image until it expires', async () => {
        const { images } = await newAccount();
        const added = newImage('second', { createdOn: later(5), altText: 'é' });
        await images.insert(added, { defaultQuota: 300, idempotency });
        const image = await images.find(added.imageID);
        assert.deepEqual(await images.recallUpload('retry-1', later(5)), { fingerprint: 'f1', image });
        assert.equal(await images.recallUpload('retry-1', later(6)), undefined);
        assert.equal(await images.recallUpload('retry-2', later(-60)), undefined);
      });

      test('can be used again after it has expired', async () => {
        const { images } = await newAccount();
        await images.insert(newImage('second'), { defaultQuota: 300, idempotency });
        const again = { key: 'retry-1', fingerprint: 'f2', notBefore: later(1) };
        const third = newImage('third', { createdOn: later(10) });
        const outcome = await images.insert(third, { defaultQuota: 300, idempotency: again });
        assert.equal(outcome.kind, 'inserted');
        const recalled = await images.recallUpload('retry-1', later(1));
        assert.equal(recalled?.fingerprint, 'f2');
        assert.equal(recalled?.image.imageID, third.imageID);
      });

      test('is not stored for a refused upload', async () => {
        const { images } = await newAccount();
        const refused = await images.insert(newImage('first'), { defaultQuota: 300, idempotency });
        assert.equal(refused.kind, 'duplicate');
        assert.equal(await images.recallUpload('retry-1', later(-60)), undefined);
      });

      test('belongs to one account', async () => {
        const { images } = await newAccount();
        await images.insert(newImage('second'), { defaultQuota: 300, idempotency });
        const { images: others } = await newAccount();
        assert.equal(await others.recallUpload('retry-1', later(-60)), undefined);
        const outcome = await others.insert(newImage('second'), { defaultQuota: 300, idempotency });
        assert.equal(outcome.kind, 'inserted');
      });
    });

    describe('replacing the bytes', () => {
      test('keeps the IDs, the creation time and, without a new one, the alt text', async () => {
        const { images } = await newAccount();
        const added = newImage('second', { altText: 'old' });
        await images.insert(added, { defaultQuota: 300 });
        const before = await images.find(added.imageID);
        const original = originalOf('new bytes', { format: 'png', transparent: true, width: 9 });
        const outcome = await images.replace(added.imageID, { original, updatedOn: later(1) });
        const image = { ...before, original, updatedOn: later(1) };
        assert.deepEqual(outcome, { kind: 'changed', image });
        assert.deepEqual(await images.find(added.imageID), image);

        const renamed = await images.replace(added.imageID, {
          original,
          description: { altText: 'new' },
          updatedOn: later(2),
        });
        assert.deepEqual(renamed, {
          kind: 'changed',
          image: { ...image, altText: 'new', updatedOn: later(2) },
        });
        const cleared = await images.replace(added.imageID, {
          original,
          description: { altText: undefined },
          updatedOn: later(3),
        });
        const { altText: _, ...without } = image;
        assert.deepEqual(cleared, { kind: 'changed', image: { ...without, updatedOn: later(3) } });
      });

      test('succeeds for the same bytes', async () => {
        const { images, first } = await newAccount();
        const outcome = await images.replace(first.imageID, {
          original: first.original,
          updatedOn: later(1),
        });
        assert.equal(outcome.kind, 'changed');
      });

      test('is refused for bytes of another image, enabled or disabled', async () => {
        const { images, first } = await newAccount();
        const second = newImage('second');
        await images.insert(second, { defaultQuota: 300 });
        const change = { original: second.original, updatedOn: later(2) };
        const before = await images.find(first.imageID);
        assert.deepEqual(await images.replace(first.imageID, change), {
          kind: 'duplicate',
          existing: await images.find(second.imageID),
        });
        await images.disable(second.imageID, later(1));
        assert.deepEqual(await images.replace(first.imageID, change), {
          kind: 'duplicate',
          existing: await images.find(second.imageID),
        });
        assert.deepEqual(await images.find(first.imageID), before);
      });

      test('allows the previous bytes for another image', async () => {
        const { images, first } = await newAccount();
        await images.replace(first.imageID, { original: originalOf('other'), updatedOn: later(1) });
        assert.equal(await images.findByDigest(first.original.digest), undefined);
        assert.equal((await images.insert(newImage('first'), { defaultQuota: 300 })).kind, 'inserted');
      });

      test('is refused for a disabled image and for an unknown image', async () => {
        const { images, first } = await newAccount();
        await images.disable(first.imageID, later(1));
        const change = { original: originalOf('other'), updatedOn: later(2) };
        const before = await images.find(first.imageID);
        assert.deepEqual(await images.replace(first.imageID, change), { kind: 'disabled' });
        assert.deepEqual(await images.find(first.imageID), before);
        assert.deepEqual(await images.replace(randomUUID(), change), { kind: 'not-found' });
        const unknownAccount = store.forAccount(randomUUID(), BY);
        assert.deepEqual(await unknownAccount.replace(first.imageID, change), { kind: 'not-found' });
      });
    });

    describe('the alt text', () => {
      const texts = {
        emoji: '👩🏽‍🚀 on a 🌕',
        'right-to-left': 'שלום \u202eעולם\u202c مرحبا',
        decomposed: 'e\u0301 is not \u00e9, ſ is not s',
        'line separators': 'a\u2028b\u2029c\nd\te',
        quotes: `'"\`; drop table images; -- \\' $1 ? :a @b`,
        wildcards: '100%_\\%\\_ * [a-z]',
        'JSON and placeholders': '{"a": null} $1 %s',
        'spaces at both ends': '  padded  ',
        'noncharacters and private use': '\ufffe\uffff\ue000\u{10ffff}',
        'two thousand astral code points': '𝒜'.repeat(2_000),
      };
      for (const [kind, text] of Object.entries(texts)) {
        test(`is returned exactly as it was stored: ${kind}`, async () => {
          const { images, first } = await newAccount();
          const added = newImage('second', { altText: text });
          await images.insert(added, {
            defaultQuota: 300,
            idempotency: { key: text, fingerprint: text, notBefore: later(-1) },
          });
          const image = await images.find(added.imageID);
          assert.equal(image?.altText, text);
          assert.deepEqual(await images.recallUpload(text, later(-1)), { fingerprint: text, image });
          await images.describe(first.imageID, { altText: text }, later(1));
          assert.equal((await images.find(first.imageID))?.altText, text);
        });
      }

      test('is set and cleared, and only the time changes too', async () => {
        const { images, first } = await newAccount();
        const before = await images.find(first.imageID);
        const set = await images.describe(first.imageID, { altText: 'a boot' }, later(1));
        assert.deepEqual(set, {
          kind: 'changed',
          image: { ...before, altText: 'a boot', updatedOn: later(1) },
        });
        const cleared = await images.describe(first.imageID, { altText: undefined }, later(2));
        assert.deepEqual(cleared, { kind: 'changed', image: { ...before, updatedOn: later(2) } });
        assert.deepEqual(await images.find(first.imageID), { ...before, updatedOn: later(2) });
      });

      test('replaces the focal point and the tags, and the file name only if it is named', async () => {
        const { images } = await newAccount();
        const focalPoint = { x: 0.123456, y: 1 };
        const fields = { focalPoint, tags: ['Été', 'shoe "red"'], fileName: 'shoe.jpg' };
        const added = newImage('described', fields);
        await images.insert(added, { defaultQuota: 300 });
        const findFields = async () => {
          const image = (await images.find(added.imageID)) ?? assert.fail('the image does not exist');
          return { focalPoint: image.focalPoint, tags: image.tags, fileName: image.fileName };
        };
        assert.deepEqual(await findFields(), fields);
        const describeAndFind = async (description: Description) => {
          assert.equal((await images.describe(added.imageID, description, later(1))).kind, 'changed');
          return findFields();
        };
        assert.deepEqual(await describeAndFind({ altText: undefined, focalPoint, tags: ['new'] }), {
          ...fields,
          tags: ['new'],
        });
        const cleared = { focalPoint: undefined, tags: [], fileName: 'shoe.jpg' };
        assert.deepEqual(await describeAndFind({ altText: 'a' }), cleared);
        assert.deepEqual(await describeAndFind({ altText: 'a', fileName: 'boot.png' }), {
          ...cleared,
          fileName: 'boot.png',
        });
        assert.deepEqual(await describeAndFind({ altText: 'a', focalPoint: null, fileName: null }), {
          ...cleared,
          fileName: undefined,
        });
      });

      test('is refused for a disabled image and for an unknown image', async () => {
        const { images, first } = await newAccount();
        await images.disable(first.imageID, later(1));
        assert.deepEqual(await images.describe(first.imageID, { altText: 'x' }, later(2)), {
          kind: 'disabled',
        });
        assert.equal((await images.find(first.imageID))?.altText, undefined);
        assert.deepEqual(await images.describe(randomUUID(), { altText: 'x' }, later(2)), {
          kind: 'not-found',
        });
      });
    });

    describe('disabling', () => {
      test('keeps the image listed, readable and public', async () => {
        const { images, first } = await newAccount();
        const before = await images.find(first.imageID);
        const image = { ...before, disabledOn: later(1) };
        assert.deepEqual(await images.disable(first.imageID, later(1)), { kind: 'disabled', image });
        assert.deepEqual(await images.find(first.imageID), image);
        assert.deepEqual(await store.findPublicImage(first.publicID), image);
        assert.deepEqual(await images.list({ skip: 0, count: 20 }), { images: [image], total: 1 });
      });

      test('succeeds a second time and keeps the first time', async () => {
        const { images, first } = await newAccount();
        const once = await images.disable(first.imageID, later(1));
        assert.deepEqual(await images.disable(first.imageID, later(9)), once);
        // The quota has one free place, not two.
        assert.equal((await images.insert(newImage('2'), { defaultQuota: 1 })).kind, 'inserted');
        assert.equal((await images.insert(newImage('3'), { defaultQuota: 1 })).kind, 'quota-exceeded');
      });

      test('is refused for an unknown image', async () => {
        const { images } = await newAccount();
        assert.deepEqual(await images.disable(randomUUID(), later(1)), { kind: 'not-found' });
      });
    });

    describe('the list', () => {
      test('is newest first by order of insertion, not by time, in pages without gaps', async () => {
        const { images, first } = await newAccount();
        const ids = [first.imageID];
        for (let i = 1; i < 25; i += 1) {
          // Each image has an earlier time than the one before.
          const added = newImage(`image ${i}`, { createdOn: later(-i) });
          await images.insert(added, { defaultQuota: 300 });
          ids.unshift(added.imageID);
        }
        for (const count of [1, 7, 24, 25, 200]) {
          const listed: string[] = [];
          for (let skip = 0; skip < 25; skip += count) {
            const page = await images.list({ skip, count });
            assert.equal(page.total, 25);
            assert.equal(page.images.length, Math.min(count, 25 - skip));
            listed.push(...page.images.map(({ imageID }) => imageID));
          }
          assert.deepEqual(listed, ids);
        }
        for (const skip of [25, 26, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
          assert.deepEqual(await images.list({ skip, count: 20 }), { images: [], total: 25 });
        }
      });

      test('is empty for an account without images', async () => {
        const account = accountOf();
        await store.accounts.create(account, BY);
        const images = store.forAccount(account.accountID, BY);
        assert.deepEqual(await images.list({ skip: 0, count: 20 }), { images: [], total: 0 });
      });
    });
  });
}
