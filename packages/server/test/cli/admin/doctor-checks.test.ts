/**
 * Each check of `vitrine doctor` on a machine with the problem that it looks for. doctor.test.ts has the
 * output of the command.
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
import { type Check, networkFilesystem, runChecks } from '../../../src/cli/admin/doctor-checks.ts';
import { outcomeOf, VITRINE } from '../../support/command.ts';
import { mountSmallDisk, remount } from '../../support/disks.ts';
import { startServer } from '../../support/server.ts';
import { skip } from '../../system/crash/faults.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-doctor-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Each check by name, as its outcome and its text. */
async function checkTexts(env: Record<string, string>): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  for await (const { name, outcome, text } of runChecks({ VITRINE_PORT: '0', ...env })) {
    texts[name] = `${outcome}: ${text}`;
  }
  return texts;
}

/** Runs the command under another command, such as a limit or strace. @param words the other command. */
async function runUnder(words: readonly string[], env: Record<string, string>): Promise<Map<string, Check>> {
  const [command = '', ...rest] = [...words, ...VITRINE, 'doctor', '--json'];
  const child = spawn(command, rest, {
    env: { PATH: process.env.PATH, VITRINE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { out } = await outcomeOf(child, words);
  return new Map((JSON.parse(out) as Check[]).map((check) => [check.name, check]));
}

/** The data folder of a stopped server whose database was changed with SQL. */
async function createChangedData(name: string, sql: string): Promise<string> {
  const data = join(folder, name);
  const server = await startServer({ VITRINE_DATA: data });
  await server.close();
  const database = new DatabaseSync(join(data, 'vitrine.db'));
  database.exec(sql);
  database.close();
  return data;
}

test('warns about little space, blobs on two disks, an older schema and a missing public URL, and fails for a server that is not ready', async (t) => {
  const data = await createChangedData('earlier', "delete from kysely_migration where name >= '0011'");
  const other = await mountSmallDisk(t, '1m');
  const disk = await mountSmallDisk(t, '100m');
  if (disk === undefined || other === undefined) return;
  await mkdir(join(disk, 'staging'));
  await mkdir(join(disk, 'originals'));
  const mount = spawnSync('mount', ['--bind', other, join(disk, 'originals')]);
  assert.equal(mount.status, 0, String(mount.stderr));
  t.after(() => spawnSync('umount', ['-l', join(disk, 'originals')]));
  const report = {
    ...{ status: 'failed', reads: 'ok', writes: 'failed' },
    dependencies: { database: { status: 'failed' }, disk: { status: 'ok' } },
  };
  const unready = createServer((_request, response) => {
    response.writeHead(503).end(JSON.stringify(report));
  }).listen(0, '127.0.0.1');
  t.after(() => unready.close());
  await once(unready, 'listening');
  const { port } = unready.address() as { port: number };
  const checks = await checkTexts({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${disk}`,
    VITRINE_HOST: '0.0.0.0',
    VITRINE_PORT: `${port}`,
  });
  assert.match(checks.blobs ?? '', /^warn: .*originals and .*staging are on different disks/);
  assert.match(checks.space ?? '', /^warn: 0\.1 GiB free/);
  assert.match(checks.database ?? '', /^warn: .*the next start migrates it to/);
  assert.match(checks.port ?? '', /and is not ready: reads are ok, writes are failed \(database\)$/);
  assert.match(checks['public URL'] ?? '', /^warn: VITRINE_PUBLIC_URL is not set/);
});

test('fails for a full disk, a newer schema and a foreign address, and warns about a different clock and a loopback URL', async (t) => {
  const data = await createChangedData(
    'later',
    `insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00.000Z')`,
  );
  const disk = await mountSmallDisk(t, '40m');
  if (disk === undefined) return;
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() - 60_000);
  const checks = await checkTexts({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${disk}`,
    VITRINE_HOST: '::2',
    VITRINE_PORT: '1',
    VITRINE_PUBLIC_URL: 'http://localhost:4100',
  });
  assert.match(checks.space ?? '', /^fail: 0\.0 GiB free/);
  assert.match(
    checks.database ?? '',
    /^fail: .*belongs to a newer version of Vitrine: its schema is 9999-later/,
  );
  assert.match(checks.clock ?? '', /^warn: .*the clock of the disk differs by (59|60|61) s/);
  assert.match(checks.port ?? '', /^fail: port 1 of ::2 cannot be used/);
  assert.match(checks['public URL'] ?? '', /^warn: .*which only this machine can reach/);
});

test('fails for a read-only disk, a wrong clock, an old Node and a missing format, and warns about a public URL without an answer', async (t) => {
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
  const checks = await checkTexts({
    VITRINE_DATA: data,
    VITRINE_BLOBS: `file:${join(disk, 'blobs')}`,
    VITRINE_PUBLIC_URL: 'https://images.invalid',
  });
  assert.match(checks.node ?? '', /^fail: Node 22\.1\.0: version 24 or newer is required/);
  assert.match(checks.sharp ?? '', /^fail: .*without WebP/);
  assert.match(checks['data folder'] ?? '', /^fail: EROFS/);
  assert.match(checks.blobs ?? '', /^fail: EROFS/);
  assert.match(checks.clock ?? '', /^fail: the clock shows/);
  assert.match(
    checks['public URL'] ?? '',
    /^warn: https:\/\/images\.invalid does not answer requests from this machine/,
  );
});

test('warns about 1000 open files, and fails for 200', async () => {
  for (const [limit, outcome] of [
    ['1000', 'warn'],
    ['200', 'fail'],
  ] as const) {
    const ulimit = ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh'];
    const checks = await runUnder(ulimit, { VITRINE_DATA: join(folder, 'none') });
    assert.equal(checks.get('open files')?.outcome, outcome);
    assert.match(checks.get('open files')?.text ?? '', new RegExp(`the limit of open files is ${limit},`));
  }
});

test('warns about a disk without hard links', { skip }, async () => {
  const blobs = join(folder, 'linkless');
  await mkdir(join(blobs, 'staging'), { recursive: true, mode: 0o700 });
  const strace = ['strace', '-f', '-o', '/dev/null', '-e', 'inject=link,linkat:error=EPERM'];
  const checks = await runUnder(strace, {
    VITRINE_DATA: join(folder, 'none'),
    VITRINE_BLOBS: `file:${blobs}`,
  });
  assert.equal(checks.get('blobs')?.outcome, 'warn');
  assert.match(checks.get('blobs')?.text ?? '', /does not support hard links/);
});

test('does not change a database without a write-ahead log, or an empty file', async () => {
  for (const [name, create, expected] of [
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
    create(path);
    const before = await readFile(path);
    assert.match((await checkTexts({ VITRINE_DATA: data })).database ?? '', expected);
    assert.deepEqual(await readFile(path), before);
    assert.deepEqual(
      (await readdir(data)).filter((file) => file.startsWith('vitrine.db')),
      ['vitrine.db'],
    );
  }
});

test('recognizes filesystems that several machines may share', () => {
  // The types in linux/magic.h: NFS, SMB, CIFS, SMB2; and ext4, btrfs, xfs, overlayfs, tmpfs.
  assert.deepEqual([0x6969, 0x517b, 0xff534d42, 0xfe534d42].map(networkFilesystem), [
    'NFS',
    'SMB',
    'SMB',
    'SMB',
  ]);
  for (const local of [0xef53, 0x9123683e, 0x58465342, 0x794c7630, 0x01021994]) {
    assert.equal(networkFilesystem(local), undefined);
  }
});

test('fails for a file of product categories with problems, and names all of them', async () => {
  const path = join(folder, 'categories.json');
  const check = async () =>
    (await checkTexts({ VITRINE_DATA: join(folder, 'shop'), VITRINE_PRODUCT_CATEGORIES: path }))[
      'product categories'
    ];
  assert.match((await check()) ?? '', /^fail: .*categories\.json: it cannot be read: ENOENT/);
  writeFileSync(path, '[{"categoryID": "a", "name": ""}, {"name": "B"}]');
  assert.equal(
    await check(),
    `fail: ${path}: categories[0].name must not be blank; categories[1].categoryID is required`,
  );
  writeFileSync(path, '[{"categoryID": "a", "name": "A"}]');
  assert.equal(await check(), `ok: ${path} is valid; number of categories: 1`);
});
