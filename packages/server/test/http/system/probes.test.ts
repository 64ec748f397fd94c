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

async function requestReadiness(server: TestServer): Promise<Answer> {
  const response = await server.fetch('/readyz');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const text = await response.text();
  return { status: response.status, report: JSON.parse(text), text };
}

/** The status of the server and of each dependency. */
function statusesOf({ report }: Answer): unknown {
  const each = Object.entries(report.dependencies).map(([name, { status }]) => [name, status]);
  return { status: report.status, ...Object.fromEntries(each) };
}

/** Polls until the status changes. The server reuses each report for a second. */
async function waitForChange(server: TestServer, from: number): Promise<Answer> {
  for (;;) {
    const answer = await requestReadiness(server);
    if (answer.status !== from) return answer;
  }
}

const HEALTHY = { status: 'ok', database: 'ok', blobs: 'ok', decoder: 'ok' };

describe('/readyz', () => {
  test('names each dependency with its status and latency only', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    // The first worker process may still be starting.
    const answer = await waitForChange(server, 503);
    assert.equal(answer.status, 200);
    assert.deepEqual(statusesOf(answer), HEALTHY);
    for (const dependency of Object.values(answer.report.dependencies)) {
      assert.deepEqual(Object.keys(dependency), ['status', 'latencyMs']);
      assert.ok(dependency.latencyMs >= 0 && dependency.latencyMs < 2_000);
    }
  });

  test('is 503 while blobs cannot be written: on a full disk and on a read-only one', async (t) => {
    const disk = await mountSmallDisk(t, '256k');
    if (disk === undefined) return;
    const server = await startServer({ VITRINE_BLOBS: `file:${join(disk, 'blobs')}` });
    t.after(() => server.close());
    const failed = { ...HEALTHY, status: 'failed', blobs: 'failed' };
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);

    const filler = join(disk, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
    assert.deepEqual(statusesOf(await waitForChange(server, 200)), failed);
    assert.equal((await server.fetch('/livez')).status, 200, 'a restart would not help');
    await rm(filler);
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);

    await remount(disk, 'ro');
    assert.deepEqual(statusesOf(await waitForChange(server, 200)), failed);
    await remount(disk, 'rw');
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
  });

  test('is 503 while the database cannot be written, and names neither paths nor reasons', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    const path = join(server.folder, 'vitrine.db');
    const other = new DatabaseSync(path);
    t.after(() => other.close());
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);

    other.exec('begin immediate');
    const failed = await waitForChange(server, 200);
    assert.deepEqual(statusesOf(failed), { ...HEALTHY, status: 'failed', database: 'failed' });
    assert.doesNotMatch(failed.text, new RegExp(`${server.folder}|sqlite|locked|answer`, 'i'));
    assert.equal((await server.fetch('/livez')).status, 200);
    other.exec('rollback');
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
  });

  test('is 503 while the folder of the blobs is missing', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
    const blobs = join(server.folder, 'blobs');
    await rename(blobs, `${blobs}-elsewhere`);
    assert.deepEqual(statusesOf(await waitForChange(server, 200)), {
      ...HEALTHY,
      status: 'failed',
      blobs: 'failed',
    });
    await rename(`${blobs}-elsewhere`, blobs);
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
  });
});
