import assert from 'node:assert/strict';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import type { ReadinessReport } from '../../../src/telemetry/readiness.ts';
import { mountSmallDisk, remount } from '../../support/disks.ts';
import { readMetrics } from '../../support/metrics.ts';
import { startServer, type TestServer } from '../../support/server.ts';
import { waitFor } from '../../support/waiting.ts';

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
  const { status, reads, writes } = report;
  return { status, reads, writes, ...Object.fromEntries(each) };
}

function untilReadsFail(server: TestServer): Promise<void> {
  return waitFor(
    'the readiness for reads',
    async () => (await requestReadiness(server)).report.reads,
    (reads) => reads === 'failed',
  );
}

/** Polls until the status changes. The server reuses each report for a second. */
async function waitForChange(server: TestServer, from: number): Promise<Answer> {
  for (;;) {
    const answer = await requestReadiness(server);
    if (answer.status !== from) return answer;
  }
}

const HEALTHY = {
  ...{ status: 'ok', reads: 'ok', writes: 'ok' },
  ...{ database: 'ok', blobs: 'ok', disk: 'ok', decoder: 'ok' },
};

/** The status codes for reads and for writes. */
async function statusesFor(server: TestServer): Promise<number[]> {
  const statuses: number[] = [];
  for (const purpose of ['reads', 'writes']) {
    statuses.push((await server.fetch(`/readyz?for=${purpose}`)).status);
  }
  return statuses;
}

describe('/readyz', () => {
  test('answers for reads and for writes with the dependencies that they need', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    await waitForChange(server, 503);
    const namesOf = async (purpose: string) => {
      const response = await server.fetch(`/readyz?for=${purpose}`);
      assert.deepEqual([response.status, response.headers.get('cache-control')], [200, 'no-store']);
      const { status, dependencies, ...others } = (await response.json()) as ReadinessReport;
      assert.deepEqual([status, others], ['ok', {}]);
      return Object.keys(dependencies);
    };
    assert.deepEqual(await namesOf('reads'), ['disk', 'decoder']);
    assert.deepEqual(await namesOf('writes'), ['database', 'blobs', 'disk', 'decoder']);
    for (const query of ['for=all', 'for=', 'for=reads&for=writes']) {
      const response = await server.fetch(`/readyz?${query}`);
      assert.equal(response.status, 400, query);
      assert.match(await response.text(), /for must be/);
    }
  });

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
    const failed = { ...HEALTHY, status: 'failed', writes: 'failed', blobs: 'failed' };
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);

    const filler = join(disk, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
    assert.deepEqual(statusesOf(await waitForChange(server, 200)), failed);
    assert.equal((await server.fetch('/livez')).status, 200, 'a restart would not help');
    assert.deepEqual(await statusesFor(server), [200, 503]);
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
    assert.deepEqual(statusesOf(failed), {
      ...HEALTHY,
      ...{ status: 'failed', writes: 'failed', database: 'failed' },
    });
    assert.deepEqual(await statusesFor(server), [200, 503]);
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
    // The first report may have checked the disk just before.
    await untilReadsFail(server);
    assert.deepEqual(statusesOf(await requestReadiness(server)), {
      ...HEALTHY,
      ...{ status: 'failed', reads: 'failed', writes: 'failed', blobs: 'failed', disk: 'failed' },
    });
    assert.deepEqual(await statusesFor(server), [503, 503]);
    await rename(`${blobs}-elsewhere`, blobs);
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
  });

  test('is 503 for reads too while the disk of the blobs is not mounted', async (t) => {
    const server = await startServer();
    t.after(() => server.close());
    assert.deepEqual(statusesOf(await waitForChange(server, 503)), HEALTHY);
    const blobs = join(server.folder, 'blobs');
    await rename(blobs, `${blobs}-elsewhere`);
    await mkdir(join(blobs, 'staging'), { recursive: true });
    await untilReadsFail(server);
    assert.deepEqual(await statusesFor(server), [503, 503]);
    const metrics = await readMetrics(server);
    assert.deepEqual(metrics.all('vitrine_ready').toSorted(), [
      'vitrine_ready{for="reads"} 0',
      'vitrine_ready{for="writes"} 0',
    ]);
  });
});
