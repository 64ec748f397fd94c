/**
 * Garbage collection from records and by sweeps, with a store that fails, on both backends. `gc.test.ts` has
 * garbage collection beside servers.
 */
import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import type { BlobDriver } from '../../src/blobs/driver.ts';
import { originalKey, rungKey } from '../../src/blobs/store.ts';
import { AppError } from '../../src/errors.ts';
import { startS3 } from '../blobs/s3-servers.ts';
import { digestOf, newImage } from '../conformance/metadata-samples.ts';
import { startFaultProxy } from '../faults/http-proxy.ts';
import { withChanges } from '../support/drivers.ts';
import { startPostgres } from '../support/postgres.ts';
import { newLibrary, type Place, type SetUpOptions, texts } from './collected-library.ts';

const { postgres, skip: skipPostgres } = await startPostgres();
const { s3, skip: skipS3 } = await startS3();
after(async () => {
  await s3?.stop();
  await postgres?.stop();
});
const skip = skipPostgres || skipS3;

const DAY = 24 * 60 * 60 * 1_000;

async function setUp(t: TestContext, kind: Place['kind'], options?: SetUpOptions) {
  const library = await newLibrary(kind, { postgres, s3 }, options);
  t.after(() => library.close());
  return library;
}

/** The driver of a store that fails the calls for which `isFailing` is true. It does nothing then. */
function failing(driver: BlobDriver, isFailing: (call: string, key: string) => boolean): BlobDriver {
  const fail = (call: string, key: string) => {
    if (isFailing(call, key)) throw new AppError('unavailable', `the store failed ${call}`);
  };
  return withChanges(driver, {
    async delete(key, signal) {
      fail('delete', key);
      return driver.delete(key, signal);
    },
    async *list(prefix, signal) {
      fail('list', prefix);
      yield* driver.list(prefix, signal);
    },
  });
}

for (const [kind, name, skipped] of [
  ['embedded', 'SQLite and files', false],
  ['remote', 'PostgreSQL and S3', skip],
] as const) {
  describe(`garbage collection on ${name}`, { skip: skipped }, () => {
    test('removes replaced originals without a sweep, and the others by a sweep', async (t) => {
      const { add, replace, store, collect, driver, keys } = await setUp(t, kind);
      await replace(await add('first'), 'second');
      await store('orphan');
      const listed: string[] = [];
      const watched = withChanges(driver, {
        list(prefix, signal) {
          listed.push(prefix);
          return driver.list(prefix, signal);
        },
      });
      const preview = await collect({ sweep: 0, dryRun: true }, watched);
      const summary = await collect({ sweep: 0 }, watched);
      assert.deepEqual(preview, summary);
      assert.deepEqual([summary.originals, summary.bytes, summary.failed, summary.swept], [1, 5, 0, 0]);
      assert.deepEqual(
        listed.filter((prefix) => prefix !== 'removed/'),
        [rungKey(digestOf('first'), '')],
      );
      const all = await collect({ dryRun: true });
      assert.deepEqual(await collect(), all);
      assert.deepEqual([all.originals, all.swept], [1, 1]);
      const expected = [originalKey(digestOf('second')), rungKey(digestOf('second'), '3-1024.jpeg')];
      assert.deepEqual(await keys(), expected);
    });

    test('keeps an original that is referenced again, and forgets the candidate', async (t) => {
      const { add, replace, images, collect, run, keys } = await setUp(t, kind);
      const imageID = await add('first');
      await replace(imageID, 'second');
      // The same account takes it back, so that both originals are candidates and one is referenced.
      await replace(imageID, 'first');
      assert.equal((await images.find(imageID))?.original.digest, digestOf('first'));
      assert.equal((await run('select digest from unreferenced_originals')).length, 2);
      assert.equal((await collect({ sweep: 0 })).originals, 1);
      assert.deepEqual(await run('select digest from unreferenced_originals'), []);
      assert.ok((await keys()).includes(originalKey(digestOf('first'))));
    });

    test('removes replacements of earlier versions in its first run', async (t) => {
      const { add, replace, collect, run, keys } = await setUp(t, kind);
      await replace(await add('first'), 'second');
      await run('delete from unreferenced_originals');
      assert.equal((await collect({ sweep: 0 })).originals, 1);
      assert.ok(!(await keys()).includes(originalKey(digestOf('first'))));
    });

    test('starts the grace period again for bytes that were stored again', async (t) => {
      const { add, replace, collect, run } = await setUp(t, kind);
      await replace(await add('first'), 'second');
      const past = kind === 'remote' ? "timestamp 'epoch'" : '1';
      await run(`update unreferenced_originals set unreferenced_on = ${past}`);
      const preview = await collect({ grace: DAY, sweep: 0, dryRun: true });
      const summary = await collect({ grace: DAY, sweep: 0 });
      assert.deepEqual(preview, summary);
      assert.deepEqual([summary.originals, summary.waiting], [0, 1]);
      const [row] = await run('select unreferenced_on from unreferenced_originals');
      assert.ok(Date.now() - Number(row?.unreferenced_on) < DAY);
    });

    test('sweeps a large store in parts, and continues where the last run ended', async (t) => {
      const { add, store, collect, run, driver } = await setUp(t, kind);
      await add('kept');
      await run('update accounts set image_count = 20000');
      const orphans = await Promise.all(texts(40).map(store));
      const swept: string[] = [];
      const watched = withChanges(driver, {
        list(prefix, signal) {
          if (prefix.startsWith('originals/')) swept.push(prefix);
          return driver.list(prefix, signal);
        },
      });
      const removed: string[] = [];
      for (const quarter of ['0123', '4567', '89ab', 'cdef']) {
        const preview = await collect({ sweep: 0.25, dryRun: true });
        const summary = await collect({ sweep: 0.25, onOriginal: (digest) => removed.push(digest) }, watched);
        assert.deepEqual(preview, summary);
        const expected = orphans.filter((digest) => quarter.includes(digest[0] as string));
        assert.equal(summary.originals, expected.length, quarter);
        assert.deepEqual(
          swept.splice(0),
          [...quarter].map((digit) => `originals/${digit}`),
        );
      }
      assert.deepEqual(removed.toSorted(), orphans.toSorted());
    });

    test('stops between two originals, and the next run removes the rest', async (t) => {
      const { store, collect } = await setUp(t, kind);
      for (const text of texts(20)) await store(text);
      const controller = new AbortController();
      let removed = 0;
      const onOriginal = () => {
        removed += 1;
        if (removed === 5) controller.abort();
      };
      await assert.rejects(collect({ signal: controller.signal, onOriginal }), { code: 'cancelled' });
      assert.ok(removed >= 5 && removed < 20);
      // Without a sweep, because the run before has found all of them.
      assert.equal((await collect({ sweep: 0 })).originals, 20 - removed);
    });

    test('continues after a removal that fails, and tries it again in the next run', async (t) => {
      const { store, collect, driver, keys } = await setUp(t, kind);
      const [lost, ...others] = await Promise.all(texts(12).map(store));
      assert.ok(lost);
      const over = failing(driver, (call, key) => call === 'delete' && key === originalKey(lost));
      const failures: unknown[] = [];
      const onFailure = (...failure: unknown[]) => failures.push(failure);
      const summary = await collect({ onFailure }, over);
      assert.deepEqual([summary.originals, summary.failed], [others.length, 1]);
      assert.deepEqual(failures, [[`original ${lost}`, 'the store failed delete']]);
      assert.deepEqual(await keys('originals/'), [originalKey(lost)]);
      assert.equal((await collect({ sweep: 0 })).originals, 1);
      assert.deepEqual(await keys('originals/'), []);
    });

    for (const [part, prefix] of [
      ['its second key', 'removed/'],
      ['a rung', 'rungs/'],
    ] as const) {
      test(`tries again if ${part} cannot be removed`, async (t) => {
        const { add, replace, collect, driver, keys } = await setUp(t, kind);
        await replace(await add('first'), 'second');
        const over = failing(driver, (call, key) => call === 'delete' && key.startsWith(prefix));
        assert.equal((await collect({ sweep: 0 }, over)).failed, 1);
        await collect({ sweep: 0 });
        const digest = digestOf('first');
        assert.deepEqual(
          (await keys()).filter((key) => key.includes(digest) && !key.startsWith('removed/')),
          [],
        );
        // A second key stays for a day.
        await collect({ sweep: 0 }, driver, new Date(Date.now() + 1.1 * DAY));
        assert.deepEqual(
          (await keys()).filter((key) => key.includes(digest)),
          [],
        );
      });
    }

    test('continues after a part of the store that cannot be listed, and lists it in the next run', async (t) => {
      const { add, store, collect, run, driver } = await setUp(t, kind);
      await add('kept');
      await run('update accounts set image_count = 20000');
      const orphans = await Promise.all(texts(10).map(store));
      const [lost = ''] = orphans;
      const [start = ''] = lost;
      const unlisted = orphans.filter((digest) => digest.startsWith(start));
      const over = failing(driver, (call, key) => call === 'list' && key === `originals/${start}`);
      const failures: string[] = [];
      const summary = await collect({ sweep: 1, onFailure: (subject) => failures.push(subject) }, over);
      assert.deepEqual(
        [summary.originals, failures],
        [orphans.length - unlisted.length, [`the list of digests with the start ${start}`]],
      );
      // The next run gets the part at its end, although it sweeps very little.
      assert.equal((await collect({ sweep: 0.001 })).originals, unlisted.length);
    });

    test('ends after a thousand failures', async (t) => {
      const { records, collect, driver } = await setUp(t, kind);
      await records.maintenance.recordCandidates(
        texts(1_200).map((text) => ({ digest: digestOf(text), unreferencedOn: new Date(0) })),
      );
      const over = withChanges(driver, {
        stat: () => Promise.reject(new AppError('unavailable', 'the store failed')),
      });
      let failures = 0;
      const onFailure = () => {
        failures += 1;
      };
      await assert.rejects(collect({ sweep: 0, onFailure }, over), {
        code: 'unavailable',
        message: 'the blob store failed 1000 times: 0 originals were removed, and the next run continues',
      });
      assert.ok(failures >= 1_000 && failures < 1_010, `${failures}`);
    });

    test('removes an original again that a removal of unknown outcome restored later', async (t) => {
      const { add, replace, collect, driver, blobs, keys, run } = await setUp(t, kind);
      await replace(await add('first'), 'second');
      const key = originalKey(digestOf('first'));
      const first = await collect(
        { sweep: 0 },
        failing(driver, (call, name) => call === 'delete' && name === key),
      );
      assert.equal(first.failed, 1);
      assert.equal((await collect({ sweep: 0 })).originals, 1);
      // Each server does this once an hour. The second key of the first run is still there.
      await blobs.undoUnfinishedRemovals();
      assert.deepEqual(await keys(key), [key]);
      assert.equal((await collect({ sweep: 0 })).originals, 1);
      await collect({ sweep: 0 }, driver, new Date(Date.now() + 1.1 * DAY));
      assert.deepEqual(await keys('removed/'), []);
      assert.deepEqual(await keys(key), []);
      assert.deepEqual(await run('select digest from unreferenced_originals'), []);
    });

    test('keeps a candidate whose bytes an upload stores again during the removal, and then gives up', async (t) => {
      const { add, replace, store, collect, driver, keys } = await setUp(t, kind);
      await replace(await add('first'), 'second');
      const over = withChanges(driver, {
        async delete(key, signal) {
          await driver.delete(key, signal);
          if (key.startsWith('removed/')) await store('first');
        },
      });
      assert.equal((await collect({ sweep: 0 }, over)).originals, 1);
      assert.ok((await keys()).includes(originalKey(digestOf('first'))));
      assert.equal((await collect({ sweep: 0 }, driver, new Date(Date.now() + DAY))).originals, 1);
      assert.ok(!(await keys()).includes(originalKey(digestOf('first'))));
    });

    test('shares the work between two runs at once, which repeat at most the last few removals', async (t) => {
      const { add, replace, store, collect, driver, keys } = await setUp(t, kind);
      for (const text of texts(30)) await replace(await add(text), `${text} again`);
      await Promise.all(texts(30).map(store));
      const deleted: string[] = [];
      const watched = withChanges(driver, {
        async delete(key, signal) {
          if (key.startsWith('originals/')) deleted.push(key);
          return driver.delete(key, signal);
        },
        // The start of a run may undo a removal of the other one, which is then repeated.
        async *list(prefix, signal) {
          if (prefix !== 'removed/') yield* driver.list(prefix, signal);
        },
      });
      const [one, two] = await Promise.all([collect({}, watched), collect({}, watched)]);
      assert.ok(one.originals > 0 && two.originals > 0, JSON.stringify([one, two]));
      assert.equal(new Set(deleted).size, 60);
      assert.ok(deleted.length <= 80, `${deleted.length} removals of 60 originals`);
      assert.equal((await keys('originals/')).length, 30);
      assert.equal((await collect()).originals, 0);
    });

    test('removes rungs of earlier ladders after the grace period, and no others', async (t) => {
      const { add, blobs, collect, driver, keys } = await setUp(t, kind);
      await add('first');
      const digest = digestOf('first');
      const names = ['1-1024.jpeg', '3-1024.png', '99-512.avif', 'other.jpeg'];
      await blobs.storeRungs(
        digest,
        names.map((name) => ({ name, bytes: Buffer.from('old rung') })),
      );
      assert.equal((await collect({ grace: DAY })).rungs, 0);
      const later = new Date(Date.now() + 1.1 * DAY);
      const preview = await collect({ grace: DAY, dryRun: true }, driver, later);
      const summary = await collect({ grace: DAY }, driver, later);
      assert.deepEqual(preview, summary);
      assert.deepEqual([summary.rungs, summary.bytes], [1, 8]);
      assert.deepEqual(
        (await keys('rungs/')).map((key) => key.split('/').at(-1)),
        ['3-1024.jpeg', '3-1024.png', '99-512.avif', 'other.jpeg'],
      );
    });
  });
}

describe('garbage collection on an S3 server in trouble', { skip }, () => {
  const setUpProxy = async (t: TestContext, limits: SetUpOptions['limits'] = {}) => {
    assert.ok(s3);
    const proxy = await startFaultProxy(s3.port);
    t.after(() => proxy.close());
    return { proxy, ...(await setUp(t, 'remote', { endpoint: proxy.endpoint, limits })) };
  };

  test('counts a DELETE that gets 500, and continues', async (t) => {
    const { proxy, store, collect, keys } = await setUpProxy(t);
    const [lost = ''] = await Promise.all(texts(8).map(store));
    proxy.fault = ({ method, path }) =>
      method === 'DELETE' && path.includes(`${originalKey(lost)}?`) ? 'full-500' : undefined;
    const { originals, failed } = await collect();
    assert.deepEqual([originals, failed], [7, 1]);
    proxy.fault = undefined;
    assert.equal((await collect({ sweep: 0 })).originals, 1);
    assert.deepEqual(await keys('originals/'), []);
  });

  test('ends when the store is away, and the next run continues', async (t) => {
    const { proxy, store, collect, keys } = await setUpProxy(t);
    await Promise.all(texts(30).map(store));
    let removed = 0;
    const failing = collect({
      onOriginal() {
        removed += 1;
        proxy.fault = () => 'full-500';
      },
    });
    await assert.rejects(failing, {
      code: 'unavailable',
      message: /^the blob store does not answer: \d+ originals were removed, and the next run continues$/,
    });
    assert.ok(removed < 30);
    proxy.fault = undefined;
    // The circuit lets a call through a moment later.
    const rest = await collectWhenOpen(() => collect({ sweep: 0 }));
    assert.equal(rest.originals, 30 - removed);
    assert.deepEqual(await keys('originals/'), []);
  });

  test('a DELETE without an answer that arrives late removes no bytes that an image references', async (t) => {
    const { proxy, add, replace, store, images, collect, keys } = await setUpProxy(t, { background: 300 });
    const imageID = await add('first');
    await replace(imageID, 'second');
    const digest = digestOf('first');
    proxy.fault = ({ method, path }) =>
      method === 'DELETE' && path.includes(`${originalKey(digest)}?`) ? 'hold' : undefined;
    assert.equal((await collect({ sweep: 0 })).failed, 1);
    proxy.fault = undefined;
    // An upload of the same bytes comes, and then the DELETE.
    const outcome = await images.insert(newImage('first'), { defaultQuota: 9 });
    assert.ok(outcome.kind === 'collected');
    await store('first');
    const { token: markerToken } = outcome;
    const added = await images.insert(newImage('first'), { defaultQuota: 9, markerToken });
    assert.equal(added.kind, 'inserted');
    await proxy.releaseHeld();
    assert.deepEqual(await keys(originalKey(digest)), []);
    assert.equal((await collect({ sweep: 0 })).originals, 0);
    assert.deepEqual(await keys(originalKey(digest)), [originalKey(digest)]);
  });
});

/** Repeats a run until the circuit of its driver is closed. */
async function collectWhenOpen<T>(collect: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await collect();
    } catch (error) {
      if (!(error instanceof AppError) || error.retryAfter === undefined) throw error;
    }
  }
}
