/**
 * What `gc` takes away from a library, and what it leaves: beside servers that work, on both databases.
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
const [old, current] = [digestOf(first), digestOf(second)];

const DAY = 24 * 60 * 60 * 1000;

function collected(env: Record<string, string>, options: CollectOptions = {}) {
  return runMaintenance(env, (maintenance) => maintenance.collect(options));
}

async function isThere(path: string): Promise<boolean> {
  return (await readdir(dirname(path)).catch(() => [] as string[])).includes(
    path.slice(dirname(path).length + 1),
  );
}

async function age(path: string, by: number): Promise<void> {
  const time = new Date(Date.now() - by);
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

  test('takes what no image names, with its rungs, and leaves the rest', async () => {
    const told: string[] = [];
    const done = await collected(env, { grace: 0, onOriginal: (digest) => told.push(digest) });
    assert.deepEqual([done.originals, told], [1, [old]]);
    assert.ok(done.bytes >= first.length);
    assert.equal(await isThere(originalPath(server, old)), false);
    assert.equal(await isThere(rungPath(server, old, '1-1024.jpeg')), false);
    assert.equal(await isThere(originalPath(server, current)), true);
    assert.equal(await isThere(rungPath(server, current, '1-1024.jpeg')), true);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
    assert.equal((await collected(env, { grace: 0 })).originals, 0);
    // And it can come back.
    await server.addImage(first);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  });

  test('holds up nobody who writes while it removes rungs, however long that takes', async () => {
    const driver = await openFileBlobs({ folder: join(server.folder, 'blobs') });
    let written = 0;
    // As long as a change of the server takes; under the lock of all who write it would never come to its end.
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
          written += 1;
        }
        return driver.delete(key, signal);
      },
    });
    const blobs = new BlobStore(slow);
    const done = await runWithStores(env, async ({ metadata }) => {
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
    assert.deepEqual([done.originals, written], [1, 1]);
    assert.equal(await isThere(rungPath(server, old, '1-1024.jpeg')), false);
  });

  test('leaves what ceased to be named a short while ago, however old its bytes are', async () => {
    await age(originalPath(server, old), 30 * DAY);
    const before = await collected(env);
    assert.deepEqual([before.originals, before.waiting], [0, 1]);
    assert.equal(await isThere(originalPath(server, old)), true);
    assert.equal((await collected(env, { grace: DAY - 1 })).waiting, 1);
    // Nor the rungs of what stays, however old they are.
    await age(rungPath(server, old, '1-1024.jpeg'), 30 * DAY);
    assert.equal((await collected(env)).rungs, 0);
    assert.equal(await isThere(rungPath(server, old, '1-1024.jpeg')), true);
  });

  test('leaves what came a short while ago and was never named: an upload may be about to', async () => {
    const [original, rung] = [
      originalPath(server, 'ab'.repeat(32)),
      rungPath(server, 'cd'.repeat(32), '1-1024.jpeg'),
    ];
    for (const path of [original, rung]) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, 'just come');
    }
    const done = await collected(env);
    assert.deepEqual([done.originals, done.rungs, done.waiting], [0, 0, 2]);
    for (const path of [original, rung]) assert.equal(await isThere(path), true, path);
  });

  test('leaves the rungs of an image whose original is lost: they are what is left of it', async () => {
    await rm(originalPath(server, current));
    await age(rungPath(server, current, '1-1024.jpeg'), 30 * DAY);
    assert.equal((await collected(env, { grace: 0 })).rungs, 0);
    assert.equal(await isThere(rungPath(server, current, '1-1024.jpeg')), true);
  });

  test('remembers what it took, for uploads that found it there before', async () => {
    await collected(env, { grace: 0 });
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    const marks = raw.prepare('select digest from collected_originals').all();
    raw.close();
    assert.deepEqual(
      marks.map(({ digest }) => digest),
      [old],
    );
  });

  test('takes what a crash left: an original that was never named, rungs without one, files in staging', async () => {
    const orphan = 'ab'.repeat(32);
    const lost = rungPath(server, 'cd'.repeat(32), '1-1024.jpeg');
    const [stale, young] = ['stale.part', 'young.part'].map((name) =>
      join(server.folder, 'blobs/staging', name),
    );
    assert.ok(stale !== undefined && young !== undefined);
    for (const path of [
      originalPath(server, orphan),
      rungPath(server, orphan, '1-2048.jpeg'),
      lost,
      stale,
      young,
    ]) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, 'left over');
      if (path !== young) await age(path, 2 * DAY);
    }
    const planned = await collected(env, { dryRun: true });
    assert.equal(await isThere(originalPath(server, orphan)), true);
    assert.deepEqual(await collected(env), planned);
    assert.deepEqual([planned.originals, planned.rungs, planned.stagedFiles], [1, 1, 1]);
    for (const path of [originalPath(server, orphan), rungPath(server, orphan, '1-2048.jpeg'), lost, stale]) {
      assert.equal(await isThere(path), false, path);
    }
    assert.equal(await isThere(young), true);
    // Not even without any grace: it may be an upload that is on its way.
    assert.equal((await collected(env, { grace: 0 })).stagedFiles, 0);
  });

  test('takes nothing while a backup is made, but goes on when one that was killed has been forgotten', async () => {
    await runWithStores(env, ({ metadata }) =>
      metadata.maintenance.pauseCollection('dead', new Date(Date.now() + DAY)),
    );
    await assert.rejects(collected(env, { grace: 0 }), {
      code: 'conflict',
      message: /a backup is running/,
    });
    assert.equal(await isThere(originalPath(server, old)), true);
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('update collection_holds set held_until = 1');
    raw.close();
    assert.equal((await collected(env, { grace: 0 })).originals, 1);
  });
});

/** Uploads of the same bytes by many, on all servers, while collectors without any grace try to take them away. */
async function race(
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
  let taken = 0;
  const bytes = await Promise.all(Array.from({ length: rounds + 1 }, (_, round) => picture(round)));
  await runMaintenance(env, async (maintenance) => {
    let working = true;
    const collectors = Array.from({ length: 2 }, async () => {
      while (working) taken += (await maintenance.collect({ grace: 0 })).originals;
    });
    const uploads = accounts.map(async (account, i) => {
      const own = servers[i % servers.length] ?? server;
      const image = await own.addImage(bytes[rounds] as Buffer, { account });
      for (let round = 0; round < rounds; round += 1) {
        // Each image shows the same bytes for a moment, and then others: what nobody shows any more is collected at once.
        await own.addImage(bytes[round] as Buffer, { account, replace: image.imageID });
        const answer = await own.fetch(`/accounts/${account}/images/${image.imageID}`);
        assert.equal(answer.status, 200);
      }
    });
    await Promise.all(uploads).finally(() => {
      working = false;
    });
    await Promise.all(collectors);
  });
  assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  return taken;
}

for (const [database, unavailable, nodes] of [
  ['SQLite', false, 1],
  ['PostgreSQL', skip, 3],
] as const) {
  test(`gc without any grace takes nothing from uploads of the same bytes, on ${nodes} nodes with ${database}`, {
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
      const taken = await race(servers, envOf(node, url), rounds);
      assert.ok(taken > 0, `the collectors took ${taken}, so there was a race`);
    } finally {
      for (const server of servers.reverse()) await server.close();
    }
  });
}
