/**
 * The file driver on real disks that are small, full or read-only, and with changes that other programs make
 * to its folder. The contract of drivers is in conformance/blobs.ts. The order of system calls is in
 * fs-syscalls.test.ts.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { it, type TestContext } from 'node:test';
import { toStorageError } from '../../src/blobs/file-errors.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore, originalKey } from '../../src/blobs/store.ts';
import { isAppError } from '../../src/errors.ts';
import { blobConformance } from '../conformance/blobs.ts';
import { mountSmallDisk, remount } from '../support/disks.ts';

blobConformance('The file driver', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-blobs-'));
  const folder = join(parent, 'made', 'at', 'start');
  return {
    driver: await openFileBlobs({ folder }),
    reopen: () => openFileBlobs({ folder }),
    destroy: () => rm(parent, { recursive: true }),
  };
});

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-fs-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

it('reports a full disk as storage-full, leaves no partial file, and still reads and recovers', async (t) => {
  const folder = await mountSmallDisk(t, '1m');
  if (folder === undefined) return;
  const driver = await openFileBlobs({ folder });
  const store = new BlobStore(driver);
  await using small = await store.stage(Readable.from([Buffer.from('small')]), { limit: 100 });
  await store.storeOriginal(small);

  const filler = await open(join(folder, 'filler'), 'w');
  await assert.rejects(filler.writeFile(Buffer.alloc(2_000_000)));
  const big = () => store.stage(Readable.from([Buffer.alloc(200_000)]), { limit: 500_000 });
  await assert.rejects(big(), (error: unknown) => isAppError(error, 'storage-full'));
  await assert.rejects(store.check(), (error: unknown) => isAppError(error, 'storage-full'));
  assert.deepEqual(await readdir(driver.stagingFolder), [small.path.slice(driver.stagingFolder.length + 1)]);
  const read = await store.openOriginal(small.digest);
  assert.equal(read && String(await buffer(read.stream)), 'small');

  await filler.truncate(0);
  await filler.close();
  await using staged = await big();
  await store.storeOriginal(staged);
  await store.check();
});

it('keeps the old blob if the disk is full during a replace', async (t) => {
  const folder = await mountSmallDisk(t, '1m');
  if (folder === undefined) return;
  const driver = await openFileBlobs({ folder });
  const path = join(driver.stagingFolder, 'a.part');
  await writeFile(path, Buffer.alloc(400_000, 'a'));
  await driver.put('x/a', { path, size: 400_000 });
  await writeFile(join(driver.stagingFolder, 'b.part'), Buffer.alloc(400_000, 'b'));
  await assert.rejects(
    driver.replace('x/a', { path: join(driver.stagingFolder, 'b.part'), size: 400_000 }),
    (error: unknown) => isAppError(error, 'storage-full'),
  );
  assert.equal((await readFile(driver.localPath?.('x/a') ?? '', 'latin1')).replaceAll('a', ''), '');
  assert.deepEqual(await readdir(join(folder, 'x')), ['a']);
});

it('stores blobs if staging and originals are on different disks', async (t) => {
  const disk = await mountSmallDisk(t, '8m');
  if (disk === undefined) return;
  const folder = await newFolder(t);
  // An operator may move the originals to a larger disk in this way.
  await symlink(disk, join(folder, 'originals'));
  const store = new BlobStore(await openFileBlobs({ folder }));
  const bytes = randomBytes(300_000);
  const staged = await Promise.all(
    Array.from({ length: 8 }, () => store.stage(Readable.from([bytes]), { limit: 1e6 })),
  );
  await assert.rejects(link(staged[0]?.path ?? '', join(disk, 'probe')), { code: 'EXDEV' });
  await Promise.all(staged.map((one) => store.storeOriginal(one)));
  const digest = staged[0]?.digest ?? '';
  const blob = await store.openOriginal(digest);
  assert.ok(blob && (await buffer(blob.stream)).equals(bytes));
  assert.deepEqual(await readdir(join(disk, digest.slice(0, 2))), [digest]);
});

it('fails to open a folder that is a file, with its path in the error', async (t) => {
  const path = join(await newFolder(t), 'file');
  await writeFile(path, '');
  await assert.rejects(openFileBlobs({ folder: path }), (error: Error) => error.message.includes(path));
});

it('fails to open a read-only folder, and is unavailable if a folder becomes read-only later', async (t) => {
  const folder = await mountSmallDisk(t, '1m');
  if (folder === undefined) return;
  const store = new BlobStore(await openFileBlobs({ folder }));
  await using staged = await store.stage(Readable.from([Buffer.from('readable')]), { limit: 100 });
  await store.storeOriginal(staged);
  await remount(folder, 'ro');
  const unavailable = (error: unknown) => isAppError(error, 'unavailable');
  await assert.rejects(openFileBlobs({ folder }), /cannot be used.*EROFS/);
  await assert.rejects(store.check(), unavailable);
  await assert.rejects(store.stage(Readable.from([Buffer.from('x')]), { limit: 100 }), unavailable);
  const blob = await store.openOriginal(staged.digest);
  assert.equal(blob && String(await buffer(blob.stream)), 'readable');
  await remount(folder, 'rw');
  await store.check();
});

it('is unavailable without write permission', {
  skip: process.getuid?.() === 0 && 'root can write to every folder',
}, async (t) => {
  const folder = await newFolder(t);
  const driver = await openFileBlobs({ folder });
  await chmod(driver.stagingFolder, 0o500);
  await assert.rejects(driver.check(), (error: unknown) => isAppError(error, 'unavailable'));
  await chmod(driver.stagingFolder, 0o700);
});

it('fails the stream of a blob that is truncated during the read', async (t) => {
  const driver = await openFileBlobs({ folder: await newFolder(t) });
  const path = join(driver.stagingFolder, 'a.part');
  await writeFile(path, Buffer.alloc(1_000_000));
  await driver.put('a', { path, size: 1_000_000 });
  const blob = await driver.open('a');
  assert.ok(blob);
  await truncate(driver.localPath?.('a') ?? '', 500_000);
  await assert.rejects(buffer(blob.stream), (error: unknown) => isAppError(error, 'unavailable'));
});

it('creates a removed folder again', async (t) => {
  const folder = await newFolder(t);
  const driver = await openFileBlobs({ folder });
  const path = join(driver.stagingFolder, 'a.part');
  await writeFile(path, 'a');
  assert.equal(await driver.put('x/y/a', { path, size: 1 }), 'created');
  await rm(join(folder, 'x'), { recursive: true });
  assert.equal(await driver.put('x/y/a', { path, size: 1 }), 'created');
});

it('removes the folder of a dropped original, and creates it again when the original is stored', async (t) => {
  const folder = await newFolder(t);
  const store = new BlobStore(await openFileBlobs({ folder }));
  const storeWithRungs = async () => {
    await using staged = await store.stage(Readable.from([Buffer.from('bytes')]), { limit: 100 });
    await store.storeOriginal(staged);
    await store.storeRungs(staged.digest, [
      { name: '1024', bytes: Buffer.from('one') },
      { name: '2048', bytes: Buffer.from('two') },
    ]);
    return staged.digest;
  };
  const digest = await storeWithRungs();
  const readShard = () => readdir(join(folder, 'rungs', digest.slice(0, 2)));
  assert.deepEqual(await readShard(), [digest]);
  await store.dropOriginal(digest);
  await store.dropRungs(digest);
  assert.deepEqual(await readShard(), []);
  await storeWithRungs();
  assert.deepEqual(await readShard(), [digest]);
});

it('is unavailable if its root folder is removed', async (t) => {
  const folder = join(await newFolder(t), 'root');
  const store = new BlobStore(await openFileBlobs({ folder }));
  await rm(folder, { recursive: true });
  const unavailable = (error: unknown) => isAppError(error, 'unavailable');
  await assert.rejects(store.check(), unavailable);
  await assert.rejects(store.stage(Readable.from([Buffer.from('x')]), { limit: 1 }), unavailable);
});

it('gives other users of the machine no access to blobs and folders', async (t) => {
  const folder = join(await newFolder(t), 'root');
  const driver = await openFileBlobs({ folder });
  const store = new BlobStore(driver);
  await using staged = await store.stage(Readable.from([Buffer.from('private')]), { limit: 100 });
  await store.storeOriginal(staged);
  const path = driver.localPath?.(originalKey(staged.digest)) ?? '';
  for (const [name, mode] of [
    [path, 0o600],
    [dirname(path), 0o700],
    [folder, 0o700],
    [driver.stagingFolder, 0o700],
  ] as const) {
    const handle = await open(name, 'r');
    assert.equal((await handle.stat()).mode & 0o777, mode, name);
    await handle.close();
  }
});

it('ignores foreign files in its folder, and removes temporary files that are older than a day', async (t) => {
  const folder = await newFolder(t);
  const driver = await openFileBlobs({ folder });
  await mkdir(join(folder, 'a'));
  for (const name of ['Thumbs.db', 'UPPER', '~old.part', '~new.part'])
    await writeFile(join(folder, 'a', name), 'x');
  const longAgo = new Date(Date.now() - 3 * 24 * 60 * 60 * 1000);
  for (const name of ['Thumbs.db', '~old.part']) await utimes(join(folder, 'a', name), longAgo, longAgo);
  for await (const { key } of driver.list('')) assert.fail(key);
  assert.deepEqual((await readdir(join(folder, 'a'))).sort(), ['Thumbs.db', 'UPPER', '~new.part']);
});

it('maps file system errors by their code, and returns defects unchanged', () => {
  const createError = (code: string) => Object.assign(new Error('text that says ENOSPC'), { code });
  for (const code of ['ENOSPC', 'EDQUOT'])
    assert.ok(isAppError(toStorageError(createError(code)), 'storage-full'), code);
  for (const code of ['EIO', 'EACCES', 'EROFS', 'EMFILE', 'ENFILE', 'ELOOP', 'Unknown system error -117']) {
    assert.ok(isAppError(toStorageError(createError(code)), 'unavailable'), code);
  }
  const defect = createError('ERR_INVALID_ARG_TYPE');
  assert.equal(toStorageError(defect), defect);
});
