/**
 * A whole server while a standby takes the place of its PostgreSQL. One address leads to the primary, as with
 * a proxy or an address that moves.
 */
import assert from 'node:assert/strict';
import { chown, mkdir } from 'node:fs/promises';
import { after, describe, it, type TestContext } from 'node:test';
import { NAMESPACE } from '../../../src/database/postgres/dialect.ts';
import { startTCPProxy } from '../../faults/tcp-proxy.ts';
import { ACCOUNT, uploadForm } from '../../support/client.ts';
import { mountSmallDisk } from '../../support/disks.ts';
import { largePicture } from '../../support/libraries.ts';
import { POSTGRES_USER, startOwnPostgres } from '../../support/postgres.ts';
import { startServerProcess } from '../../support/server-process.ts';
import { waitFor } from '../../support/waiting.ts';
import { startReplicatedPostgres } from '../cluster/parts/replicated-postgres.ts';
import { assertHonest, longest, newPicture, see, startClients } from './clients.ts';

const IMAGES = `/accounts/${ACCOUNT}/images`;

const postgres = await startReplicatedPostgres();
const { postgres: plain } = await startOwnPostgres();
after(async () => {
  await postgres.stop();
});

async function setUp(t: TestContext) {
  // A new library for each test.
  for (const schema of [NAMESPACE, 'public']) await postgres.query(`drop schema if exists ${schema} cascade`);
  await postgres.query('create schema public');
  const proxy = await startTCPProxy(postgres.primaryPort);
  const server = await startServerProcess({
    env: { VITRINE_DATABASE: `postgres://vitrine@127.0.0.1:${proxy.port}/vitrine` },
  });
  t.after(async () => {
    await server.close();
    await proxy.close();
  });
  const image = await server.addImage(await largePicture(10));
  const warm = `${server.url}/images/${image.publicID}?size=400x400`;
  assert.equal((await fetch(warm)).status, 200);
  const upload = async () => {
    const body = uploadForm(await newPicture());
    return see('upload', () => server.fetch(IMAGES, { method: 'POST', body }));
  };
  return {
    proxy,
    server,
    upload,
    list: () => see('list', () => server.fetch(IMAGES)),
    link: () => see('warm link', () => fetch(warm)),
    async assertKept(imageIDs: Iterable<string>) {
      for (const imageID of imageIDs) {
        assert.equal((await server.fetch(`${IMAGES}/${imageID}`)).status, 200, imageID);
      }
    },
  };
}

describe('a server whose primary', () => {
  for (const isSilent of [false, true]) {
    const end = isSilent ? 'vanishes without a word' : 'is killed';
    it(`${end} reads from the standby, and writes to it after its promotion`, async (t) => {
      const { proxy, server, upload, list, link, assertKept } = await setUp(t);
      const clients = startClients(server, 10);
      await waitFor('uploads are acknowledged', () => clients.acknowledged.size >= 10);

      proxy.target = postgres.standbyPort;
      if (isSilent) proxy.silenceOpen();
      await postgres.killPrimary();
      const seen = [await list(), await link()];
      await waitFor('the standby is read', async () => {
        const each = await list();
        seen.push(each);
        return each.status === 200;
      });
      const refused = [await upload(), await upload(), await upload()];
      seen.push(await link(), await list());

      const startedAt = performance.now();
      await postgres.promote();
      const promotedAt = performance.now();
      await waitFor('uploads are accepted again', async () => (await upload()).status === 201);
      const writtenAt = performance.now();
      await clients.stop();
      await waitFor('the server is ready', async () => (await fetch(`${server.url}/readyz`)).status === 200);

      assertHonest(refused, [503]);
      assertHonest(seen, [200, 503]);
      assertHonest(clients.sightings, [200, 201, 503]);
      await assertKept(clients.acknowledged);
      assert.equal(server.exitStatus(), undefined);
      t.diagnostic(
        `${end}: refusals ${longest([...refused, ...clients.sightings], 503)} ms at most; the promotion took ` +
          `${Math.round(promotedAt - startedAt)} ms, the first write ${Math.round(writtenAt - promotedAt)} ms more; ` +
          `${clients.acknowledged.size} uploads acknowledged, none lost`,
      );
      await postgres.createStandby();
    });
  }

  it('does not acknowledge a commit whose wait for the standby was cancelled', async (t) => {
    const { upload } = await setUp(t);
    await postgres.killStandby();
    const uploading = upload();
    await waitFor('the commit is cancelled', async () => {
      const rows = await postgres.query(
        `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`,
      );
      return rows.length > 0;
    });
    assertHonest([await uploading], [503]);
    await postgres.startStandby();
    await waitFor('uploads are accepted again', async () => (await upload()).status === 201);
  });

  it('does not acknowledge what its standby has not got', async (t) => {
    const { server, upload, list, link, assertKept, proxy } = await setUp(t);
    const clients = startClients(server, 6);
    await waitFor('uploads are acknowledged', () => clients.acknowledged.size >= 5);
    await postgres.killStandby();
    await clients.stop();
    // No other client holds a lock: only the commit waits.
    const bytes = await newPicture();
    const uploadAgain = () =>
      see('upload', () => server.fetch(IMAGES, { method: 'POST', body: uploadForm(bytes) }));
    // The second one must not get 409: the first image is not safe yet.
    const alone = [await uploadAgain(), await uploadAgain()];
    const read = [await list(), await link()];
    const others = startClients(server, 6);
    await waitFor('uploads are refused', () => others.sightings.some(({ status }) => status === 503));
    await others.stop();

    // The primary is lost, and the standby comes back with what it had.
    proxy.target = postgres.standbyPort;
    await postgres.killPrimary();
    await postgres.startStandby();
    await postgres.promote();
    await waitFor('uploads are accepted again', async () => (await upload()).status === 201);
    await assertKept(clients.acknowledged);
    await assertKept(others.acknowledged);
    assertHonest(alone, [503]);
    assertHonest(read, [200]);
    assertHonest([...clients.sightings, ...others.sightings], [200, 201, 503]);
    t.diagnostic(`refusals ${longest(alone)} ms at most`);
    await postgres.createStandby();
  });
});

describe('a server whose PostgreSQL', { skip: plain === undefined && 'PostgreSQL cannot be started' }, () => {
  it('has no space left on its disk answers links and lists, and uploads with 507', async (t) => {
    assert.ok(plain);
    const disk = await mountSmallDisk(t, '60m');
    if (disk === undefined) return;
    const folder = `${disk}/space`;
    await mkdir(folder);
    // Before the disk is unmounted.
    t.after(() => plain.crash());
    const { uid, gid } = POSTGRES_USER;
    if (uid !== undefined && gid !== undefined) {
      await chown(disk, uid, gid);
      await chown(folder, uid, gid);
    }
    const direct = await plain.createDatabase();
    const name = new URL(direct).pathname.slice(1);
    await plain.query(plain.url, `create tablespace small location '${folder}'`);
    await plain.query(plain.url, `alter database ${name} set tablespace small`);
    const server = await startServerProcess({ env: { VITRINE_DATABASE: direct } });
    t.after(() => server.close());
    const image = await server.addImage(await largePicture(10));
    const upload = async () => (await server.upload(await newPicture())).status;
    await plain.query(direct, 'create table filler (text text)');
    await assert.rejects(
      plain.query(direct, `insert into filler select repeat('x', 2000) from generate_series(1, 100000)`),
      { code: '53100' },
    );
    // The failed statement has filled the disk, except for pages that have room.
    await waitFor('uploads are refused', upload, (status) => status === 507);
    assert.equal((await fetch(`${server.url}/images/${image.publicID}`)).status, 200);
    assert.equal((await server.fetch(IMAGES)).status, 200);
    await plain.query(direct, 'drop table filler');
    await waitFor('uploads are accepted again', upload, (status) => status === 201);
  });
});
