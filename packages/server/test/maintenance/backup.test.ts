/**
 * Backups that are made while clients upload, and restores of them to both databases. Truncated, altered and
 * forged backups must be rejected without leaving files.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { extract, pack } from 'tar-stream';
import { withNewStores } from '../../src/cli/admin/stores.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import { writeBackup } from '../../src/maintenance/backup.ts';
import type { MaintenanceRecords, TableRows } from '../../src/maintenance/records.ts';
import { restoreBackup } from '../../src/maintenance/restore.ts';
import { outcomeOf, VITRINE } from '../support/command.ts';
import {
  addPictures,
  digestOf,
  envOf,
  originalPath,
  runMaintenance,
  runWithStores,
  verifyLibrary,
} from '../support/libraries.ts';
import { startPostgres } from '../support/postgres.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';
import { skip as noStrace } from '../system/crash/faults.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

function createBackup(env: Record<string, string>, path: string, onOriginal?: (total: number) => void) {
  return runWithStores(env, ({ metadata, blobs }) =>
    writeBackup({ records: metadata.maintenance, blobs, path, ...(onOriginal && { onOriginal }) }),
  );
}

function restore(env: Record<string, string>, path: string) {
  return withNewStores({ env }, ({ metadata, blobs }) => restoreBackup({ metadata, blobs, path }));
}

/** Reads all records of a library. */
function readRecords(env: Record<string, string>): Promise<TableRows[]> {
  return runWithStores(env, ({ metadata }) => metadata.maintenance.snapshot(readRows));
}

async function readRows(snapshot: Parameters<Parameters<MaintenanceRecords['snapshot']>[0]>[0]) {
  const all: TableRows[] = [];
  for await (const rows of snapshot.rows()) all.push(rows);
  return all;
}

async function listImages(server: TestServer, account = ACCOUNT): Promise<ImageJSON[]> {
  const images: ImageJSON[] = [];
  for (let skipped = 0; ; skipped += 200) {
    const { body } = await server.send('GET', `/accounts/${account}/images?count=200&skip=${skipped}`);
    images.push(...(body as ImageJSON[]));
    if ((body as ImageJSON[]).length < 200) return images;
  }
}

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-backup-'));
});
after(() => rm(folder, { recursive: true, force: true }));

for (const [from, to, unavailable] of [
  ['SQLite', 'SQLite', false],
  ['SQLite', 'PostgreSQL', skip],
  ['PostgreSQL', 'SQLite', skip],
] as const) {
  test(`a backup of ${from}, made while 8 clients upload, is restored to ${to} bit for bit`, {
    skip: unavailable,
    timeout: 120_000,
  }, async () => {
    const createDatabase = async (kind: string) =>
      kind === 'PostgreSQL' ? await postgres?.createEmptyDatabase() : undefined;
    const [url, targetURL] = [await createDatabase(from), await createDatabase(to)];
    const server = await startServer(url === undefined ? {} : { VITRINE_DATABASE: url });
    const target = {
      VITRINE_DATA: join(folder, `${from}-${to}`),
      ...(targetURL && { VITRINE_DATABASE: targetURL }),
    };
    const path = join(folder, `${from}-${to}.tar`);
    const sent = new Map<string, Buffer>();
    const acknowledged = new Map<string, string>();
    try {
      const upload = async (number: number) => {
        const bytes = await picture(number);
        sent.set(digestOf(bytes), bytes);
        const { imageID } = await server.addImage(bytes, { metadata: { altText: `Bild ${number} “é”` } });
        acknowledged.set(imageID, digestOf(bytes));
      };
      for (let n = 0; n < 10; n += 1) await upload(n);
      const uploadedBefore = [...acknowledged.keys()];
      let working = true;
      const allStarted = Promise.withResolvers<void>();
      const clients = Array.from({ length: 8 }, async (_, client) => {
        for (let n = 0; working; n += 1) {
          const uploading = upload((client + 1) * 10_000 + n);
          if (client === 7) allStarted.resolve();
          await uploading;
        }
      });
      await allStarted.promise;
      const summary = await createBackup(envOf(server, url), path);
      const countAtEnd = acknowledged.size;
      working = false;
      await Promise.all(clients);
      assert.deepEqual(summary.missing, []);
      assert.ok(summary.originals >= uploadedBefore.length);
      assert.ok(acknowledged.size > countAtEnd, 'clients uploaded until the backup ended');
      assert.equal((await stat(path)).mode & 0o777, 0o600);

      assert.deepEqual(await restore(target, path), summary);
      const restoredServer = await startServer(target);
      try {
        const images = await listImages(restoredServer);
        assert.equal(images.length, summary.records.images);
        assert.equal(images.length, summary.originals);
        const imageIDs = new Set(images.map(({ imageID }) => imageID));
        for (const imageID of uploadedBefore) {
          assert.ok(imageIDs.has(imageID), 'the backup has all images from before it');
        }
        for (const image of images) {
          const digest = acknowledged.get(image.imageID) ?? '';
          assert.deepEqual(await readFile(originalPath(restoredServer, digest)), sent.get(digest));
          const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images/${image.imageID}`);
          const { link: _, ...source } = body as ImageJSON;
          const { link: __, ...copy } = image;
          assert.deepEqual(copy, source);
        }
        const [one] = images;
        assert.equal((await fetch(`${restoredServer.url}${new URL(one?.link ?? '').pathname}`)).status, 200);
        await restoredServer.addImage(await picture(9_999));
        assert.deepEqual(await verifyLibrary({ ...target }), []);
      } finally {
        await restoredServer.close();
      }
    } finally {
      await server.close();
    }
  });
}

describe('backup and restore', () => {
  let server: TestServer;
  let env: Record<string, string>;
  let path: string;
  let images: ImageJSON[];
  let targets = 0;
  const target = () => {
    targets += 1;
    return { VITRINE_DATA: join(folder, `target-${targets}`) };
  };

  before(async () => {
    server = await startServer();
    env = envOf(server);
    images = await addPictures(server, 0, 5);
    await server.send('POST', `/accounts/${ACCOUNT}/products`, {
      title: 'Lemonade',
      basePrice: { currency: 'USD', valueDecimal: '1.5' },
      images: [{ imageID: images[0]?.imageID }],
    });
    path = join(folder, 'valid.tar');
    await createBackup(env, path);
  });
  after(() => server.close());

  /** Writes a copy of the backup with some entries changed or left out. @returns its path */
  async function changeEntries(
    change: (name: string, bytes: Buffer) => Buffer | undefined,
    rename = (name: string, _bytes: Buffer): string => name,
  ): Promise<string> {
    const tar = extract();
    tar.end(await readFile(path));
    const out = pack();
    for await (const entry of tar) {
      const bytes = change(entry.header.name, await buffer(entry));
      if (bytes !== undefined) out.entry({ name: rename(entry.header.name, bytes) }, bytes);
    }
    out.finalize();
    const file = join(folder, 'changed.tar');
    await writeFile(file, await buffer(out));
    return file;
  }

  /** Changes entries and gives them the digests of their new bytes. */
  function forgeEntries(change: (name: string, bytes: Buffer) => Buffer | undefined): Promise<string> {
    return changeEntries(change, (name, bytes) => name.replace(/[0-9a-f]{64}/, digestOf(bytes)));
  }

  /** Asserts that a restore is rejected and leaves no blob, and that a valid backup can then be restored. */
  async function assertRejected(file: string, message: RegExp, code = 'conflict'): Promise<void> {
    const place = target();
    await assert.rejects(restore(place, file), { name: 'AppError', code, message });
    const entries = await readdir(join(place.VITRINE_DATA, 'blobs'), {
      recursive: true,
      withFileTypes: true,
    });
    assert.deepEqual(
      entries.filter((entry) => entry.isFile()).map(({ name }) => name),
      [],
    );
    await restore(place, path);
  }

  test('a backup contains every record', async () => {
    const place = target();
    const summary = await restore(place, path);
    assert.equal(summary.records.images, 5);
    assert.equal(summary.records.image_uses, 1);
    assert.deepEqual(await readRecords(place), await readRecords(env));
  });

  test('a truncated backup is rejected and leaves no blobs', async () => {
    const { size } = await stat(path);
    const bytes = await readFile(path);
    // Within the first header, after it, within an entry, near the end, and between two entries.
    const lengths = [100, 512, Math.floor(size / 2), size - 1024 - 700, bytes.indexOf('originals/') - 1];
    const cut = join(folder, 'cut.tar');
    for (const length of lengths) {
      await writeFile(cut, bytes);
      await truncate(cut, length);
      await assertRejected(cut, /cut short|altered|no backup/);
    }
    await writeFile(cut, bytes.subarray(0, bytes.indexOf('originals/')));
    await assertRejected(cut, /cut short after the entry records\/\d+\.image_uses/);
  });

  test('a backup with a changed byte is rejected, and the message names the entry', async () => {
    const entries: string[] = [];
    await changeEntries((name, bytes) => {
      entries.push(name);
      return bytes;
    });
    for (const victim of entries) {
      const file = await changeEntries((name, bytes) => {
        const altered = Buffer.from(bytes);
        const middle = Math.floor(altered.length / 2);
        if (name === victim) altered.writeUInt8((altered[middle] ?? 0) ^ 1, middle);
        return altered;
      });
      await assertRejected(file, new RegExp(`the entry ${victim.replaceAll('.', '\\.')} is altered`));
    }
  });

  test('a backup with a missing entry is rejected', async () => {
    await assertRejected(
      await changeEntries((name, bytes) => (name.includes('.images.') ? undefined : bytes)),
      /an entry is missing between the entry records.* and the entry records/,
    );
    let isFirst = true;
    const file = await changeEntries((name, bytes) => {
      if (!name.startsWith('originals/') || !isFirst) return bytes;
      isFirst = false;
      return undefined;
    });
    await assertRejected(file, /some are missing/);
  });

  test('a forged backup is rejected: a newer version, an invalid row, column or table, an oversized original', async () => {
    const edit = (part: string, from: string, to: string) => (name: string, bytes: Buffer) =>
      name.includes(part) ? Buffer.from(String(bytes).replace(from, to)) : bytes;
    const newer = await forgeEntries(edit('vitrine-backup.', '"version": 1', '"version": 2'));
    await assertRejected(newer, /made by a newer version/);
    const row = await forgeEntries(edit('.accounts.', '"display_name":', '"display_name":{"a":1},"b":'));
    await assertRejected(row, /has a malformed row/);
    const column = await forgeEntries(edit('.accounts.', '"display_name":', '"display_name) select (1":'));
    await assertRejected(column, /an unknown table or an invalid column name/, 'invalid-request');
    const table = await changeEntries(
      (_name, bytes) => bytes,
      (name) => name.replace('.accounts.', '.kysely_migration.'),
    );
    await assertRejected(
      table,
      /an unknown table or an invalid column name: table kysely_migration/,
      'invalid-request',
    );
    const large = await forgeEntries((name, bytes) =>
      name.startsWith('originals/') ? Buffer.alloc(16 * 1024 * 1024 + 1) : bytes,
    );
    await assertRejected(large, /has 16777217 bytes: limit 16777216 bytes/);
  });

  test('files that are not backups are rejected', async () => {
    const other = join(folder, 'other');
    for (const bytes of [Buffer.alloc(0), Buffer.from('nonsense'), await picture(1), Buffer.alloc(20_000)]) {
      await writeFile(other, bytes);
      await assertRejected(other, /not a backup of Vitrine|cut short/);
    }
    await assert.rejects(restore(target(), folder), { code: 'conflict', message: /is not a file/ });
    await assert.rejects(restore(target(), join(folder, 'absent.tar')), { code: 'ENOENT' });
  });

  test('a restore to a library that is not empty is rejected and changes nothing', async () => {
    const place = target();
    await restore(place, path);
    const before = await readRecords(place);
    await assert.rejects(restore(place, path), { code: 'conflict', message: /blobs are not empty/ });
    const elsewhere = { ...place, VITRINE_BLOBS: `file:${join(folder, 'elsewhere')}` };
    await assert.rejects(restore(elsewhere, path), { code: 'conflict', message: /database is not empty/ });
    assert.deepEqual(await readRecords(place), before);
    assert.deepEqual(await verifyLibrary(place, { rungs: false }), []);
  });

  test('a restore keeps its originals when the outcome of the commit is unknown', async () => {
    const place = target();
    const fault = new Error('the connection was lost at the commit');
    const restoring = withNewStores({ env: place }, ({ metadata, blobs }) => {
      const { maintenance } = metadata;
      const restoreRecords = maintenance.restore.bind(maintenance);
      maintenance.restore = async (...records) => {
        await restoreRecords(...records);
        throw fault;
      };
      return restoreBackup({ metadata, blobs, path });
    });
    await assert.rejects(restoring, fault);
    // The start gives records and blobs the same library ID, like the last step of a restore.
    await (await startServer(place)).close();
    assert.deepEqual(await verifyLibrary(place, { rungs: false }), []);
  });

  test('a restore accepts an empty database with the schema of an earlier version', async () => {
    const copy = target();
    await mkdir(copy.VITRINE_DATA);
    const earlier = await openSqlite({ path: join(copy.VITRINE_DATA, 'vitrine.db') });
    await earlier.maintenance.restore('0005-focal-points', Readable.from([]));
    await earlier.close();
    await restore(copy, path);
    assert.deepEqual(await verifyLibrary(copy, { rungs: false }), []);
  });

  test('a backup replaces the earlier one only when it is complete', async () => {
    const own = await startServer();
    const place = join(folder, 'replaced.tar');
    try {
      const small = await addPictures(own, 0, 3);
      assert.equal(small.length, 3);
      await createBackup(envOf(own), place);
      const earlier = await readFile(place);
      const fault = new Error('the terminal is gone');
      const failing = createBackup(envOf(own), place, () => {
        throw fault;
      });
      await assert.rejects(failing, fault);
      assert.deepEqual(await readFile(place), earlier);
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.endsWith('.part')),
        [],
      );
      // The failed backup does not block gc and leaves no snapshot.
      await own.addImage(await picture(60), { replace: small[0]?.imageID ?? '' });
      assert.equal((await runMaintenance(envOf(own), (m) => m.collect({ grace: 0 }))).originals, 1);
      assert.deepEqual(
        (await readdir(own.folder)).filter((name) => name.includes('snapshot')),
        [],
      );
    } finally {
      await own.close();
    }
  });

  test('a backup keeps its originals from gc', async () => {
    const own = await startServer();
    const place = join(folder, 'gc.tar');
    try {
      const images = await addPictures(own, 0, 4);
      const collect = () => runMaintenance(envOf(own), (m) => m.collect({ grace: 0 }));
      const summary = await runWithStores(envOf(own), ({ metadata, blobs }) => {
        const open = blobs.openOriginal.bind(blobs);
        let opened = 0;
        blobs.openOriginal = async (digest, signal) => {
          opened += 1;
          if (opened === 1) {
            // Replaces all originals that the backup must still read, and runs gc without a grace period.
            for (const [n, { imageID }] of images.entries()) {
              await own.addImage(await picture(77 + n), { replace: imageID });
            }
            await assert.rejects(collect(), { code: 'conflict', message: /a backup is running/ });
          }
          return open(digest, signal);
        };
        return writeBackup({ records: metadata.maintenance, blobs, path: place });
      });
      assert.equal(summary.originals, 4);
      assert.deepEqual(summary.missing, []);
      assert.equal((await collect()).originals, 4);
    } finally {
      await own.close();
    }
  });

  test('a backup renews its pause of gc every minute', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const START = Date.now();
    let now = START;
    const expiries: number[] = [];
    await runWithStores(env, ({ metadata, blobs }) => {
      const { maintenance } = metadata;
      const pause = maintenance.pauseCollection.bind(maintenance);
      maintenance.pauseCollection = (pauseID, until) => {
        expiries.push(until.getTime() - START);
        return pause(pauseID, until);
      };
      const onOriginal = () => {
        now += 60_000;
        t.mock.timers.tick(60_000);
      };
      return writeBackup({
        records: metadata.maintenance,
        blobs,
        path: join(folder, 'long.tar'),
        onOriginal,
        now: () => new Date(now),
      });
    });
    // One pause before the records are read, and one per minute. Each original takes a minute.
    assert.deepEqual(
      expiries,
      [0, 1, 2, 3, 4, 5].map((minutes) => (minutes + 15) * 60_000),
    );
  });

  test('a backup is synced before it gets its name, and the name before the command reports success', {
    skip: noStrace,
  }, async () => {
    const file = join(folder, 'durable.tar');
    const log = join(folder, 'trace');
    const calls = 'fsync,fdatasync,rename,renameat,renameat2,write';
    const words = ['-f', '-y', '-s', '64', '-o', log, '-e', `trace=${calls}`, ...VITRINE, 'backup', file];
    const child = spawn('strace', words, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { code, err } = await outcomeOf(child, words);
    assert.equal(code, 0, err);
    const relevant = new RegExp(`${folder}|write\\(1<`);
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => relevant.test(line));
    const indexOf = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
    const order = [
      indexOf(/ fsync\(\d+<[^>]*\/\.[^>/]+\.part>/),
      indexOf(/ rename\w*\(.*\.part".*durable\.tar"/),
      lines.findLastIndex((line) => line.includes(`fsync(`) && line.includes(`<${folder}>`)),
      indexOf(/ write\(1<.*records/),
    ];
    assert.ok(!order.includes(-1), `${order}\n${lines.join('\n')}`);
    assert.deepEqual(
      order,
      order.toSorted((one, other) => one - other),
    );
  });

  test('a backup leaves out damaged originals and lists them', async () => {
    const own = await startServer();
    const place = join(folder, 'damaged.tar');
    try {
      await addPictures(own, 0, 4);
      const [one = '', two = '', three = ''] = await Promise.all(
        [0, 1, 2].map(async (number) => digestOf(await picture(number))),
      );
      await rm(originalPath(own, one));
      await writeFile(originalPath(own, two), 'other bytes');
      // A link to itself cannot be opened, even by root.
      await rm(originalPath(own, three));
      await symlink(originalPath(own, three), originalPath(own, three));
      const summary = await createBackup(envOf(own), place);
      assert.equal(summary.originals, 1);
      assert.deepEqual(
        new Map(summary.missing.map(({ digest, reason }) => [digest, reason])),
        new Map([
          [one, 'it is not stored'],
          [two, 'its bytes do not have the digest'],
          [three, 'it cannot be read: The storage cannot be used now'],
        ]),
      );
      const copy = target();
      assert.deepEqual((await restore(copy, place)).missing, summary.missing);
      assert.deepEqual(
        (await verifyLibrary(copy, { rungs: false })).map(({ kind }) => kind),
        ['original-missing', 'original-missing', 'original-missing'],
      );
    } finally {
      await own.close();
    }
  });
});
