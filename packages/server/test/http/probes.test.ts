import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mountSmallDisk, remount } from '../disks.ts';
import { startServer } from '../server.ts';

describe('/readyz', () => {
  test('is 503 while the blobs cannot be written: on a full disk and on a read-only one', async (t) => {
    const disk = await mountSmallDisk(t, '256k');
    if (disk === undefined) return;
    const server = await startServer({ VITRINE_BLOBS: `file:${join(disk, 'blobs')}` });
    t.after(() => server.close());
    const ready = async () => {
      const response = await server.fetch('/readyz');
      assert.equal(response.headers.get('cache-control'), 'no-store');
      return [response.status, await response.json()];
    };
    const well = [200, { status: 'ok', dependencies: { database: 'ok', blobs: 'ok' } }];
    const failed = [503, { status: 'failed', dependencies: { database: 'ok', blobs: 'failed' } }];
    assert.deepEqual(await ready(), well);

    const filler = join(disk, 'filler');
    await assert.rejects(writeFile(filler, Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
    assert.deepEqual(await ready(), failed);
    assert.equal((await server.fetch('/livez')).status, 200, 'a restart would not help');
    await rm(filler);
    assert.deepEqual(await ready(), well);

    await remount(disk, 'ro');
    assert.deepEqual(await ready(), failed);
    await remount(disk, 'rw');
    assert.deepEqual(await ready(), well);
  });
});
