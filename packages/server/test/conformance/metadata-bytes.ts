/**
 * The contract of the byte quota: which bytes count, which changes are refused, and exact counts under
 * concurrency.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import type { MetadataStore } from '../../src/database/store.ts';
import type { AccountImages } from '../../src/images/records.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, later, newImage, originalOf } from './metadata-samples.ts';

const CONTENDERS = 20;

/** A new image with unique bytes, of this size. */
const imageOfSize = (name: string, size: number) => newImage(name, { original: originalOf(name, { size }) });

/**
 * Asserts the byte count of the account. Adds one byte: a quota of `bytes` refuses it, and a larger one does
 * not.
 */
async function assertCounts(images: AccountImages, bytes: number): Promise<void> {
  const probe = imageOfSize(`probe of ${bytes}`, 1);
  // A quota of 0 would mean no limit.
  if (bytes > 0) {
    const refused = await images.insert(probe, { defaultQuota: 1e6, defaultByteQuota: bytes });
    assert.deepEqual(refused, { kind: 'byte-quota-exceeded', limit: bytes }, `counts less than ${bytes}`);
  }
  const fits = await images.insert(probe, { defaultQuota: 1e6, defaultByteQuota: bytes + 1 });
  assert.equal(fits.kind, 'inserted', `counts more than ${bytes}`);
}

export function metadataBytes(current: () => MetadataHarness): void {
  describe('the byte quota', () => {
    let store: MetadataStore;
    beforeEach(() => {
      store = current().store;
    });
    const emptyAccount = async (changes: Parameters<typeof accountOf>[0] = {}) => {
      const account = accountOf(changes);
      await store.accounts.create(account, BY);
      return { account, images: store.forAccount(account.accountID, BY) };
    };

    test('is stored with the account', async () => {
      for (const byteQuota of [0, 1, 2 ** 50]) {
        const { account } = await emptyAccount({ byteQuota });
        assert.deepEqual(await store.accounts.find(account.accountID), account);
      }
    });

    test('accepts images up to the last byte and refuses one byte more', async () => {
      const { images } = await emptyAccount();
      const quota = { defaultQuota: 300, defaultByteQuota: 100 };
      assert.equal((await images.insert(imageOfSize('a', 60), quota)).kind, 'inserted');
      const refused = await images.insert(imageOfSize('b', 41), quota);
      assert.deepEqual(refused, { kind: 'byte-quota-exceeded', limit: 100 });
      assert.equal((await images.list({ skip: 0, count: 20 })).total, 1);
      assert.equal((await images.insert(imageOfSize('c', 40), quota)).kind, 'inserted');
      assert.equal((await images.insert(imageOfSize('d', 1), quota)).kind, 'byte-quota-exceeded');
    });

    test('uses the quota of the account before the default; 0 and an absent quota mean no limit', async () => {
      const { images: small } = await emptyAccount({ byteQuota: 10 });
      const generous = { defaultQuota: 300, defaultByteQuota: 1_000 };
      assert.deepEqual(await small.insert(imageOfSize('a', 11), generous), {
        kind: 'byte-quota-exceeded',
        limit: 10,
      });
      const { images: free } = await emptyAccount({ byteQuota: 0 });
      const strict = { defaultQuota: 300, defaultByteQuota: 10 };
      assert.equal((await free.insert(imageOfSize('a', 11), strict)).kind, 'inserted');
      const { images: plain } = await emptyAccount();
      assert.equal(
        (await plain.insert(imageOfSize('a', 2 ** 40), { defaultQuota: 300, defaultByteQuota: 0 })).kind,
        'inserted',
      );
      assert.equal((await plain.insert(imageOfSize('b', 2 ** 40), { defaultQuota: 300 })).kind, 'inserted');
    });

    test('is checked after the idempotency key, duplicates and the image quota', async () => {
      const { images } = await emptyAccount();
      const idempotency = { key: 'k', fingerprint: 'f', notBefore: later(-60) };
      const first = imageOfSize('first', 10);
      await images.insert(first, { defaultQuota: 1, defaultByteQuota: 10, idempotency });
      const full = { defaultQuota: 1, defaultByteQuota: 10 };
      assert.equal(
        (await images.insert(imageOfSize('other', 10), { ...full, idempotency })).kind,
        'replayed',
      );
      assert.equal((await images.insert(imageOfSize('first', 10), full)).kind, 'duplicate');
      assert.equal((await images.insert(imageOfSize('other', 10), full)).kind, 'quota-exceeded');
      assert.equal(
        (await images.insert(imageOfSize('other', 10), { ...full, defaultQuota: 2 })).kind,
        'byte-quota-exceeded',
      );
    });

    test('does not count a disabled image, and subtracts its bytes only once', async () => {
      const { images } = await emptyAccount();
      const added = imageOfSize('a', 60);
      await images.insert(added, { defaultQuota: 300 });
      await images.insert(imageOfSize('b', 5), { defaultQuota: 300 });
      await images.disable(added.imageID, later(1));
      await images.disable(added.imageID, later(2));
      await assertCounts(images, 5);
    });

    test('counts the current bytes of an image, and refuses replacements beyond it', async () => {
      const { images } = await emptyAccount();
      const [one, two] = [imageOfSize('one', 50), imageOfSize('two', 30)];
      for (const image of [one, two]) await images.insert(image, { defaultQuota: 300 });
      const replace = (bytes: string, size: number, defaultByteQuota: number) =>
        images.replace(one.imageID, {
          original: originalOf(bytes, { size }),
          updatedOn: later(1),
          defaultByteQuota,
        });
      const before = await images.find(one.imageID);
      assert.deepEqual(await replace('larger', 71, 100), { kind: 'byte-quota-exceeded', limit: 100 });
      assert.deepEqual(await images.find(one.imageID), before);
      assert.equal((await replace('larger', 70, 100)).kind, 'changed');
      // Under a lowered quota, an account may still shrink or keep its size.
      assert.equal((await replace('larger', 70, 10)).kind, 'changed');
      assert.equal((await replace('smaller', 20, 10)).kind, 'changed');
      assert.equal((await replace('two', 21, 10)).kind, 'duplicate', 'comes before the quota');
      await images.describe(one.imageID, { altText: 'not counted' }, later(2));
      await assertCounts(images, 50);
    });

    test('counts the bytes of each account separately', async () => {
      const { images: mine } = await emptyAccount();
      const { images: theirs } = await emptyAccount();
      const quota = { defaultQuota: 300, defaultByteQuota: 10 };
      assert.equal((await mine.insert(imageOfSize('a', 10), quota)).kind, 'inserted');
      assert.equal((await theirs.insert(imageOfSize('a', 10), quota)).kind, 'inserted');
    });

    const participants = {
      'one store': async (harness: MetadataHarness) => [harness.store],
      'two stores': async (harness: MetadataHarness) => [harness.store, await harness.openAnother()],
    };
    for (const [name, stores] of Object.entries(participants)) {
      describe(`with ${name}`, () => {
        async function contenders(): Promise<AccountImages[]> {
          const { account } = await emptyAccount();
          const all: MetadataStore[] = await stores(current());
          return Array.from({ length: CONTENDERS }, (_, i) => pick(all, i).forAccount(account.accountID, BY));
        }

        test('accepts only as many concurrent uploads as fit', async () => {
          const views = await contenders();
          const outcomes = await Promise.all(
            views.map((images, i) =>
              images.insert(imageOfSize(`bytes ${i}`, 10), { defaultQuota: 300, defaultByteQuota: 55 }),
            ),
          );
          assert.equal(outcomes.filter(({ kind }) => kind === 'inserted').length, 5);
          assert.equal(outcomes.filter(({ kind }) => kind === 'byte-quota-exceeded').length, CONTENDERS - 5);
          await assertCounts(pick(views, 0), 50);
        });

        test('accepts only as many concurrent growing replacements as fit', async () => {
          const views = await contenders();
          const added = views.map((_, i) => imageOfSize(`before ${i}`, 10));
          for (const image of added) await pick(views, 0).insert(image, { defaultQuota: 300 });
          const outcomes = await Promise.all(
            views.map((images, i) =>
              images.replace(pick(added, i).imageID, {
                original: originalOf(`after ${i}`, { size: 17 }),
                updatedOn: later(1),
                defaultByteQuota: CONTENDERS * 10 + 30,
              }),
            ),
          );
          assert.equal(outcomes.filter(({ kind }) => kind === 'changed').length, 4);
          await assertCounts(pick(views, 0), CONTENDERS * 10 + 4 * 7);
        });

        test('counts exactly after concurrent inserts, replacements and disablings', async () => {
          const views = await contenders();
          const added = views.map((_, i) => imageOfSize(`image ${i}`, 100 + i));
          for (const image of added) await pick(views, 0).insert(image, { defaultQuota: 300 });
          await Promise.all(
            views.flatMap((images, i) => [
              images.insert(imageOfSize(`new ${i}`, 1_000), { defaultQuota: 300 }),
              images.replace(pick(added, i).imageID, {
                original: originalOf(`replaced ${i}`, { size: 10_000 + i }),
                updatedOn: later(1),
              }),
              ...(i % 2 === 0 ? [images.disable(pick(added, i).imageID, later(2))] : []),
            ]),
          );
          const { images: all } = await pick(views, 0).list({ skip: 0, count: 200 });
          const enabled = all.filter(({ disabledOn }) => disabledOn === undefined);
          assert.equal(all.length, 2 * CONTENDERS);
          assert.equal(enabled.length, (3 * CONTENDERS) / 2);
          await assertCounts(
            pick(views, 0),
            enabled.reduce((sum, { original }) => sum + original.size, 0),
          );
        });
      });
    }

    test('counts the sum of the image sizes after any sequence of changes', async () => {
      const step = fc.record({
        action: fc.constantFrom('insert' as const, 'replace' as const, 'disable' as const),
        size: fc.integer({ min: 1, max: 50 }),
        image: fc.nat({ max: 9 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const { images } = await emptyAccount({ byteQuota: 120 });
          const enabled = new Map<string, number>();
          const names: string[] = [];
          const sum = () => [...enabled.values()].reduce((total, size) => total + size, 0);
          for (const [index, { action, size, image }] of steps.entries()) {
            const imageID = names[image] ?? 'unknown';
            const before = enabled.get(imageID);
            if (action === 'insert') {
              const added = imageOfSize(`step ${index}`, size);
              const { kind } = await images.insert(added, { defaultQuota: 300 });
              assert.equal(kind, sum() + size <= 120 ? 'inserted' : 'byte-quota-exceeded');
              if (kind !== 'inserted') continue;
              names.push(added.imageID);
              enabled.set(added.imageID, size);
            } else if (action === 'disable') {
              await images.disable(imageID, later(1));
              enabled.delete(imageID);
            } else {
              const original = originalOf(`step ${index}`, { size });
              const { kind } = await images.replace(imageID, { original, updatedOn: later(1) });
              if (before === undefined) continue;
              const fits = size <= before || sum() - before + size <= 120;
              assert.equal(kind, fits ? 'changed' : 'byte-quota-exceeded');
              if (fits) enabled.set(imageID, size);
            }
          }
          // The size that exactly fits into the quota shows the count.
          const room = 120 - sum();
          const over = await images.insert(imageOfSize('over', room + 1), { defaultQuota: 300 });
          assert.equal(over.kind, 'byte-quota-exceeded');
          if (room === 0) return;
          const fits = await images.insert(imageOfSize('fits', room), { defaultQuota: 300 });
          assert.equal(fits.kind, 'inserted');
        }),
        { numRuns: 25 },
      );
    });
  });
}

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  assert.ok(item !== undefined);
  return item;
}
