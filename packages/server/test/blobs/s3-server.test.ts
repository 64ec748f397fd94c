/**
 * A whole server with its blobs on S3: the life of an image, maintenance, and a store that fails while
 * clients work.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { runChecks } from '../../src/cli/admin/doctor-checks.ts';
import { withMaintenance, withNewStores } from '../../src/cli/admin/stores.ts';
import { writeBackup } from '../../src/maintenance/backup.ts';
import { restoreBackup } from '../../src/maintenance/restore.ts';
import type { ReadinessReport } from '../../src/telemetry/readiness.ts';
import { type Fault, startFaultProxy } from '../faults/http-proxy.ts';
import { envOf, largePicture, runMaintenance, runWithStores, verifyLibrary } from '../support/libraries.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer } from '../support/server.ts';
import { waitFor } from '../support/waiting.ts';
import { startS3 } from './s3-servers.ts';

const { s3, skip } = await startS3();
after(() => s3?.stop());

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A server on a new bucket behind a proxy, and the environment of commands that run next to it. */
async function start(t: TestContext, env: Record<string, string> = {}) {
  assert.ok(s3);
  const proxy = await startFaultProxy(s3.port);
  const bucket = await s3.createBucket();
  const VITRINE_BLOBS = `s3://${bucket}/library?endpoint=${proxy.endpoint}`;
  const server = await startServer({ VITRINE_BLOBS, ...env });
  t.after(async () => {
    proxy.fault = undefined;
    await server.close();
    await proxy.close();
  });
  return {
    proxy,
    server,
    env: { ...envOf(server), VITRINE_BLOBS, ...env },
    /** The keys of all objects. */
    async keys() {
      const names = (await s3?.objectsIn(bucket)) ?? [];
      return names.map((name) => name.replace(/^library\//, ''));
    },
    /** The public rendition of an image in a size. */
    fetchSize: (image: ImageJSON, size: string) =>
      fetch(`${server.url}/images/${image.publicID}?size=${size}`),
    async original(image: ImageJSON) {
      const response = await server.fetch(`/accounts/${ACCOUNT}/images/${image.imageID}/original`);
      return Buffer.from(await response.arrayBuffer());
    },
  };
}

async function assertAway(response: Response): Promise<void> {
  assert.equal(response.status, 503, await response.text());
  assert.ok(Number(response.headers.get('retry-after')) > 0);
}

describe('with a real S3 server', { skip }, () => {
  it('uploads, delivers, replaces, collects, verifies, backs up and restores', async (t) => {
    const { server, env, keys, fetchSize, original } = await start(t);
    const [first, second] = [await largePicture(10), await largePicture(20)];
    const image = await server.addImage(first);
    const stored = await keys();
    const name = sha256(first);
    assert.deepEqual(
      stored.map((key) => key.split('/')[0]),
      ['library', 'originals', 'rungs'],
    );
    assert.equal(stored[1], `originals/${name.slice(0, 2)}/${name}`);
    assert.equal((await server.upload(first)).status, 409);

    for (const size of ['400x400', '300x0', '0x0', '2048x2048']) {
      const response = await fetchSize(image, size);
      assert.equal(response.status, 200, size);
      assert.match(response.headers.get('content-type') ?? '', /^image\//);
    }
    assert.ok((await original(image)).equals(first));
    const cached = await readdir(join(server.folder, 'blob-cache'), { recursive: true });
    assert.equal(cached.filter((path) => path.includes(name)).length, 2, 'the original and its rung');

    await server.addImage(second, { replace: image.imageID });
    assert.ok((await original(image)).equals(second));
    const summary = await runMaintenance(env, (maintenance) => maintenance.collect({ grace: 0 }));
    assert.deepEqual([summary.originals, summary.rungs], [1, 0]);
    assert.ok(
      (await keys()).every((key) => !key.includes(name)),
      'the old original and its rungs are gone',
    );
    assert.equal((await keys()).length, 3, 'no second key is left');

    // Removed bytes can be uploaded again.
    const again = await server.addImage(first);
    assert.ok((await original(again)).equals(first));
    assert.deepEqual(await verifyLibrary(env), []);

    const folder = await mkdtemp(join(tmpdir(), 'vitrine-s3-restore-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'backup.tar');
    await runWithStores(env, ({ metadata, blobs }) =>
      writeBackup({ records: metadata.maintenance, blobs, path }),
    );
    const restoredEnv = {
      VITRINE_DATA: join(folder, 'data'),
      VITRINE_BLOBS: `s3://${await s3?.createBucket()}?endpoint=${s3?.endpoint}`,
    };
    await withNewStores({ env: restoredEnv }, ({ metadata, blobs }) =>
      restoreBackup({ metadata, blobs, path }),
    );
    const restored = await startServer(restoredEnv);
    t.after(() => restored.close());
    for (const { imageID, bytes } of [
      { imageID: image.imageID, bytes: second },
      { imageID: again.imageID, bytes: first },
    ]) {
      const response = await restored.fetch(`/accounts/${ACCOUNT}/images/${imageID}/original`);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
    }
    assert.equal((await fetch(`${restored.url}/images/${image.publicID}?size=200x200`)).status, 200);
  });

  it('repairs a lost rung, and finds a lost and an altered original', async (t) => {
    const { server, env, keys, proxy } = await start(t);
    const bytes = await largePicture(30);
    await server.addImage(bytes);
    const rung = (await keys()).find((key) => key.startsWith('rungs/')) ?? assert.fail();
    const [, , digest = '', name = ''] = rung.split('/');
    await runWithStores(env, ({ blobs }) => blobs.dropRung(digest, name));
    assert.deepEqual(
      (await verifyLibrary(env, { repair: true })).map(({ kind, repaired }) => [kind, repaired]),
      [['rung-missing', true]],
    );
    assert.ok((await keys()).includes(rung));

    proxy.fault = ({ method, path }) =>
      method === 'GET' && path.includes('/originals/') ? 'flip' : undefined;
    assert.deepEqual(
      (await verifyLibrary(env, { rungs: false })).map(({ kind }) => kind),
      ['original-damaged'],
    );
    proxy.fault = undefined;
    await runWithStores(env, ({ blobs }) => blobs.dropOriginal(sha256(bytes)));
    assert.deepEqual(
      (await verifyLibrary(env, { rungs: false })).map(({ kind }) => kind),
      ['original-missing'],
    );
  });

  it('serves warm renditions while the store is away, answers 503 to the rest, and recovers', async (t) => {
    const { server, proxy, fetchSize } = await start(t);
    const image = await server.addImage(await largePicture(40));
    const other = await server.addImage(await largePicture(50));
    const warm = Buffer.from(await (await fetchSize(image, '400x400')).arrayBuffer());
    // Its rung is in the file cache afterwards.
    assert.equal((await fetchSize(image, '320x0')).status, 200);
    await proxy.refuse();
    assert.ok(Buffer.from(await (await fetchSize(image, '400x400')).arrayBuffer()).equals(warm));
    assert.equal((await fetchSize(image, '310x0')).status, 200, 'a new size from a cached rung');
    await assertAway(await fetchSize(other, '310x0'));
    await assertAway(await server.upload(await picture(1)));
    await assertAway(await server.upload(await picture(1), { replace: image.imageID }));
    assert.equal((await fetch(`${server.url}/livez`)).status, 200);
    assert.equal((await server.send('GET', `/accounts/${ACCOUNT}/images`)).status, 200);
    // All nodes miss the store, and each can answer its warm links.
    assert.equal((await fetch(`${server.url}/readyz?for=reads`)).status, 200);
    assert.equal((await fetch(`${server.url}/readyz?for=writes`)).status, 503);
    await proxy.accept();
    await waitFor('the store is used again', async () => (await fetchSize(other, '310x0')).status === 200);
    await server.addImage(await picture(1));
  });

  it('is not ready for reads on a node that has lost its own disk', async (t) => {
    const { server } = await start(t);
    await waitFor('the server is ready', async () => (await fetch(`${server.url}/readyz`)).status === 200);
    await rm(join(server.folder, 'staging'), { recursive: true });
    await waitFor('the disk is missed', async () => {
      const report = (await (await fetch(`${server.url}/readyz`)).json()) as ReadinessReport;
      return report.reads === 'failed' && report.dependencies.disk?.status === 'failed';
    });
    assert.equal((await fetch(`${server.url}/readyz?for=writes`)).status, 503);
  });

  it('answers 503 when the store hangs, before it reads the next upload', async (t) => {
    const { server, proxy, fetchSize } = await start(t);
    const image = await server.addImage(await largePicture(60));
    proxy.fault = () => 'hang';
    const startedAt = performance.now();
    await assertAway(await fetchSize(image, '310x0'));
    t.diagnostic(`503 after ${Math.round(performance.now() - startedAt)} ms`);
    const count = proxy.requests.length;
    await assertAway(await fetchSize(image, '311x0'));
    await assertAway(await server.upload(await picture(2)));
    // The client gets the answer also if it is still sending a large file.
    await assertAway(await server.upload(Buffer.alloc(15_000_000)));
    assert.ok(proxy.requests.length <= count + 1, 'at most one trial went to the store');
    proxy.fault = undefined;
    await waitFor('the store is used again', async () => (await fetchSize(image, '311x0')).status === 200);
  });

  it('loses nothing that it acknowledged, and serves nothing else, under changing faults', async (t) => {
    const { server, proxy, env, fetchSize, original } = await start(t, {
      VITRINE_MEMORY_CACHE_BYTES: '0',
      VITRINE_CACHE_BYTES: '0',
    });
    const faults: Fault[] = ['drop-answer', 'cut', 'flip', 'full-500', 'slow-down', 'html-502'];
    let count = 0;
    // Every third request fails, in a fixed order.
    proxy.fault = () => (++count % 3 === 0 ? faults[(count / 3) % faults.length] : undefined);
    const acknowledged = new Map<string, { image: ImageJSON; bytes: Buffer }>();
    const statuses = new Set<number>();
    await Promise.all(
      Array.from({ length: 4 }, async (_, client) => {
        for (let i = 0; i < 8; i += 1) {
          const bytes = await largePicture((client * 8 + i) * 7);
          const response = await server.upload(bytes);
          statuses.add(response.status);
          if (response.status === 201) {
            const image = (await response.json()) as ImageJSON;
            acknowledged.set(image.imageID, { image, bytes });
            const rendition = await fetchSize(image, '300x0');
            assert.ok([200, 503].includes(rendition.status));
          } else assert.equal(response.status, 503, await response.text());
        }
      }),
    );
    proxy.fault = undefined;
    await waitFor(
      'the store is used again',
      async () => (await fetch(`${server.url}/readyz`)).status === 200,
    );
    assert.ok(acknowledged.size > 0);
    t.diagnostic(`${acknowledged.size} of 32 uploads acknowledged, statuses ${[...statuses]}`);
    for (const { image, bytes } of acknowledged.values()) assert.ok((await original(image)).equals(bytes));
    const findings = await verifyLibrary(env, { repair: true });
    assert.deepEqual(
      findings.filter(({ kind, repaired }) => kind !== 'rung-missing' || !repaired),
      [],
    );
    const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images?count=200`);
    assert.equal(body.length, acknowledged.size, 'each image was acknowledged');
  });

  it('loses nothing that it acknowledged when the store is killed', async (t) => {
    // A store of its own, since other tests use the shared one.
    const { s3: store } = await startS3();
    assert.ok(store);
    t.after(() => store.stop());
    const VITRINE_BLOBS = `s3://${await store.createBucket()}?endpoint=${store.endpoint}`;
    const server = await startServer({ VITRINE_BLOBS, VITRINE_IMAGE_QUOTA: '1000000' });
    t.after(() => server.close());
    const acknowledged = new Map<string, Buffer>();
    let number = 0;
    let isDone = false;
    const uploads = Array.from({ length: 4 }, async () => {
      while (!isDone) {
        number += 1;
        const bytes = await picture(number);
        const response = await server.upload(bytes);
        if (response.status === 201) {
          acknowledged.set(((await response.json()) as ImageJSON).imageID, bytes);
        } else await assertAway(response);
      }
    });
    for (let kill = 1; kill <= 3; kill += 1) {
      const before = acknowledged.size;
      await waitFor('uploads are acknowledged', () => acknowledged.size > before + 5);
      await store.kill();
      await waitFor('the store is missed', async () => (await fetch(`${server.url}/readyz`)).status === 503);
      await store.start();
    }
    const before = acknowledged.size;
    await waitFor('uploads are acknowledged', () => acknowledged.size > before);
    isDone = true;
    await Promise.all(uploads);
    for (const [imageID, bytes] of acknowledged) {
      const response = await server.fetch(`/accounts/${ACCOUNT}/images/${imageID}/original`);
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
    }
    t.diagnostic(`${acknowledged.size} of ${number} uploads acknowledged`);
    assert.deepEqual(await verifyLibrary({ ...envOf(server), VITRINE_BLOBS }), []);
  });

  it('reads only, in a command that changes nothing', async (t) => {
    const { server, proxy, env } = await start(t);
    await server.addImage(await picture(1));
    const count = proxy.requests.length;
    const readable = await withMaintenance(
      { env },
      async (maintenance) => maintenance.collect({ grace: 0, dryRun: true }),
      'read',
    );
    assert.equal(readable.originals, 0);
    const methods = new Set(proxy.requests.slice(count).map(({ method }) => method));
    assert.deepEqual([...methods].sort(), ['GET', 'HEAD']);
  });

  it('checks the bucket in doctor', async (t) => {
    const { env, proxy } = await start(t);
    const check = async () => {
      for await (const result of runChecks(env)) if (result.name === 'blobs') return result;
      return assert.fail();
    };
    const ok = await check();
    assert.equal(ok.outcome, 'ok');
    assert.match(ok.text, /^s3:\/\/bucket-.* at http.* answers and has conditional writes$/);
    await proxy.refuse();
    const failed = await check();
    assert.equal(failed.outcome, 'fail');
    assert.match(failed.text, /cannot be used: .*ECONNREFUSED/);
    await proxy.accept();
  });
});
