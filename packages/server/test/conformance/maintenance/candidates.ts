/** The contract of the work list of garbage collection: candidates, and the progress of the sweep. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetadataStore } from '../../../src/database/store.ts';
import type { Candidate, SweepPosition } from '../../../src/maintenance/records.ts';
import { partsOf } from '../../../src/maintenance/sweep-parts.ts';
import type { MetadataHarness } from '../metadata.ts';
import {
  accountOf,
  accountWithImage,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
  START,
} from '../metadata-samples.ts';

const QUOTA = { defaultQuota: 300 };
const RACE_ROUNDS = 30;

async function candidatesOf({ maintenance }: MetadataStore, range = {}): Promise<Candidate[]> {
  const all: Candidate[] = [];
  for await (const batch of maintenance.listCandidates(range)) all.push(...batch);
  return all;
}

const digestsOf = (candidates: readonly Candidate[]) => candidates.map(({ digest }) => digest);

export function metadataCandidates(current: () => MetadataHarness): void {
  const maintenance = () => current().store.maintenance;
  const take = (
    runID: string,
    takenBy: 'none' | 'others',
    options: { limit?: number; after?: Candidate } = {},
  ) => maintenance().takeCandidates({ runID, takenBy, upTo: later(100), limit: 100, ...options });

  describe('candidates of garbage collection', () => {
    test('are recorded by a replacement with other bytes, and by no other change', async () => {
      const { store } = current();
      const { images, first } = await accountWithImage(store);
      const { imageID } = first;
      await images.describe(imageID, { altText: 'other' }, later(1));
      await images.replace(imageID, { original: originalOf('first'), updatedOn: later(2) });
      await images.disable(imageID, later(3));
      await images.enable(imageID, { on: later(4), ...QUOTA });
      const twin = newImage('twin');
      await images.insert(twin, QUOTA);
      const refused = await images.replace(imageID, { original: originalOf('twin'), updatedOn: later(5) });
      assert.equal(refused.kind, 'duplicate');
      assert.deepEqual(await candidatesOf(store), []);
      await images.replace(imageID, { original: originalOf('second'), updatedOn: later(6) });
      const [candidate, ...others] = await candidatesOf(store);
      assert.deepEqual(
        [candidate?.digest, candidate?.unreferencedOn, others],
        [digestOf('first'), later(6), []],
      );
    });

    test('keep their later time, get another token, and are forgotten only as they were read', async () => {
      const { store } = current();
      const digest = digestOf('one');
      await maintenance().recordCandidates([{ digest, unreferencedOn: later(5) }]);
      const [first] = await candidatesOf(store);
      assert.ok(first);
      await maintenance().recordCandidates([{ digest, unreferencedOn: later(2) }]);
      const [second] = await candidatesOf(store);
      assert.ok(second);
      assert.deepEqual(second.unreferencedOn, later(5));
      assert.notEqual(second.token, first.token);
      await maintenance().forgetCandidate(first);
      assert.deepEqual(await candidatesOf(store), [second]);
      await maintenance().recordCandidates([{ digest, unreferencedOn: later(9) }]);
      await maintenance().forgetCandidate(second);
      const [third] = await candidatesOf(store);
      assert.ok(third);
      assert.deepEqual(third.unreferencedOn, later(9));
      await maintenance().forgetCandidate(third);
      assert.deepEqual(await candidatesOf(store), []);
    });

    test('are listed, counted and found by their time', async () => {
      const { store } = current();
      const candidates = Array.from({ length: 1_200 }, (_, n) => ({
        digest: digestOf(`${n}`),
        unreferencedOn: later(n % 60),
      }));
      await maintenance().recordCandidates(candidates);
      const inOrder = candidates
        .toSorted(
          (a, b) => a.unreferencedOn.getTime() - b.unreferencedOn.getTime() || (a.digest < b.digest ? -1 : 1),
        )
        .map(({ digest }) => digest);
      assert.deepEqual(digestsOf(await candidatesOf(store)), inOrder);
      const [early, late] = [
        await candidatesOf(store, { upTo: later(10) }),
        await candidatesOf(store, { after: later(10) }),
      ];
      assert.deepEqual([...digestsOf(early), ...digestsOf(late)], inOrder);
      assert.equal(early.length, 220);
      assert.equal(await maintenance().countCandidates(later(10)), 220);
      const known = await maintenance().findCandidates([digestOf('7'), digestOf('none'), digestOf('1199')]);
      assert.deepEqual(known, new Set([digestOf('7'), digestOf('1199')]));
    });

    test('are taken by one run each, and those of a killed run by the next one', async () => {
      const candidates = Array.from({ length: 10 }, (_, n) => ({
        digest: digestOf(`${n}`),
        unreferencedOn: later(n),
      }));
      await maintenance().recordCandidates([
        ...candidates,
        { digest: digestOf('young'), unreferencedOn: later(101) },
      ]);
      const expected = (from: number, to: number) => candidates.slice(from, to).map(({ digest }) => digest);
      const [killed, next] = [randomUUID(), randomUUID()];
      assert.deepEqual(digestsOf(await take(killed, 'none', { limit: 3 })), expected(0, 3));
      const others = await take(next, 'none');
      assert.deepEqual(digestsOf(others), expected(3, 10));
      assert.deepEqual(await take(next, 'none'), []);
      const [first, ...rest] = await take(next, 'others');
      assert.ok(first);
      assert.deepEqual(digestsOf([first, ...rest]), expected(0, 3));
      assert.deepEqual(await take(next, 'others'), []);
      assert.deepEqual(digestsOf(await take(killed, 'others', { after: first, limit: 2 })), expected(1, 3));
      // A candidate that is recorded again stays with its run, which has failed to remove it.
      await maintenance().recordCandidates([{ digest: digestOf('5'), unreferencedOn: later(5) }]);
      assert.deepEqual(await take(randomUUID(), 'none'), []);
      await maintenance().releaseCandidates(next);
      assert.equal((await take(randomUUID(), 'none')).length, 8);
    });

    test('are taken once by ten runs at once', async () => {
      const stores = [current().store, await current().openAnother()];
      const candidates = Array.from({ length: 400 }, (_, n) => ({
        digest: digestOf(`${n}`),
        unreferencedOn: later(1),
      }));
      await maintenance().recordCandidates(candidates);
      const taken: string[] = [];
      const run = async (n: number) => {
        const records = (stores[n % 2] as MetadataStore).maintenance;
        const options = { runID: `${n}`, upTo: later(1), limit: 7, takenBy: 'none' } as const;
        for (;;) {
          const batch = await records.takeCandidates(options);
          if (batch.length === 0) return;
          taken.push(...digestsOf(batch));
        }
      };
      await Promise.all(Array.from({ length: 10 }, (_, n) => run(n)));
      // A run that finds only locked candidates ends early.
      taken.push(...digestsOf(await take('last', 'none', { limit: 400 })));
      assert.deepEqual(taken.toSorted(), candidates.map(({ digest }) => digest).toSorted());
    });

    test('are adopted from the audit trail once, if nothing references them', async () => {
      const { store, run } = current();
      const { account, images, first } = await accountWithImage(store);
      const { images: theirs } = await accountWithImage(store);
      await images.replace(first.imageID, { original: originalOf('bytes 0'), updatedOn: later(0) });
      const count = 1_100;
      const entries = Array.from({ length: count }, (_, n) => {
        const { hasNativeTypes } = current();
        const prefix = hasNativeTypes ? '\\x' : '';
        const digests = [n, n + 1].map((each) => `'${prefix}${digestOf(`bytes ${each}`)}'`).join(', ');
        const on = hasNativeTypes ? `'${later(n + 1).toISOString()}'` : later(n + 1).getTime();
        return `('${account.accountID}', ${n + 100}, ${on}, 'image.replace', '${first.imageID}', 'operator', ${digests})`;
      });
      await run(`insert into audit (account_id, sequence, happened_on, action, subject_id, actor, digest_before,
        digest_after) values ${entries.join(', ')}`);
      await theirs.insert(newImage('bytes 7'), QUOTA);
      await run('delete from unreferenced_originals');
      let calls = 1;
      while (await maintenance().adoptReplacements(later(5_000))) calls += 1;
      // Each call reads 500 replacements, and the last one none.
      assert.equal(calls, 4);
      const adopted = new Map(
        (await candidatesOf(store)).map(({ digest, unreferencedOn }) => [digest, unreferencedOn]),
      );
      // `bytes 0` is the current original, `bytes 7` belongs to the other account, and both have `first`.
      assert.equal(adopted.size, count - 2);
      assert.deepEqual(adopted.get(digestOf('bytes 8')), later(9));
      assert.equal(adopted.has(digestOf('bytes 7')), false);
      assert.equal(adopted.has(digestOf('first')), false);
      await run('delete from unreferenced_originals');
      assert.equal(await maintenance().adoptReplacements(later(5_000)), false);
      assert.deepEqual(await candidatesOf(store), []);
    });

    for (const stores of [1, 3]) {
      test(`are never lost while ${stores} stores change images and collect at once`, async () => {
        const { store, openAnother } = current();
        const all = [store];
        while (all.length < stores) all.push(await openAnother());
        const pick = (n: number) => all[n % all.length] as MetadataStore;
        const stored = new Set<string>();
        const texts = ['a', 'b', 'c'];
        const change = async (n: number) => {
          const account = accountOf();
          await pick(n).accounts.create(account, BY);
          const images = pick(n).forAccount(account.accountID, BY);
          const own = newImage(`own ${n}`);
          await images.insert(own, QUOTA);
          stored.add(own.original.digest);
          for (let round = 0; round < RACE_ROUNDS; round += 1) {
            const original = originalOf(texts[(round + n) % texts.length] ?? '');
            stored.add(original.digest);
            let markerToken: string | undefined;
            for (;;) {
              const outcome = await images.replace(own.imageID, {
                ...{ original, updatedOn: START },
                ...(markerToken !== undefined && { markerToken }),
              });
              if (outcome.kind !== 'collected') break;
              stored.add(original.digest);
              markerToken = outcome.token;
            }
            await nextTurn();
          }
        };
        const collect = async (records: MetadataStore['maintenance'], takenBy: 'none' | 'others') => {
          const runID = randomUUID();
          let after: Candidate | undefined;
          do {
            const batch = await records.takeCandidates({ runID, takenBy, upTo: START, limit: 2, after });
            const unreferenced = await records.findUnreferenced(digestsOf(batch));
            for (const candidate of batch) {
              const { digest } = candidate;
              if (unreferenced.has(digest)) {
                const outcome = await records.garbageCollect(digest, START, async () => {
                  stored.delete(digest);
                });
                if (outcome !== 'collected') continue;
              }
              await records.forgetCandidate(candidate);
            }
            after = batch.at(-1);
          } while (after !== undefined);
          // Every second run is killed.
          if (Math.random() < 0.5) await records.releaseCandidates(runID);
        };
        let isWorking = true;
        const collectors = [0, 1].map(async (n) => {
          while (isWorking) {
            await collect(pick(n).maintenance, 'none');
            await collect(pick(n).maintenance, 'others');
            await nextTurn();
          }
        });
        await Promise.all([0, 1, 2, 3].map(change)).finally(() => {
          isWorking = false;
        });
        await Promise.all(collectors);
        await collect(store.maintenance, 'none');
        await collect(store.maintenance, 'others');
        const orphans = await store.maintenance.findUnreferenced([...stored]);
        assert.deepEqual([...orphans.keys()], []);
        for (const text of texts) {
          const isReferenced = (await store.maintenance.findUnreferenced([digestOf(text)])).size === 0;
          assert.equal(stored.has(digestOf(text)), isReferenced, text);
        }
      });
    }
  });

  describe('the sweep', () => {
    const on = START;
    const begin = (runID: string, from: SweepPosition, share: number, digits: number) =>
      maintenance().beginSweepPart({ runID, partAt: partsOf(from, share, digits), on });

    test('gives each part to one of two runs, and continues at the next run', async () => {
      const from = await maintenance().sweepPosition();
      assert.deepEqual(from, { round: 0, passed: '' });
      const [one, two] = [randomUUID(), randomUUID()];
      const parts: string[] = [];
      for (let n = 0; n < 8; n += 1) {
        const runID = n % 2 === 0 ? one : two;
        const part = await begin(runID, from, 0.5, 1);
        assert.ok(part !== undefined);
        parts.push(part);
        await maintenance().endSweepPart(part);
      }
      assert.equal(parts.join(''), '01234567');
      assert.equal(await begin(one, from, 0.5, 1), undefined);
      // The next run has smaller parts.
      const next = await maintenance().sweepPosition();
      assert.deepEqual(next, { round: 0, passed: '8' });
      const later: string[] = [];
      for (;;) {
        const part = await begin(one, next, 1, 2);
        if (part === undefined) break;
        later.push(part);
        await maintenance().endSweepPart(part);
      }
      assert.deepEqual(
        [later.length, later[0], later[127], later[128], later.at(-1)],
        [256, '80', 'ff', '00', '7f'],
      );
      assert.deepEqual(await maintenance().sweepPosition(), { round: 1, passed: '80' });
    });

    test('gives the part of a killed run to the next one, at its end', async () => {
      const [killed, next] = [randomUUID(), randomUUID()];
      assert.equal(await begin(killed, { round: 0, passed: '' }, 1, 1), '0');
      const from = await maintenance().sweepPosition();
      const parts: string[] = [];
      for (;;) {
        const part = await begin(next, from, 2 / 16, 1);
        if (part === undefined) break;
        parts.push(part);
        await maintenance().endSweepPart(part);
      }
      assert.deepEqual(parts, ['1', '2', '0']);
      // The whole store is one part, which a second run begins while the first one works on it.
      await maintenance().beginSweepPart({ runID: killed, partAt: partsOf(from, 1, 0), on });
      assert.equal(await begin(next, await maintenance().sweepPosition(), 1, 0), '');
      await maintenance().endSweepPart('');
      assert.equal(await begin(randomUUID(), await maintenance().sweepPosition(), 0, 0), undefined);
    });

    test('gives each part once to ten runs at once', async () => {
      const stores = [current().store, await current().openAnother()];
      const from = await maintenance().sweepPosition();
      const partAt = partsOf(from, 1, 2);
      const parts: string[] = [];
      await Promise.all(
        Array.from({ length: 10 }, async (_, n) => {
          const records = (stores[n % 2] as MetadataStore).maintenance;
          for (let count = 0; count < 20; count += 1) {
            const part = await records.beginSweepPart({ runID: `${n}`, partAt, on });
            if (part !== undefined) parts.push(part);
          }
        }),
      );
      assert.equal(new Set(parts).size, 200);
      assert.equal(parts.length, 200);
    });
  });
}
