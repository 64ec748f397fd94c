/**
 * The contract of maintenance under concurrency, with one store and with three over the same database.
 * Garbage collection never removes referenced bytes, and a concurrent change is never a finding.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetadataStore } from '../../src/database/store.ts';
import type { Collected } from '../../src/images/records.ts';
import { contentOf, openShop } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, digestOf, later, newImage, originalOf, START } from './metadata-samples.ts';

const ROUNDS = 12;
const UPLOADS = 6;
const COLLECTORS = 3;

export function metadataMaintenanceRaces(current: () => MetadataHarness): void {
  const participants = {
    'one store': async ({ store }: MetadataHarness) => [store],
    'three stores': async (harness: MetadataHarness) => [
      harness.store,
      await harness.openAnother(),
      await harness.openAnother(),
    ],
  };
  for (const [name, stores] of Object.entries(participants)) {
    describe(`maintenance with ${name}`, () => {
      test('keeps the bytes of each acknowledged upload that runs during garbage collection', async () => {
        const all: MetadataStore[] = await stores(current());
        const pick = (i: number) => all[i % all.length] as MetadataStore;
        for (let round = 0; round < ROUNDS; round += 1) {
          const bytes = `round ${round}`;
          const digest = digestOf(bytes);
          // A minimal blob store: the set of stored digests.
          const stored = new Set<string>([digest]);
          const upload = async (i: number) => {
            const account = accountOf();
            await pick(i).accounts.create(account, BY);
            const images = pick(i).forAccount(account.accountID, BY);
            await pause();
            stored.add(digest);
            await pause();
            const previous = newImage(`before ${round} ${i}`);
            if (i % 2 === 1) await images.insert(previous, { defaultQuota: 300 });
            const change = (marker: { markerToken?: string }) =>
              i % 2 === 0
                ? images.insert(newImage(bytes), { defaultQuota: 300, ...marker })
                : images.replace(previous.imageID, {
                    original: originalOf(bytes),
                    updatedOn: later(1),
                    ...marker,
                  });
            let outcome = await change({});
            while (outcome.kind === 'collected') {
              await pause();
              stored.add(digest);
              const { token }: Collected = outcome;
              await pause();
              outcome = await change({ markerToken: token });
            }
            assert.ok(outcome.kind === 'inserted' || outcome.kind === 'changed', outcome.kind);
            assert.ok(stored.has(digest), 'an acknowledged image has its bytes');
          };
          const collect = async (i: number) => {
            for (let time = 0; time < 4; time += 1) {
              await pick(i).maintenance.garbageCollect(digest, START, async () => {
                await pause();
                stored.delete(digest);
                await pause();
              });
              await pause();
            }
          };
          await Promise.all([
            ...Array.from({ length: COLLECTORS }, (_, i) => collect(i)),
            ...Array.from({ length: UPLOADS }, (_, i) => upload(i)),
          ]);
          assert.ok(stored.has(digest));
          assert.equal(
            await pick(round).maintenance.garbageCollect(digest, START, async () => {}),
            'referenced',
          );
        }
      });

      test('has no findings while records change', async () => {
        const all: MetadataStore[] = await stores(current());
        const { accountID } = await openShop(all[0] as MetadataStore);
        const shops = await Promise.all(all.map((store) => openShop(store, accountID)));
        let isWorking = true;
        const work = shops.map(async (shop, i) => {
          for (let n = 0; n < 15; n += 1) {
            const image = await shop.addImage(`${i} has ${n}`, { altText: `Bild ${n}` });
            const product = await shop.addProduct(contentOf([image]));
            await shop.images.describe(image, { altText: `BILD ${n}` }, later(n));
            if (n % 2 === 0) await shop.catalog.disableProduct(product, later(n));
            if (n % 3 === 0) await shop.images.disable(image, later(n));
          }
        });
        const checks = all.map(async ({ maintenance }) => {
          for (let n = 0; isWorking || n === 0; n += 1) {
            for await (const finding of maintenance.checkRecords({ repair: true })) assert.fail(finding.text);
            // Gives the other calls a turn of the event loop, because the database may answer at once.
            await nextTurn();
          }
        });
        await Promise.all(work).finally(() => {
          isWorking = false;
        });
        await Promise.all(checks);
      });
    });
  }
}

/** Waits for a random number of turns of the event loop. */
async function pause(): Promise<void> {
  for (let turns = Math.floor(Math.random() * 6); turns > 0; turns -= 1) await nextTurn();
}
