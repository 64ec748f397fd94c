/**
 * `kill -9` before a call of a garbage collection to its database or blob store. The next run completes its
 * work, and no image loses its bytes. By default some calls are tried; with GC_KILLS=all, all of them.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { originalKey, rungKey } from '../../src/blobs/store.ts';
import { startS3 } from '../blobs/s3-servers.ts';
import { digestOf, newImage } from '../conformance/metadata-samples.ts';
import { startPostgres } from '../support/postgres.ts';
import { newLibrary, type Place } from './collected-library.ts';

const { postgres, skip: skipPostgres } = await startPostgres();
const { s3, skip: skipS3 } = await startS3();
after(async () => {
  await s3?.stop();
  await postgres?.stop();
});

const DAY = 24 * 60 * 60 * 1_000;
/** Without GC_KILLS=all, one step of nine is tried. */
const SAMPLE = 9;

/** @returns the standard output; undefined if the process was killed. */
async function runKilled(place: Place, step?: number): Promise<string | undefined> {
  const script = join(import.meta.dirname, 'killed-collection.ts');
  const words = ['--conditions=vitrine-source', script, JSON.stringify(place)];
  if (step !== undefined) words.push(String(step));
  try {
    return (await promisify(execFile)(process.execPath, words)).stdout;
  } catch (error) {
    const { signal } = error as { signal?: string };
    assert.equal(signal, 'SIGKILL', String(error));
    return undefined;
  }
}

/** A library with a replaced original, one without a record, and a rung without an original. */
async function litteredLibrary(kind: Place['kind']) {
  const library = await newLibrary(kind, { postgres, s3 });
  await library.replace(await library.add('replaced'), 'kept');
  await library.store('orphan');
  await library.store('only a rung');
  await library.driver.delete(originalKey(digestOf('only a rung')));
  return library;
}

for (const [kind, name, skip] of [
  ['embedded', 'SQLite and files', false],
  ['remote', 'PostgreSQL and S3', skipPostgres || skipS3],
] as const) {
  describe(`a killed garbage collection on ${name}`, { skip }, () => {
    test('is completed by the next one', { timeout: 1_200_000 }, async () => {
      const complete = await litteredLibrary(kind);
      const steps = Number(await runKilled(complete.place));
      assert.ok(steps > 30, `${steps} steps`);
      const expected = [originalKey(digestOf('kept')), rungKey(digestOf('kept'), '3-1024.jpeg')];
      assert.deepEqual(await complete.keys(), expected);
      await complete.close();

      const all = process.env.GC_KILLS === 'all';
      const first = all ? 1 : 1 + Math.floor(Math.random() * SAMPLE);
      for (let step = first; step <= steps; step += all ? 1 : SAMPLE) {
        const library = await litteredLibrary(kind);
        try {
          assert.equal(await runKilled(library.place, step), undefined, `step ${step}`);
          await library.collect();
          const left = (await library.keys()).filter((key) => !key.startsWith('removed/'));
          assert.deepEqual(left, expected, `step ${step}`);
          // The second key of the killed run stays for a day. A server may restore the original until then.
          await library.blobs.undoUnfinishedRemovals();
          await library.collect({ sweep: 0 }, library.driver, new Date(Date.now() + 1.1 * DAY));
          assert.deepEqual(await library.keys(), expected, `step ${step}, a day later`);
          assert.deepEqual(await library.run('select digest from unreferenced_originals'), []);
          assert.deepEqual(await library.run('select prefix from collection_sweep_claims'), []);
          // The bytes can be uploaded again.
          const outcome = await library.images.insert(newImage('kept too'), { defaultQuota: 9 });
          assert.equal(outcome.kind, 'inserted');
        } finally {
          await library.close();
        }
      }
    });
  });
}
