/**
 * Each thing that `vitrine doctor` looks at, on a machine where it is as it should not be. How the command prints what it
 * found is in maintenance.test.ts.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { type Check, examine } from '../../../src/cli/admin/doctor-checks.ts';
import { outcomeOf, VITRINE } from '../../support/command.ts';
import { mountSmallDisk, remount } from '../../support/disks.ts';
import { startServer } from '../../support/server.ts';
import { skip } from '../../system/crash/faults.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-doctor-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** What was found, by its name, in one line. */
async function examined(env: Record<string, string>): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, outcome, text } of examine({ VITRINE_PORT: '0', ...env })) {
    found[name] = `${outcome}: ${text}`;
  }
  return found;
}

/** The command as its user would type it, under a limit or a watcher: the words go before it. */
async function asCommand(words: readonly string[], env: Record<string, string>): Promise<Map<string, Check>> {
  const [command = '', ...rest] = [...words, ...VITRINE, 'doctor', '--json'];
  const child = spawn(command, rest, {
    env: { PATH: process.env.PATH, VITRINE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { out } = await outcomeOf(child, words);
  return new Map((JSON.parse(out) as Check[]).map((check) => [check.name, check]));
}

/** The records of a server that was stopped, changed by hand. */
async function changedRecords(name: string, sql: string): Promise<string> {
  const data = join(folder, name);
  const server = await startServer({ VITRINE_DATA: data });
  await server.close();
  const raw = new DatabaseSync(join(data, 'vitrine.db'));
  raw.exec(sql);
  raw.close();
  return data;
}

test('little room, blobs on two disks, records of an earlier version, links that nobody can follow, a server that is not ready', async (t) => {
  const data = await changedRecords(
    'earlier',
    'delete from kysely_migration where name = (select max(name) from kysely_migration)',
  );
  const other = await mountSmallDisk(t, '1m');
  const disk = await mountSmallDisk(t, '100m');
  if (disk === undefined || other === undefined) return;
  await mkdir(join(disk, 'staging'));
  await mkdir(join(disk, 'originals'));
  const mounted = spawnSync('mount', ['--bind', other, join(disk, 'originals')]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  t.after(() => spawnSync('umount', ['-l', join(disk, 'originals')]));
  const ill = createServer((_request, response) => response.writeHead(503).end()).listen(0, '127.0.0.1');
  t.after(() => ill.close());
  await once(ill, 'listening');
  const { port } = ill.address() as { port: number };
  const found = await examined({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${disk}`,
    VITRINE_HOST: '0.0.0.0',
    VITRINE_PORT: `${port}`,
  });
  assert.match(found.blobs ?? '', /^warn: .*originals is on another disk than .*staging/);
  assert.match(found.space ?? '', /^warn: 0\.1 GiB are free/);
  assert.match(found.database ?? '', /^warn: .*the next start brings it to/);
  assert.match(found.port ?? '', /^fail: a server answers .*, and is not ready/);
  assert.match(found['public URL'] ?? '', /^warn: VITRINE_PUBLIC_URL is not set/);
});

test('no room, records of a later version, a clock that is not the disk’s, an address that is not ours', async (t) => {
  const data = await changedRecords(
    'later',
    `insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00.000Z')`,
  );
  const disk = await mountSmallDisk(t, '40m');
  if (disk === undefined) return;
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() - 60_000);
  const found = await examined({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${disk}`,
    VITRINE_HOST: '::2',
    VITRINE_PORT: '1',
    VITRINE_PUBLIC_URL: 'http://localhost:4100',
  });
  assert.match(found.space ?? '', /^fail: 0\.0 GiB are free/);
  assert.match(found.database ?? '', /^fail: .*belongs to a newer version: it has the schema 9999-later/);
  assert.match(found.clock ?? '', /^warn: .*that of the disk differs by (59|60|61) s/);
  assert.match(found.port ?? '', /^fail: port 1 of ::2 cannot be used/);
  assert.match(found['public URL'] ?? '', /^warn: .*which only this machine can reach/);
});

test('a disk that is only to be read, a clock of before, an old Node, formats that are not there, a silent address', async (t) => {
  const disk = await mountSmallDisk(t, '1m');
  if (disk === undefined) return;
  const data = join(disk, 'data');
  await mkdir(data, { mode: 0o700 });
  await remount(disk, 'ro');
  t.mock.method(Date, 'now', () => Date.UTC(2001, 0, 1));
  const versions = Object.getOwnPropertyDescriptor(process.versions, 'node') ?? {};
  Object.defineProperty(process.versions, 'node', { ...versions, value: '22.1.0' });
  t.after(() => Object.defineProperty(process.versions, 'node', versions));
  t.mock.property(sharp.format.webp.output, 'buffer', false);
  const found = await examined({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${join(disk, 'blobs')}`,
    VITRINE_PUBLIC_URL: 'https://images.invalid',
  });
  assert.match(found.node ?? '', /^fail: Node 22\.1\.0, and 24 or newer is needed/);
  assert.match(found.sharp ?? '', /^fail: .*without WebP/);
  assert.match(found['data folder'] ?? '', /^fail: EROFS/);
  assert.match(found.blobs ?? '', /^fail: EROFS/);
  assert.match(found.clock ?? '', /^fail: the clock says/);
  assert.match(found['public URL'] ?? '', /^warn: https:\/\/images\.invalid does not answer from here/);
});

test('few files that may be open: fewer than are wise, and fewer than will do', async () => {
  for (const [limit, outcome] of [
    ['1000', 'warn'],
    ['200', 'fail'],
  ] as const) {
    const limited = ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh'];
    const found = await asCommand(limited, { VITRINE_DATA: join(folder, 'none') });
    assert.equal(found.get('open files')?.outcome, outcome);
    assert.match(found.get('open files')?.text ?? '', new RegExp(`only ${limit} files`));
  }
});

test('a disk of the blobs that makes no links', { skip }, async () => {
  const blobs = join(folder, 'linkless');
  await mkdir(join(blobs, 'staging'), { recursive: true, mode: 0o700 });
  const strace = ['strace', '-f', '-o', '/dev/null', '-e', 'inject=link,linkat:error=EPERM'];
  const found = await asCommand(strace, {
    VITRINE_DATA: join(folder, 'none'),
    VITRINE_BLOBS: `file:${blobs}`,
  });
  assert.equal(found.get('blobs')?.outcome, 'warn');
  assert.match(found.get('blobs')?.text ?? '', /makes no links/);
});

test('the database is looked at and not changed: one without a write-ahead log, and an empty file', async () => {
  for (const [name, make, expected] of [
    [
      'journal',
      (path: string) => new DatabaseSync(path).exec('create table t (a)'),
      /^warn: .* no write-ahead log/,
    ],
    ['empty', (path: string) => writeFileSync(path, ''), /^ok: .* is empty/],
  ] as const) {
    const data = join(folder, name);
    await mkdir(data);
    const path = join(data, 'vitrine.db');
    make(path);
    const before = await readFile(path);
    assert.match((await examined({ VITRINE_DATA: data })).database ?? '', expected);
    assert.deepEqual(await readFile(path), before);
    assert.deepEqual(
      (await readdir(data)).filter((file) => file.startsWith('vitrine.db')),
      ['vitrine.db'],
    );
  }
});
