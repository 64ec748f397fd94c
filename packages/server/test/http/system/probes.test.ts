import assert from 'node:assert/strict';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import type { ReadinessReport } from '../../../src/telemetry/readiness.ts';
import { mountSmallDisk, remount } from '../../support/disks.ts';
import { startServer, type TestServer } from '../../support/server.ts';

interface Answer {
  readonly status: number;
  readonly report: ReadinessReport;
  readonly text: string;
}

async function ready(server: TestServer): Promise<Answer> {
  const response = await server.fetch('/readyz');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const text = await response.text();
  return { status: response.status, report: JSON.parse(text), text };
}

/** What each dependency is said to be. */
function said({ report }: Answer): unknown {
  const each = Object.entries(report.dependencies).map(([name, { status }]) => [name, status]);
  return { status: report.status, ...Object.fromEntries(each) };
}

/** Asks until the answer has another status than before: each is good for a second. */
async function changed(server: TestServer, from: number): Promise<Answer> {
  for (;;) {
    const answer = await ready(server);
    if (answer.status !== from) return answer;
  }
}

const WELL = { status: 'ok', database: 'ok', blobs: 'ok', decoder: 'ok' };

describe('/readyz', () => {
  test('names each dependency with its status and how long it took, and nothing else', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    // The first decoding process may still be starting.
    const answer = await changed(server, 503);
    assert.equal(answer.status, 200);
    assert.deepEqual(said(answer), WELL);
    for (const dependency of Object.values(answer.report.dependencies)) {
      assert.deepEqual(Object.keys(dependency), ['status', 'latencyMs']);
      assert.ok(dependency.latencyMs >= 0 && dependency.latencyMs < 2_000);
    }
  });

  test('is 503 while the blobs cannot be written: on a full disk and on a read-only one', async (t) => {
    const disk = await mountSmallDisk(t, '256k');
    if (disk === undefined) return;
    const server = await startServer({ VITRINE_BLOBS: `file:${join(disk, 'blobs')}` });
    t.after(() => server.close());
    const failed = { ...WELL, status: 'failed', blobs: 'failed' };
    assert.deepEqual(said(await changed(server, 503)), WELL);

    const filler = join(disk, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
    assert.deepEqual(said(await changed(server, 200)), failed);
    assert.equal((await server.fetch('/livez')).status, 200, 'a restart would not help');
    await rm(filler);
    assert.deepEqual(said(await changed(server, 503)), WELL);

    await remount(disk, 'ro');
    assert.deepEqual(said(await changed(server, 200)), failed);
    await remount(disk, 'rw');
    assert.deepEqual(said(await changed(server, 503)), WELL);
  });

  test('is 503 while the database can be read but not written, and tells neither paths nor reasons', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    const path = join(server.folder, 'vitrine.db');
    const other = new DatabaseSync(path);
    t.after(() => other.close());
    assert.deepEqual(said(await changed(server, 503)), WELL);

    other.exec('begin immediate');
    const failed = await changed(server, 200);
    assert.deepEqual(said(failed), { ...WELL, status: 'failed', database: 'failed' });
    assert.doesNotMatch(failed.text, new RegExp(`${server.folder}|sqlite|locked|answer`, 'i'));
    assert.equal((await server.fetch('/livez')).status, 200);
    other.exec('rollback');
    assert.deepEqual(said(await changed(server, 503)), WELL);
  });

  test('is 503 while the folder of the blobs is gone', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    assert.deepEqual(said(await changed(server, 503)), WELL);
    const blobs = join(server.folder, 'blobs');
    await rename(blobs, `${blobs}-elsewhere`);
    assert.deepEqual(said(await changed(server, 200)), { ...WELL, status: 'failed', blobs: 'failed' });
    await rename(`${blobs}-elsewhere`, blobs);
    assert.deepEqual(said(await changed(server, 503)), WELL);
  });
});
