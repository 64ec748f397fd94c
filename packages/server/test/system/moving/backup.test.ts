/**
 * A backup and a restore of a library on PostgreSQL and S3 whose originals are larger than the memory that
 * the commands may use.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CREDENTIALS, startS3 } from '../../blobs/s3-servers.ts';
import { BY, newImage } from '../../conformance/metadata-samples.ts';
import { newBlobs, readRows } from '../../maintenance/moving/moves.ts';
import { VITRINE } from '../../support/command.ts';
import { runWithStores } from '../../support/libraries.ts';
import { startPostgres } from '../../support/postgres.ts';
import { memoryOf } from '../../support/processes.ts';
import { ACCOUNT, startServer } from '../../support/server.ts';

const { postgres, skip: noPostgres } = await startPostgres();
const { s3, skip: noS3 } = await startS3();
const skip = noPostgres || noS3 || (process.platform !== 'linux' && 'reads the memory from /proc');

const MIB = 1024 * 1024;
const ORIGINALS = 60;
const ORIGINAL_BYTES = 8 * MIB;
/** Eight originals, and the process itself. All originals together are more. */
const MAX_MEMORY = 320 * MIB;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-large-'));
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
  await s3?.stop();
  await postgres?.stop();
});

/** Runs a command. @returns the most memory that it had, in bytes. */
async function peakOf(words: readonly string[], env: Record<string, string>): Promise<number> {
  const [command, ...first] = VITRINE;
  const child: ChildProcess = spawn(command, [...first, ...words], {
    env: { PATH: process.env.PATH, ...CREDENTIALS, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(child.pid ?? 0).peak);
  }, 20);
  const [code] = await once(child, 'exit');
  clearInterval(timer);
  assert.equal(code, 0);
  return peak;
}

test('a backup and a restore on PostgreSQL and S3 have bounded memory', {
  skip,
  timeout: 300_000,
}, async (t) => {
  if (postgres === undefined || s3 === undefined) return;
  const env = async (name: string) => ({
    VITRINE_DATA: join(folder, name),
    VITRINE_DATABASE: await postgres.createEmptyDatabase(),
    VITRINE_BLOBS: await newBlobs(s3),
  });
  const [source, target] = [await env('source'), await env('target')];
  await (await startServer({ ...CREDENTIALS, ...source })).close();
  await runWithStores({ ...CREDENTIALS, ...source }, async ({ metadata, blobs }) => {
    for (let number = 0; number < ORIGINALS; number += 1) {
      const bytes = randomBytes(ORIGINAL_BYTES);
      await using file = await blobs.stage(
        (async function* () {
          yield bytes;
        })(),
        { limit: ORIGINAL_BYTES },
      );
      await blobs.storeOriginal(file);
      const { digest, size } = file;
      const image = newImage('', { original: { ...newImage('').original, digest, size } });
      const { kind } = await metadata.forAccount(ACCOUNT, BY).insert(image, { defaultQuota: 1_000 });
      assert.equal(kind, 'inserted');
    }
  });
  const path = join(folder, 'backup.tar');
  const backupPeak = await peakOf(['backup', path], source);
  assert.ok((await stat(path)).size > ORIGINALS * ORIGINAL_BYTES);
  const restorePeak = await peakOf(['restore', path], target);
  const peaks = `backup ${Math.round(backupPeak / MIB)} MiB, restore ${Math.round(restorePeak / MIB)} MiB`;
  assert.ok(backupPeak < MAX_MEMORY && restorePeak < MAX_MEMORY, peaks);
  assert.ok(backupPeak > 0 && restorePeak > 0, peaks);
  t.diagnostic(peaks);
  assert.deepEqual(await readRows(target), await readRows(source));
  await runWithStores({ ...CREDENTIALS, ...target }, async ({ blobs }) => {
    let count = 0;
    for await (const original of blobs.listOriginals()) {
      assert.ok(await blobs.isOriginalIntact(original, { reads: true }));
      count += 1;
    }
    assert.equal(count, ORIGINALS);
  });
});
