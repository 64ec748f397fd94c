/**
 * What `verify` finds and repairs in libraries with real damage, while a server runs.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import sharp from 'sharp';
import type { Finding } from '../../src/maintenance/verify.ts';
import {
  addPictures,
  digestOf,
  envOf,
  largePicture,
  originalPath,
  rungPath,
  runMaintenance,
  verifyLibrary,
} from '../support/libraries.ts';
import { startPostgres } from '../support/postgres.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

/** Changes a byte in the middle of a file and keeps its length and times, like a failing disk would. */
async function flipByte(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const bytes = await readFile(path);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8((bytes[middle] ?? 0) ^ 0x55, middle);
  await writeFile(path, bytes);
  await utimes(path, atime, mtime);
}

function summarize(findings: readonly Finding[]): (string | undefined | boolean)[][] {
  return findings.map(({ kind, imageID, repaired }) => [kind, imageID, repaired]);
}

describe('verify', () => {
  let server: TestServer;
  let env: Record<string, string>;
  let small: ImageJSON;
  let large: ImageJSON;
  let smallBytes: Buffer;
  let digest: string;

  beforeEach(async () => {
    server = await startServer();
    env = envOf(server);
    smallBytes = await picture(1);
    small = await server.addImage(smallBytes);
    const bytes = await largePicture(10);
    large = await server.addImage(bytes);
    digest = digestOf(bytes);
  });
  afterEach(() => server.close());

  const link = (image: ImageJSON, size: string) => fetch(`${image.link}?size=${size}`);

  test('finds nothing in an intact library', async () => {
    let originals = 0;
    const findings = await verifyLibrary(env, { onOriginal: () => (originals += 1) });
    assert.deepEqual(findings, []);
    assert.equal(originals, 2);
  });

  test('finds a missing original and does not repair it', async () => {
    await rm(originalPath(server, digestOf(smallBytes)));
    for (const repair of [false, true, false]) {
      const findings = await verifyLibrary(env, { repair, rungs: false });
      assert.deepEqual(summarize(findings), [['original-missing', small.imageID, false]]);
      assert.equal(findings[0]?.accountID, ACCOUNT);
    }
  });

  test('finds nothing after the bytes are uploaded again, to their image or as a duplicate', async () => {
    const path = originalPath(server, digestOf(smallBytes));
    await rm(path);
    await server.addImage(smallBytes, { replace: small.imageID });
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
    await flipByte(path);
    await server.addImage(smallBytes, { replace: small.imageID });
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
    await rm(path);
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(smallBytes)]), 'again.png');
    const response = await server.fetch(`/accounts/${ACCOUNT}/images`, { method: 'POST', body: form });
    assert.equal(response.status, 409);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  });

  test('finds a changed and a truncated original and changes neither', async () => {
    const [altered, cut] = [originalPath(server, digestOf(smallBytes)), originalPath(server, digest)];
    await flipByte(altered);
    await truncate(cut, 1_000);
    const before = [await readFile(altered), await readFile(cut)];
    const findings = await verifyLibrary(env, { repair: true });
    assert.deepEqual(
      new Set(findings.map(({ kind, imageID }) => `${kind} ${imageID}`)),
      new Set([`original-damaged ${small.imageID}`, `original-damaged ${large.imageID}`]),
    );
    assert.match(findings.map(({ text }) => text).join(), /its 1000 bytes have the digest [0-9a-f]{64}/);
    assert.deepEqual([await readFile(altered), await readFile(cut)], before);
  });

  test('finds an original and a rung that cannot be opened, and continues', async () => {
    for (const place of [
      originalPath(server, digestOf(smallBytes)),
      rungPath(server, digest, '3-1024.png'),
    ]) {
      await rm(place);
      // A link to itself cannot be opened, even by root.
      await symlink(place, place);
    }
    const findings = await verifyLibrary(env);
    assert.deepEqual(
      new Map(findings.map(({ imageID, text }) => [imageID, text.slice(0, text.indexOf(':'))])),
      new Map([
        [small.imageID, 'the original cannot be read'],
        [large.imageID, 'the rung 1024 cannot be read'],
      ]),
    );
  });

  test('reports each image of an original that two accounts have', async () => {
    const accountID = '5f3c2a10-9d2b-4a53-8a3f-3f1c2b4d5e6f';
    assert.equal((await server.send('POST', '/accounts', { displayName: 'Two', accountID })).status, 201);
    const other = await server.addImage(smallBytes, { account: accountID });
    await rm(originalPath(server, digestOf(smallBytes)));
    const imageIDs = new Set((await verifyLibrary(env, { rungs: false })).map(({ imageID }) => imageID));
    assert.deepEqual(imageIDs, new Set([small.imageID, other.imageID]));
  });

  test('finds rungs that are missing, damaged or do not match the ladder, and rebuilds them', async () => {
    const path = rungPath(server, digest, '3-1024.png');
    const intact = await readFile(path);
    const damages: [string, () => Promise<unknown>][] = [
      ['is missing', () => rm(path)],
      ['does not decode', () => truncate(path, Math.floor(intact.length / 2))],
      ['is a jpeg of 64x49, and not a png of 1024x731', () => writeFile(path, smallBytes)],
      ['is a jpeg of 1024x731, and not a png of 1024x731', () => sharp(intact).jpeg().toFile(path)],
    ];
    for (const [text, damage] of damages) {
      await damage();
      const findings = await verifyLibrary(env);
      const kind = text === 'is missing' ? 'rung-missing' : 'rung-damaged';
      assert.deepEqual(summarize(findings), [[kind, large.imageID, false]]);
      assert.ok(findings[0]?.text.startsWith(`the rung 1024 ${text}`), findings[0]?.text);
      assert.equal((await verifyLibrary(env, { repair: true }))[0]?.repaired, true);
      assert.deepEqual(await readFile(path), intact);
    }
    await rm(path);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  });

  test('reports a rung as not repaired when the rebuild fails', async () => {
    const folder = dirname(rungPath(server, digest, '3-1024.png'));
    await rm(folder, { recursive: true });
    await writeFile(folder, 'a file in the place of a folder');
    assert.deepEqual(summarize(await verifyLibrary(env, { repair: true })), [
      ['rung-missing', large.imageID, false],
    ]);
  });

  test('removes a damaged rung even when the rebuild fails, so that no request delivers it', async () => {
    const path = rungPath(server, digest, '3-1024.png');
    await truncate(path, 1_000);
    const staging = join(server.folder, 'blobs/staging');
    const findings = await runMaintenance(env, async (maintenance) => {
      await rename(staging, `${staging}-away`);
      await writeFile(staging, 'a file in the place of a folder');
      const findings: Finding[] = [];
      for await (const finding of maintenance.verify({ repair: true })) findings.push(finding);
      await rm(staging);
      await rename(`${staging}-away`, staging);
      return findings;
    });
    assert.deepEqual(summarize(findings), [['rung-damaged', large.imageID, false]]);
    await assert.rejects(stat(path), { code: 'ENOENT' });
  });

  test('does not report an original that was replaced and collected after its record was read', async () => {
    // More originals than one batch has. `verify` checks them in the order of their digests.
    await addPictures(server, 2, 6);
    const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images`);
    const images = (body as ImageJSON[]).map(({ imageID }) => imageID);
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    const rows = raw.prepare('select image_id, digest from images order by digest').all() as {
      image_id: string;
      digest: string;
    }[];
    raw.close();
    const [first, last] = [rows[0], rows.at(-1)];
    assert.ok(first && last && images.includes(last.image_id));
    await rm(originalPath(server, first.digest));
    const findings = await runMaintenance(env, async (maintenance) => {
      const findings: Finding[] = [];
      for await (const finding of maintenance.verify({ rungs: false })) {
        findings.push(finding);
        // At the first finding all records are read, and the last original is not checked yet.
        if (findings.length > 1) continue;
        await server.addImage(await picture(50), { replace: last.image_id });
        assert.equal((await runMaintenance(env, (other) => other.collect({ grace: 0 }))).originals, 1);
      }
      return findings;
    });
    assert.deepEqual(summarize(findings), [['original-missing', first.image_id, false]]);
  });

  test('finds damaged cached renditions and removes them', async () => {
    assert.equal((await link(large, '123x77')).status, 200);
    server = await server.restart();
    const cache = join(server.folder, 'cache', digest.slice(0, 2), digest);
    const [file = ''] = (await readdir(cache)).filter((name) => name.includes('123'));
    await flipByte(join(cache, file));
    const findings = await verifyLibrary(env, { rungs: false });
    assert.deepEqual(summarize(findings), [['rendition-damaged', undefined, false]]);
    assert.equal(findings[0]?.digest, digest);
    assert.equal((await verifyLibrary(env, { repair: true, rungs: false }))[0]?.repaired, true);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
    assert.equal((await readdir(cache)).includes(file), false);
  });

  test('finds a record with a wrong size and repairs wrong counters', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec(`update images set size = size + 1 where image_id = '${small.imageID}'`);
    raw.exec('update accounts set image_count = 7');
    raw.close();
    const findings = await verifyLibrary(env, { repair: true, rungs: false });
    assert.deepEqual(
      findings.map(({ kind, repaired }) => [kind, repaired]),
      [
        ['counters', true],
        ['record', false],
      ],
    );
    const list = await server.send('GET', `/accounts/${ACCOUNT}/images`);
    assert.equal(list.headers.get('x-total-count'), '2');
  });

  test('finds a record whose size differs from another record of the same original', async () => {
    const accountID = '6f3c2a10-9d2b-4a53-8a3f-3f1c2b4d5e6f';
    assert.equal((await server.send('POST', '/accounts', { displayName: 'Two', accountID })).status, 201);
    const other = await server.addImage(smallBytes, { account: accountID });
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec(`update images set size = size + 1 where image_id = '${other.imageID}'`);
    raw.exec(`update accounts set byte_count = byte_count + 1 where account_id = '${accountID}'`);
    raw.close();
    const findings = await verifyLibrary(env, { rungs: false });
    assert.deepEqual(summarize(findings), [['record', other.imageID, false]]);
    assert.match(findings[0]?.text ?? '', /another record of the same original/);
  });

  test('reports a record with an invalid digest and checks the others', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec(`update images set digest = '../../etc/passwd' where image_id = '${small.imageID}'`);
    raw.close();
    await rm(originalPath(server, digest));
    assert.deepEqual(summarize(await verifyLibrary(env, { repair: true })), [
      ['record', small.imageID, false],
      ['original-missing', large.imageID, false],
    ]);
  });

  for (const name of ['images', 'images_by_digest', 'accounts']) {
    test(`finds a damaged page of ${name} in the database file and stops there`, async () => {
      await server.app.close();
      const path = join(server.folder, 'vitrine.db');
      const raw = new DatabaseSync(path);
      // Moves all pages from the write-ahead log to the database file.
      raw.exec('pragma wal_checkpoint(truncate)');
      const { rootpage } = raw.prepare('select rootpage from sqlite_master where name = ?').get(name) as {
        rootpage: number;
      };
      const { page_size } = raw.prepare('pragma page_size').get() as { page_size: number };
      raw.close();
      const bytes = await readFile(path);
      bytes.fill(0x5a, (rootpage - 1) * page_size, rootpage * page_size);
      await writeFile(path, bytes);
      const findings = await verifyLibrary(env);
      assert.ok(findings.length > 0);
      assert.ok(findings.every(({ kind, repaired }) => kind === 'database' && !repaired));
    });
  }

  test('finds dangling references in the database', async () => {
    await server.close();
    server = await startServer();
    await addPictures(server, 0, 1);
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('pragma foreign_keys = off');
    raw.exec("insert into image_uses values ('unknown', 'unknown', 'product', 1, -1, -1)");
    raw.close();
    const findings = await verifyLibrary(envOf(server));
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['database'],
    );
    assert.match(findings[0]?.text ?? '', /image_uses refers to a missing row of images/);
  });

  test('reports a schema of another version and stops there', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec("insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00.000Z')");
    raw.close();
    const findings = await verifyLibrary(env);
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['schema'],
    );
    assert.match(findings[0]?.text ?? '', /9999-later/);
  });

  test('reports a missing migration before the newest one', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('delete from kysely_migration where name = (select min(name) from kysely_migration)');
    raw.close();
    assert.deepEqual(summarize(await verifyLibrary(env)), [['schema', undefined, false]]);
  });
});

test('verify finds nothing while clients upload, replace and disable images', {
  timeout: 60_000,
}, async () => {
  const server = await startServer();
  try {
    let working = true;
    const clients = Array.from({ length: 4 }, async (_, client) => {
      for (let n = 0; n < 6; n += 1) {
        const first = await server.addImage(await picture(client * 100 + n));
        await server.addImage(await picture(client * 100 + n + 50), { replace: first.imageID });
        await server.fetch(`/accounts/${ACCOUNT}/images/${first.imageID}`, { method: 'DELETE' });
      }
    });
    const writes = Promise.all(clients).finally(() => {
      working = false;
    });
    const runs: Finding[][] = [];
    while (working) runs.push(await verifyLibrary(envOf(server)));
    await writes;
    assert.ok(runs.length > 0);
    assert.deepEqual(runs.flat(), []);
  } finally {
    await server.close();
  }
});

describe('verify on PostgreSQL', { skip }, () => {
  let server: TestServer;
  let url: string;
  before(async () => {
    assert.ok(postgres);
    url = await postgres.createDatabase();
    server = await startServer({ VITRINE_DATABASE: url });
  });
  after(() => server.close());

  test('finds a missing original and repairs counters', async () => {
    const bytes = await picture(3);
    const image = await server.addImage(bytes);
    const env = envOf(server, url);
    assert.deepEqual(await verifyLibrary(env), []);
    await rm(originalPath(server, digestOf(bytes)));
    await postgres?.query(url, 'update accounts set byte_count = 1, enabled_count = 9');
    const findings = await verifyLibrary(env, { repair: true });
    assert.deepEqual(summarize(findings), [
      ['counters', undefined, true],
      ['original-missing', image.imageID, false],
    ]);
    assert.equal((await verifyLibrary(env)).length, 1);
  });
});
