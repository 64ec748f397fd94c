/**
 * Garbage collection while servers run, on both databases: what `gc` removes and what it keeps.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore } from '../../src/blobs/store.ts';
import { Ladders } from '../../src/delivery/ladders.ts';
import { createPool } from '../../src/imaging/pool/pool.ts';
import type { CollectOptions } from '../../src/maintenance/collect.ts';
import { Maintenance } from '../../src/maintenance/maintenance.ts';
import { withChanges } from '../support/drivers.ts';
import {
  digestOf,
  envOf,
  largePicture,
  originalPath,
  rungPath,
  runMaintenance,
  runWithStores,
  verifyLibrary,
} from '../support/libraries.ts';
import { startPostgres } from '../support/postgres.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const [first, second] = await Promise.all([largePicture(20), largePicture(21)]);
const [unreferenced, current] = [digestOf(first), digestOf(second)];

const DAY = 24 * 60 * 60 * 1000;

function collect(env: Record<string, string>, options: CollectOptions = {}) {
  return runMaintenance(env, (maintenance) => maintenance.collect(options));
}

async function exists(path: string): Promise<boolean> {
  return (await readdir(dirname(path)).catch(() => [] as string[])).includes(
    path.slice(dirname(path).length + 1),
  );
}

/** Sets the times of a file to `ms` milliseconds ago. */
async function makeOlder(path: string, ms: number): Promise<void> {
  const time = new Date(Date.now() - ms);
  await utimes(path, time, time);
}

describe('gc', () => {
  let server: TestServer;
  let env: Record<string, string>;
  let image: ImageJSON;

  beforeEach(async () => {
    server = await startServer();
    env = envOf(server);
    image = await server.addImage(first);
    await server.addImage(second, { replace: image.imageID });
  });
  afterEach(() => server.close());

  test('removes unreferenced originals with their rungs and keeps the others', async () => {
    const digests: string[] = [];
    const summary = await collect(env, { grace: 0, onOriginal: (digest) => digests.push(digest) });
    assert.deepEqual([summary.originals, digests], [1, [unreferenced]]);
    assert.ok(summary.bytes >= first.length);
    assert.equal(await exists(originalPath(server, unreferenced)), false);
    assert.equal(await exists(rungPath(server, unreferenced, '3-1024.png')), false);
    assert.equal(await exists(originalPath(server, current)), true);
    assert.equal(await exists(rungPath(server, current, '3-1024.png')), true);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
    assert.equal((await collect(env, { grace: 0 })).originals, 0);
    // The same bytes can be uploaded again.
    await server.addImage(first);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  });

  test('does not block writes while it removes rungs', async () => {
    const driver = await openFileBlobs({ folder: join(server.folder, 'blobs') });
    let writes = 0;
    // Each removal waits for a write. It would wait forever if it held the lock of the writers.
    const slow = withChanges(driver, {
      async delete(key, signal) {
        if (key.startsWith('rungs/')) {
          const { status } = await server.send(
            'PUT',
            `/accounts/${ACCOUNT}/images/${image.imageID}/metadata`,
            {
              altText: key,
            },
          );
          assert.equal(status, 200);
          writes += 1;
        }
        return driver.delete(key, signal);
      },
    });
    const blobs = new BlobStore(slow);
    const summary = await runWithStores(env, async ({ metadata }) => {
      const unused = createPool({ size: 1 });
      try {
        return await new Maintenance({
          records: metadata.maintenance,
          blobs,
          processor: unused,
          ladders: new Ladders({ blobs, processor: unused }),
          damagedRenditions: async function* () {},
        }).collect({ grace: 0 });
      } finally {
        await unused.close();
        await blobs.close();
      }
    });
    assert.deepEqual([summary.originals, writes], [1, 1]);
    assert.equal(await exists(rungPath(server, unreferenced, '3-1024.png')), false);
  });

  test('keeps originals that became unreferenced within the grace period, even if their bytes are older', async () => {
    await makeOlder(originalPath(server, unreferenced), 30 * DAY);
    const summary = await collect(env);
    assert.deepEqual([summary.originals, summary.waiting], [0, 1]);
    assert.equal(await exists(originalPath(server, unreferenced)), true);
    assert.equal((await collect(env, { grace: DAY - 1 })).waiting, 1);
    // It also keeps the rungs of this original, although they are old.
    await makeOlder(rungPath(server, unreferenced, '3-1024.png'), 30 * DAY);
    assert.equal((await collect(env)).rungs, 0);
    assert.equal(await exists(rungPath(server, unreferenced, '3-1024.png')), true);
  });

  test('keeps new blobs that were never referenced, because an upload may still reference them', async () => {
    const [original, rung] = [
      originalPath(server, 'ab'.repeat(32)),
      rungPath(server, 'cd'.repeat(32), '3-1024.png'),
    ];
    for (const path of [original, rung]) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, 'new');
    }
    const summary = await collect(env);
    assert.deepEqual([summary.originals, summary.rungs, summary.waiting], [0, 0, 2]);
    for (const path of [original, rung]) assert.equal(await exists(path), true, path);
  });

  test('keeps the rungs of an image whose original is lost', async () => {
    await rm(originalPath(server, current));
    await makeOlder(rungPath(server, current, '3-1024.png'), 30 * DAY);
    assert.equal((await collect(env, { grace: 0 })).rungs, 0);
    assert.equal(await exists(rungPath(server, current, '3-1024.png')), true);
  });

  test('adds a marker row for each removed original', async () => {
    await collect(env, { grace: 0 });
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    const markers = raw.prepare('select digest from collected_originals').all();
    raw.close();
    assert.deepEqual(
      markers.map(({ digest }) => digest),
      [unreferenced],
    );
  });

  test('removes what a crash left: unreferenced originals, rungs without an original, old staged files', async () => {
    const orphan = 'ab'.repeat(32);
    const orphanRung = rungPath(server, 'cd'.repeat(32), '3-1024.png');
    const [stale, young] = ['stale.part', 'young.part'].map((name) =>
      join(server.folder, 'blobs/staging', name),
    );
    assert.ok(stale !== undefined && young !== undefined);
    for (const path of [
      originalPath(server, orphan),
      rungPath(server, orphan, '1-2048.jpeg'),
      orphanRung,
      stale,
      young,
    ]) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, 'orphaned');
      if (path !== young) await makeOlder(path, 2 * DAY);
    }
    const dryRun = await collect(env, { dryRun: true });
    assert.equal(await exists(originalPath(server, orphan)), true);
    assert.deepEqual(await collect(env), dryRun);
    assert.deepEqual([dryRun.originals, dryRun.rungs, dryRun.stagedFiles], [1, 1, 1]);
    for (const path of [
      originalPath(server, orphan),
      rungPath(server, orphan, '1-2048.jpeg'),
      orphanRung,
      stale,
    ]) {
      assert.equal(await exists(path), false, path);
    }
    assert.equal(await exists(young), true);
    // Even without a grace period a young staged file stays, because its upload may still run.
    assert.equal((await collect(env, { grace: 0 })).stagedFiles, 0);
  });

  test('removes nothing while a backup runs, and works again when the pause of a killed backup expires', async () => {
    await runWithStores(env, ({ metadata }) =>
      metadata.maintenance.pauseCollection('dead', new Date(Date.now() + DAY)),
    );
    await assert.rejects(collect(env, { grace: 0 }), {
      code: 'conflict',
      message: /a backup is running/,
    });
    assert.equal(await exists(originalPath(server, unreferenced)), true);
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('update collection_holds set held_until = 1');
    raw.close();
    assert.equal((await collect(env, { grace: 0 })).originals, 1);
  });
});

/**
 * Uploads the same bytes to four accounts, through all servers, while `gc` runs without a grace period.
 * @returns the number of originals that `gc` removed
 */
async function raceUploads(
  servers: readonly TestServer[],
  env: Record<string, string>,
  rounds: number,
): Promise<number> {
  const [server] = servers;
  assert.ok(server);
  const accounts = await Promise.all(
    Array.from({ length: 4 }, async (_, i) => {
      const { body } = await server.send('POST', '/accounts', { displayName: `Racer ${i}` });
      return (body as { accountID: string }).accountID;
    }),
  );
  let removed = 0;
  const bytes = await Promise.all(Array.from({ length: rounds + 1 }, (_, round) => picture(round)));
  await runMaintenance(env, async (maintenance) => {
    let working = true;
    const collectors = Array.from({ length: 2 }, async () => {
      while (working) removed += (await maintenance.collect({ grace: 0 })).originals;
    });
    const uploads = accounts.map(async (account, i) => {
      const node = servers[i % servers.length] ?? server;
      const image = await node.addImage(bytes[rounds] as Buffer, { account });
      for (let round = 0; round < rounds; round += 1) {
        // All images have the same bytes for a moment. Then they are replaced, and `gc` removes them at once.
        await node.addImage(bytes[round] as Buffer, { account, replace: image.imageID });
        const response = await node.fetch(`/accounts/${account}/images/${image.imageID}`);
        assert.equal(response.status, 200);
      }
    });
    await Promise.all(uploads).finally(() => {
      working = false;
    });
    await Promise.all(collectors);
  });
  assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  return removed;
}

for (const [database, unavailable, nodes] of [
  ['SQLite', false, 1],
  ['PostgreSQL', skip, 3],
] as const) {
  test(`gc without a grace period keeps the bytes of concurrent uploads, with ${database} and ${nodes} nodes`, {
    skip: unavailable,
    timeout: 120_000,
  }, async () => {
    const url = database === 'PostgreSQL' ? await postgres?.createDatabase() : undefined;
    const node = await startServer(url === undefined ? {} : { VITRINE_DATABASE: url });
    const servers = [node];
    try {
      while (servers.length < nodes) {
        servers.push(
          await startServer({
            VITRINE_DATA: join(node.folder, `node-${servers.length}`),
            VITRINE_BLOBS: `file:${join(node.folder, 'blobs')}`,
            VITRINE_DATABASE: url ?? '',
          }),
        );
      }
      const rounds = Number(process.env.GC_ROUNDS ?? 10);
      const removed = await raceUploads(servers, envOf(node, url), rounds);
      assert.ok(removed > 0, `gc removed ${removed} originals during the race`);
    } finally {
      for (const server of servers.reverse()) await server.close();
    }
  });
}
