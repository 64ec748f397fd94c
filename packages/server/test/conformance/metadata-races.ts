/**
 * The contract of images under concurrency. Each race runs with one store, and with two over the same
 * database. Also random changes of an account, compared with a simple model.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { MetadataStore } from '../../src/database/store.ts';
import type { AccountImages, InsertOutcome } from '../../src/images/records.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, later, newImage, originalOf } from './metadata-samples.ts';

const CONTENDERS = 20;

export function metadataRaces(current: () => MetadataHarness): void {
  const participants = {
    'one store': async (harness: MetadataHarness) => [harness.store],
    'two stores': async (harness: MetadataHarness) => [harness.store, await harness.openAnother()],
  };
  for (const [name, stores] of Object.entries(participants)) {
    describe(`races with ${name}`, () => {
      /** The images of one new account, once for each contender. The stores alternate. */
      async function contenders(): Promise<AccountImages[]> {
        const harness = current();
        const account = accountOf();
        await harness.store.accounts.create(account, BY);
        const all: MetadataStore[] = await stores(harness);
        return Array.from({ length: CONTENDERS }, (_, i) => pick(all, i).forAccount(account.accountID, BY));
      }

      test('adds one of several identical uploads, and returns its image to the others', async () => {
        const views = await contenders();
        const outcomes = await Promise.all(
          views.map((images) => images.insert(newImage('same'), { defaultQuota: 300 })),
        );
        const inserted = only(outcomes, 'inserted');
        assert.equal(inserted.length, 1);
        const existing = inserted[0]?.image;
        const others = outcomes.filter(({ kind }) => kind !== 'inserted');
        assert.equal(others.length, CONTENDERS - 1);
        for (const outcome of others) assert.deepEqual(outcome, { kind: 'duplicate', existing });
        assert.deepEqual(await pick(views, 0).list({ skip: 0, count: 200 }), {
          images: [existing],
          total: 1,
        });
      });

      test('adds only as many uploads as the quota allows', async () => {
        const views = await contenders();
        const outcomes = await Promise.all(
          views.map((images, i) => images.insert(newImage(`bytes ${i}`), { defaultQuota: 5 })),
        );
        assert.equal(only(outcomes, 'inserted').length, 5);
        assert.equal(only(outcomes, 'quota-exceeded').length, CONTENDERS - 5);
        const { images, total } = await pick(views, 0).list({ skip: 0, count: 200 });
        assert.equal(images.length, 5);
        assert.equal(total, 5);
      });

      test('adds one of several uploads with the same idempotency key, and replays it for the others', async () => {
        const views = await contenders();
        const idempotency = { key: 'k', fingerprint: 'f', notBefore: later(-60) };
        const outcomes = await Promise.all(
          views.map((images) => images.insert(newImage('same'), { defaultQuota: 300, idempotency })),
        );
        const inserted = only(outcomes, 'inserted');
        assert.equal(inserted.length, 1);
        const replayed = only(outcomes, 'replayed');
        assert.equal(replayed.length, CONTENDERS - 1);
        for (const { image } of replayed) assert.deepEqual(image, inserted[0]?.image);
      });

      test('makes one of several updates to the same bytes, and returns its image to the others', async () => {
        const views = await contenders();
        const added = views.map((_, i) => newImage(`bytes ${i}`));
        for (const image of added) await pick(views, 0).insert(image, { defaultQuota: 300 });
        const change = { original: originalOf('the same bytes'), updatedOn: later(1) };
        const outcomes = await Promise.all(
          views.map((images, i) => images.replace(pick(added, i).imageID, change)),
        );
        const changed = outcomes.filter((outcome) => outcome.kind === 'changed');
        assert.equal(changed.length, 1);
        const duplicates = outcomes.filter((outcome) => outcome.kind === 'duplicate');
        assert.equal(duplicates.length, CONTENDERS - 1);
        for (const { existing } of duplicates) assert.deepEqual(existing, changed[0]?.image);
      });

      test('makes each change before the disabling, or refuses it as “disabled”', async () => {
        const views = await contenders();
        for (let round = 0; round < 10; round += 1) {
          const image = newImage(`round ${round}`);
          await pick(views, 0).insert(image, { defaultQuota: 300 });
          const change = { original: originalOf(`replaced ${round}`), updatedOn: later(2) };
          const [replaced, , titled] = await Promise.all([
            pick(views, round).replace(image.imageID, change),
            pick(views, round + 1).disable(image.imageID, later(3)),
            pick(views, round + 2).describe(image.imageID, { altText: 'titled' }, later(1)),
          ]);
          const end = await pick(views, 0).find(image.imageID);
          assert.deepEqual(end?.disabledOn, later(3));
          assert.ok(replaced.kind === 'changed' || replaced.kind === 'disabled');
          assert.ok(titled.kind === 'changed' || titled.kind === 'disabled');
          const expected = replaced.kind === 'changed' ? change.original : image.original;
          assert.deepEqual(end?.original, expected);
          assert.equal(end?.altText, titled.kind === 'changed' ? 'titled' : undefined);
        }
        const total = (await pick(views, 0).list({ skip: 0, count: 1 })).total;
        assert.equal(total, 10);
        // Each disabled image freed exactly one place in the quota.
        assert.equal((await pick(views, 0).insert(newImage('last'), { defaultQuota: 1 })).kind, 'inserted');
        const beyond = await pick(views, 0).insert(newImage('beyond'), { defaultQuota: 1 });
        assert.equal(beyond.kind, 'quota-exceeded');
      });

      test('returns the same time to 20 calls that disable one image', async () => {
        const views = await contenders();
        const image = newImage('one');
        await pick(views, 0).insert(image, { defaultQuota: 300 });
        const outcomes = await Promise.all(views.map((images, i) => images.disable(image.imageID, later(i))));
        for (const outcome of outcomes) assert.deepEqual(outcome, outcomes[0]);
        assert.equal((await pick(views, 0).insert(newImage('two'), { defaultQuota: 1 })).kind, 'inserted');
        const beyond = await pick(views, 0).insert(newImage('three'), { defaultQuota: 1 });
        assert.equal(beyond.kind, 'quota-exceeded');
      });

      test('reads pages without missing or repeated images while images are added', async () => {
        const views = await contenders();
        for (let i = 0; i < 10; i += 1) {
          await pick(views, 0).insert(newImage(`old ${i}`), { defaultQuota: 300 });
        }
        const [, pages] = await Promise.all([
          Promise.all(views.map((images, i) => images.insert(newImage(`new ${i}`), { defaultQuota: 300 }))),
          Promise.all(views.map((images) => images.list({ skip: 0, count: 200 }))),
        ]);
        for (const { images, total } of pages) {
          assert.equal(images.length, total);
          assert.equal(new Set(images.map(({ imageID }) => imageID)).size, total);
        }
      });

      test('creates one of several accounts with the same ID', async () => {
        const all = await stores(current());
        const account = accountOf();
        const outcomes = await Promise.all(
          Array.from({ length: CONTENDERS }, (_, i) => pick(all, i).accounts.create(account, BY)),
        );
        assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
      });
    });
  }

  test('has the counters and order of a simple model after any sequence of changes', async () => {
    const { store } = current();
    const quota = 4;
    const pickBytes = fc.nat({ max: 7 });
    const pickImage = fc.nat({ max: 9 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('insert' as const), bytes: pickBytes, image: fc.constant(0) }),
      fc.record({ do: fc.constant('replace' as const), bytes: pickBytes, image: pickImage }),
      fc.record({ do: fc.constant('disable' as const), bytes: fc.constant(0), image: pickImage }),
      fc.record({ do: fc.constant('describe' as const), bytes: pickBytes, image: pickImage }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const account = accountOf({ imageQuota: quota });
        await store.accounts.create(account, BY);
        const images = store.forAccount(account.accountID, BY);
        const model: { imageID: string; bytes: string; altText: string | undefined; disabled: boolean }[] =
          [];
        for (const { do: action, bytes, image } of steps) {
          const newBytes = `bytes ${bytes}`;
          const target = model[image];
          const imageID = target?.imageID ?? 'unknown';
          const twin = model.find((each) => each.bytes === newBytes);
          if (action === 'insert') {
            const added = newImage(newBytes);
            const { kind } = await images.insert(added, { defaultQuota: 300 });
            const isFull = model.filter(({ disabled }) => !disabled).length >= quota;
            assert.equal(kind, twin ? 'duplicate' : isFull ? 'quota-exceeded' : 'inserted');
            if (kind === 'inserted') {
              model.push({ imageID: added.imageID, bytes: newBytes, altText: undefined, disabled: false });
            }
          } else if (action === 'disable') {
            const { kind } = await images.disable(imageID, later(1));
            assert.equal(kind, target ? 'disabled' : 'not-found');
            if (target) target.disabled = true;
          } else {
            const { kind } =
              action === 'replace'
                ? await images.replace(imageID, { original: originalOf(newBytes), updatedOn: later(1) })
                : await images.describe(imageID, { altText: newBytes }, later(1));
            const isDuplicate = action === 'replace' && twin && twin !== target;
            assert.equal(
              kind,
              !target ? 'not-found' : target.disabled ? 'disabled' : isDuplicate ? 'duplicate' : 'changed',
            );
            if (target && kind === 'changed') target[action === 'replace' ? 'bytes' : 'altText'] = newBytes;
          }
        }
        const { images: listed, total } = await images.list({ skip: 0, count: 200 });
        assert.equal(total, model.length);
        const actual = listed.map(({ imageID, original, altText, disabledOn }) => ({
          imageID,
          digest: original.digest,
          altText,
          disabled: disabledOn !== undefined,
        }));
        const expected = model.toReversed().map(({ imageID, bytes, altText, disabled }) => ({
          imageID,
          digest: originalOf(bytes).digest,
          altText,
          disabled,
        }));
        assert.deepEqual(actual, expected);
      }),
      { numRuns: 25 },
    );
  });
}

function only<K extends InsertOutcome['kind']>(outcomes: InsertOutcome[], kind: K) {
  return outcomes.filter((outcome): outcome is Extract<InsertOutcome, { kind: K }> => outcome.kind === kind);
}

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  assert.ok(item !== undefined);
  return item;
}
