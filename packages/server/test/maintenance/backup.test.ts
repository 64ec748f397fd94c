/**
 * Backups of libraries that are written to meanwhile, what is restored from them, onto either database; and backups that
 * were cut, altered, or are for another place.
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

function backedUp(env: Record<string, string>, path: string, onOriginal?: (total: number) => void) {
  return runWithStores(env, ({ metadata, blobs }) =>
    writeBackup({ records: metadata.maintenance, blobs, path, ...(onOriginal && { onOriginal }) }),
  );
}

function restored(env: Record<string, string>, path: string) {
  return withNewStores({ env }, ({ metadata, blobs }) => restoreBackup({ metadata, blobs, path }));
}

/** Every record of a library. */
function recordsOf(env: Record<string, string>): Promise<TableRows[]> {
  return runWithStores(env, ({ metadata }) => metadata.maintenance.snapshot(rowsOf));
}

async function rowsOf(snapshot: Parameters<Parameters<MaintenanceRecords['snapshot']>[0]>[0]) {
  const all: TableRows[] = [];
  for await (const rows of snapshot.rows()) all.push(rows);
  return all;
}

async function allImages(server: TestServer, account = ACCOUNT): Promise<ImageJSON[]> {
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
  test(`a backup from ${from} while 8 clients upload is restored on ${to} bit for bit`, {
    skip: unavailable,
    timeout: 120_000,
  }, async () => {
    const urlFor = async (kind: string) =>
      kind === 'PostgreSQL' ? await postgres?.createEmptyDatabase() : undefined;
    const [url, other] = [await urlFor(from), await urlFor(to)];
    const server = await startServer(url === undefined ? {} : { VITRINE_DATABASE: url });
    const target = { VITRINE_DATA: join(folder, `${from}-${to}`), ...(other && { VITRINE_DATABASE: other }) };
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
      const atLeast = [...acknowledged.keys()];
      let working = true;
      const begun = Promise.withResolvers<void>();
      const clients = Array.from({ length: 8 }, async (_, client) => {
        for (let n = 0; working; n += 1) {
          const uploading = upload((client + 1) * 10_000 + n);
          if (client === 7) begun.resolve();
          await uploading;
        }
      });
      await begun.promise;
      const summary = await backedUp(envOf(server, url), path);
      const during = acknowledged.size;
      working = false;
      await Promise.all(clients);
      assert.deepEqual(summary.missing, []);
      assert.ok(summary.originals >= atLeast.length);
      assert.ok(acknowledged.size > during, 'clients were uploading until after the backup');
      assert.equal((await stat(path)).mode & 0o777, 0o600);

      assert.deepEqual(await restored(target, path), summary);
      const again = await startServer(target);
      try {
        const images = await allImages(again);
        assert.equal(images.length, summary.records.images);
        assert.equal(images.length, summary.originals);
        const names = new Set(images.map(({ imageID }) => imageID));
        for (const imageID of atLeast) assert.ok(names.has(imageID), 'what came before is in it');
        for (const image of images) {
          const digest = acknowledged.get(image.imageID) ?? '';
          assert.deepEqual(await readFile(originalPath(again, digest)), sent.get(digest));
          const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images/${image.imageID}`);
          const { link: _, ...here } = body as ImageJSON;
          const { link: __, ...there } = image;
          assert.deepEqual(there, here);
        }
        const [one] = images;
        assert.equal((await fetch(`${again.url}${new URL(one?.link ?? '').pathname}`)).status, 200);
        await again.addImage(await picture(9_999));
        assert.deepEqual(await verifyLibrary({ ...target }), []);
      } finally {
        await again.close();
      }
    } finally {
      await server.close();
    }
  });
}

describe('a backup', () => {
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
    path = join(folder, 'sound.tar');
    await backedUp(env, path);
  });
  after(() => server.close());

  /** The file with some entries changed, or left out, as another tar. */
  async function changed(
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

  /** The same by somebody who gives each entry the name that its new bytes ask for. */
  function forged(change: (name: string, bytes: Buffer) => Buffer | undefined): Promise<string> {
    return changed(change, (name, bytes) => name.replace(/[0-9a-f]{64}/, digestOf(bytes)));
  }

  /** Restores what must be refused, into a new place, and sees that nothing is left there. */
  async function refuses(file: string, message: RegExp, code = 'conflict'): Promise<void> {
    const place = target();
    await assert.rejects(restored(place, file), { name: 'AppError', code, message });
    const left = await readdir(join(place.VITRINE_DATA, 'blobs'), { recursive: true, withFileTypes: true });
    assert.deepEqual(
      left.filter((entry) => entry.isFile()).map(({ name }) => name),
      [],
    );
    await restored(place, path);
  }

  test('has every record, and is a tar that any tar lists', async () => {
    const place = target();
    const summary = await restored(place, path);
    assert.equal(summary.records.images, 5);
    assert.equal(summary.records.image_uses, 1);
    assert.deepEqual(await recordsOf(place), await recordsOf(env));
  });

  test('that is cut anywhere is refused, and leaves nothing', async () => {
    const { size } = await stat(path);
    const bytes = await readFile(path);
    // In the middle of an entry's bytes, in a header, between two entries, and without the end.
    const places = [100, 512, Math.floor(size / 2), size - 1024 - 700, bytes.indexOf('originals/') - 1];
    for (const end of places) {
      const cut = join(folder, 'cut.tar');
      await writeFile(cut, bytes);
      await truncate(cut, end);
      await refuses(cut, /cut short|altered|no backup/);
    }
    await writeFile(join(folder, 'cut.tar'), bytes.subarray(0, bytes.indexOf('originals/')));
    await refuses(join(folder, 'cut.tar'), /cut short after the entry records\/\d+\.image_uses/);
  });

  test('of which a byte was changed is refused, and the entry named', async () => {
    const entries: string[] = [];
    await changed((name, bytes) => {
      entries.push(name);
      return bytes;
    });
    for (const victim of entries) {
      const file = await changed((name, bytes) => {
        const altered = Buffer.from(bytes);
        const middle = Math.floor(altered.length / 2);
        if (name === victim) altered.writeUInt8((altered[middle] ?? 0) ^ 1, middle);
        return altered;
      });
      await refuses(file, new RegExp(`the entry ${victim.replaceAll('.', '\\.')} is altered`));
    }
  });

  test('of which an entry is missing is refused', async () => {
    await refuses(
      await changed((name, bytes) => (name.includes('.images.') ? undefined : bytes)),
      /an entry is missing between the entry records.* and the entry records/,
    );
    let first = true;
    const file = await changed((name, bytes) => {
      if (!name.startsWith('originals/') || !first) return bytes;
      first = false;
      return undefined;
    });
    await refuses(file, /some are missing/);
  });

  test('that was made up is refused: of a later version, with rows, tables or originals that cannot be', async () => {
    const edit = (part: string, from: string, to: string) => (name: string, bytes: Buffer) =>
      name.includes(part) ? Buffer.from(String(bytes).replace(from, to)) : bytes;
    const later = await forged(edit('vitrine-backup.', '"version": 1', '"version": 2'));
    await refuses(later, /made by a newer version/);
    const row = await forged(edit('.accounts.', '"display_name":', '"display_name":{"a":1},"b":'));
    await refuses(row, /has a malformed row/);
    const column = await forged(edit('.accounts.', '"display_name":', '"display_name) select (1":'));
    await refuses(column, /an unknown table or an invalid column name/, 'invalid-request');
    const table = await changed(
      (_name, bytes) => bytes,
      (name) => name.replace('.accounts.', '.kysely_migration.'),
    );
    await refuses(
      table,
      /an unknown table or an invalid column name: table kysely_migration/,
      'invalid-request',
    );
    const large = await forged((name, bytes) =>
      name.startsWith('originals/') ? Buffer.alloc(16 * 1024 * 1024 + 1) : bytes,
    );
    await refuses(large, /has 16777217 bytes: limit 16777216 bytes/);
  });

  test('is no other file', async () => {
    const other = join(folder, 'other');
    for (const bytes of [Buffer.alloc(0), Buffer.from('nonsense'), await picture(1), Buffer.alloc(20_000)]) {
      await writeFile(other, bytes);
      await refuses(other, /not a backup of Vitrine|cut short/);
    }
    await assert.rejects(restored(target(), folder), { code: 'conflict', message: /is not a file/ });
    await assert.rejects(restored(target(), join(folder, 'absent.tar')), { code: 'ENOENT' });
  });

  test('is not restored over what is there', async () => {
    const place = target();
    await restored(place, path);
    const before = await recordsOf(place);
    await assert.rejects(restored(place, path), { code: 'conflict', message: /blobs are not empty/ });
    const elsewhere = { ...place, VITRINE_BLOBS: `file:${join(folder, 'elsewhere')}` };
    await assert.rejects(restored(elsewhere, path), { code: 'conflict', message: /database is not empty/ });
    assert.deepEqual(await recordsOf(place), before);
    assert.deepEqual(await verifyLibrary(place, { rungs: false }), []);
  });

  test('keeps its originals where nobody can say whether its records are there', async () => {
    const place = target();
    const fault = new Error('the connection was lost at the commit');
    const cut = withNewStores({ env: place }, ({ metadata, blobs }) => {
      const { maintenance } = metadata;
      const restore = maintenance.restore.bind(maintenance);
      maintenance.restore = async (...records) => {
        await restore(...records);
        throw fault;
      };
      return restoreBackup({ metadata, blobs, path });
    });
    await assert.rejects(cut, fault);
    // Which makes records and blobs one library, as the restore would have in the end.
    await (await startServer(place)).close();
    assert.deepEqual(await verifyLibrary(place, { rungs: false }), []);
  });

  test('is restored where one of an earlier version was refused, which left its schema', async () => {
    const copy = target();
    await mkdir(copy.VITRINE_DATA);
    const earlier = await openSqlite({ path: join(copy.VITRINE_DATA, 'vitrine.db') });
    await earlier.maintenance.restore('0005-focal-points', Readable.from([]));
    await earlier.close();
    await restored(copy, path);
    assert.deepEqual(await verifyLibrary(copy, { rungs: false }), []);
  });

  test('takes the place of the one before only when it is whole', async () => {
    const own = await startServer();
    const place = join(folder, 'kept.tar');
    try {
      const small = await addPictures(own, 0, 3);
      assert.equal(small.length, 3);
      await backedUp(envOf(own), place);
      const kept = await readFile(place);
      const fault = new Error('the terminal is gone');
      const failing = backedUp(envOf(own), place, () => {
        throw fault;
      });
      await assert.rejects(failing, fault);
      assert.deepEqual(await readFile(place), kept);
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.endsWith('.part')),
        [],
      );
      // Nor does it hold on to anything.
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

  test('keeps what it needs from being collected while it is made', async () => {
    const own = await startServer();
    const place = join(folder, 'held.tar');
    try {
      const images = await addPictures(own, 0, 4);
      const collected = () => runMaintenance(envOf(own), (m) => m.collect({ grace: 0 }));
      const summary = await runWithStores(envOf(own), ({ metadata, blobs }) => {
        const open = blobs.openOriginal.bind(blobs);
        let opened = 0;
        blobs.openOriginal = async (digest, signal) => {
          opened += 1;
          if (opened === 1) {
            // All that the backup has yet to read is replaced now, and a collector comes without any grace.
            for (const [n, { imageID }] of images.entries()) {
              await own.addImage(await picture(77 + n), { replace: imageID });
            }
            await assert.rejects(collected(), { code: 'conflict', message: /a backup is running/ });
          }
          return open(digest, signal);
        };
        return writeBackup({ records: metadata.maintenance, blobs, path: place });
      });
      assert.equal(summary.originals, 4);
      assert.deepEqual(summary.missing, []);
      assert.equal((await collected()).originals, 4);
    } finally {
      await own.close();
    }
  });

  test('says again and again that it needs what is there, for as long as it takes', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const START = Date.now();
    let now = START;
    const held: number[] = [];
    await runWithStores(env, ({ metadata, blobs }) => {
      const { maintenance } = metadata;
      const hold = maintenance.pauseCollection.bind(maintenance);
      maintenance.pauseCollection = (holdID, until) => {
        held.push(until.getTime() - START);
        return hold(holdID, until);
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
    // Before the records are read; and after each minute, of which each original took one.
    assert.deepEqual(
      held,
      [0, 1, 2, 3, 4, 5].map((minutes) => (minutes + 15) * 60_000),
    );
  });

  test('is on the disk before it has its name, and the name is before it is told', {
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
    const ours = new RegExp(`${folder}|write\\(1<`);
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => ours.test(line));
    const place = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
    const order = [
      place(/ fsync\(\d+<[^>]*\/\.[^>/]+\.part>/),
      place(/ rename\w*\(.*\.part".*durable\.tar"/),
      lines.findLastIndex((line) => line.includes(`fsync(`) && line.includes(`<${folder}>`)),
      place(/ write\(1<.*records/),
    ];
    assert.ok(!order.includes(-1), `${order}\n${lines.join('\n')}`);
    assert.deepEqual(
      order,
      order.toSorted((one, other) => one - other),
    );
  });

  test('leaves out an original that is damaged, and says which', async () => {
    const own = await startServer();
    const place = join(folder, 'damaged.tar');
    try {
      await addPictures(own, 0, 4);
      const [one = '', two = '', three = ''] = await Promise.all(
        [0, 1, 2].map(async (number) => digestOf(await picture(number))),
      );
      await rm(originalPath(own, one));
      await writeFile(originalPath(own, two), 'other bytes');
      // A link to itself: nobody can open it, not even root.
      await rm(originalPath(own, three));
      await symlink(originalPath(own, three), originalPath(own, three));
      const summary = await backedUp(envOf(own), place);
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
      assert.deepEqual((await restored(copy, place)).missing, summary.missing);
      assert.deepEqual(
        (await verifyLibrary(copy, { rungs: false })).map(({ kind }) => kind),
        ['original-missing', 'original-missing', 'original-missing'],
      );
    } finally {
      await own.close();
    }
  });
});
