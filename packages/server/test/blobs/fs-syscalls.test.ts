/**
 * The system calls of the file driver, which runs in a child process under strace. They show that a blob is
 * on the disk before it is acknowledged, which no kill of a process can show. They also simulate disks
 * without links.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const strace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
const skip = strace ? false : 'strace is absent or not permitted here';

const PRELUDE = `
  import { Readable } from 'node:stream';
  import { openFileBlobs } from '${new URL('../../src/blobs/fs.ts', import.meta.url)}';
  import { BlobStore } from '${new URL('../../src/blobs/store.ts', import.meta.url)}';
  const driver = await openFileBlobs({ folder: process.argv[1] });
  const store = new BlobStore(driver);
  const stage = (text) => store.stage(Readable.from([Buffer.from(text)]), { limit: 100 });
`;

/**
 * Runs the code in a child process under strace.
 * @returns its output and the trace, one line for each call.
 */
async function trace(t: TestContext, options: string[], code: string) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-trace-'));
  t.after(() => rm(folder, { recursive: true }));
  const log = join(folder, 'trace');
  // One file system thread (-E sets a variable), because strace counts the calls of each thread separately.
  const command = [
    ...['-f', '-y', '-E', 'UV_THREADPOOL_SIZE=1', '-o', log, ...options, '--', process.execPath],
    ...['--input-type=module', '--conditions=vitrine-source', '-e', PRELUDE + code, join(folder, 'blobs')],
  ];
  const { stdout } = await run('strace', command);
  return { stdout, folder, calls: (await readFile(log, 'utf8')).split('\n') };
}

/** The indices of the lines that contain all of the parts. */
function positions(calls: string[], ...parts: string[]): number[] {
  return calls.flatMap((call, index) => (parts.every((part) => call.includes(part)) ? [index] : []));
}

it('syncs a blob and each new folder above it before it acknowledges the blob', { skip }, async (t) => {
  const { calls } = await trace(
    t,
    ['-e', 'trace=fsync,link,linkat,mkdir,mkdirat,write,rename,renameat,renameat2'],
    `await using staged = await stage('durable');
     await store.storeOriginal(staged);
     (await import('node:fs')).writeSync(1, 'acknowledged');`,
  );
  const findOne = (...parts: string[]): number => {
    const [first, ...more] = positions(calls, ...parts);
    assert.ok(first !== undefined && more.length === 0, `${parts.join(' ')}:\n${calls.join('\n')}`);
    return first;
  };
  const contentWritten = findOne('write(', '.part>', 'durable');
  const fileSynced = findOne('fsync(', '.part>');
  const linked = findOne('link', '.part", ');
  const acknowledged = findOne('write(', 'acknowledged');
  const shard = calls[linked]?.match(/\/blobs\/(originals\/[0-9a-f]{2})\//)?.[1];
  const shardSynced = findOne('fsync(', `/blobs/${shard}>`);
  assert.ok(contentWritten < fileSynced && fileSynced < linked && linked < shardSynced, calls.join('\n'));
  assert.ok(shardSynced < acknowledged, calls.join('\n'));
  // The entry of a new folder is in its parent.
  for (const [created, parent] of [
    [`/blobs/${shard}"`, '/blobs/originals>'],
    ['/blobs/originals"', '/blobs>'],
    ['/blobs"', `${calls[linked]?.match(/(\/vitrine-trace-\w+)\//)?.[1]}>`],
  ] as const) {
    const creation = positions(calls, 'mkdir', created).at(-1) ?? Number.POSITIVE_INFINITY;
    const synced = positions(calls, 'fsync(', parent).at(-1) ?? -1;
    assert.ok(creation < synced && synced < acknowledged, `${created}\n${calls.join('\n')}`);
  }
});

it('syncs a replacement before the rename, and the folder before it acknowledges the replacement', {
  skip,
}, async (t) => {
  const { calls } = await trace(
    t,
    ['-e', 'trace=fsync,write,rename,renameat,renameat2'],
    `await using staged = await stage('replacement');
     await driver.replace('x/blob', staged);
     (await import('node:fs')).writeSync(1, 'acknowledged');`,
  );
  const [copySynced = -1] = positions(calls, 'fsync(', '/x/~');
  const [renamed = -1] = positions(calls, 'rename', '/x/blob"');
  const folderSynced = positions(calls, 'fsync(', '/x>').at(-1) ?? -1;
  const [acknowledged = -1] = positions(calls, 'write(', 'acknowledged');
  const order = [-1, copySynced, renamed, folderSynced, acknowledged];
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
    calls.join('\n'),
  );
  assert.equal(new Set(order).size, 5, calls.join('\n'));
});

it('creates a blob exactly once in 12 concurrent puts on a disk without links', { skip }, async (t) => {
  const { stdout, calls, folder } = await trace(
    t,
    ['-e', 'trace=link,linkat', '-e', 'inject=link,linkat:error=EPERM'],
    `const staged = await Promise.all(Array.from({ length: 12 }, (_, i) => stage('bytes ' + i)));
     const outcomes = await Promise.all(staged.map((one) => driver.put('x/blob', one)));
     const again = await driver.put('x/blob', staged[0]);
     // The claim of a crashed process expires.
     const fs = await import('node:fs');
     const claim = process.argv[1] + '/y/~claim-blob';
     fs.mkdirSync(process.argv[1] + '/y');
     fs.writeFileSync(claim, '');
     fs.utimesSync(claim, 1, 1);
     const afterCrash = await driver.put('y/blob', staged[0]);
     console.log(JSON.stringify({ outcomes, again, afterCrash }));`,
  );
  assert.ok(positions(calls, 'EPERM', 'INJECTED').length > 12);
  const { outcomes, again, afterCrash }: { outcomes: string[]; again: string; afterCrash: string } =
    JSON.parse(stdout);
  assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
  assert.equal(again, 'exists');
  assert.equal(afterCrash, 'created');
  assert.deepEqual(await readdir(join(folder, 'blobs', 'x')), ['blob']);
  assert.equal(
    await readFile(join(folder, 'blobs', 'x', 'blob'), 'utf8'),
    `bytes ${outcomes.indexOf('created')}`,
  );
});

it('reports a failed sync as unavailable, and acknowledges nothing', { skip }, async (t) => {
  const { stdout, calls } = await trace(
    t,
    // The first two calls sync the folders that openFileBlobs creates.
    ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:when=3+'],
    `const staged = await stage('lost');
     await store.storeOriginal(staged).then(() => console.log('stored'), (error) => console.log(error.code));
     console.log((await store.openOriginal(staged.digest)) === undefined);`,
  );
  assert.equal(stdout, 'unavailable\ntrue\n', calls.join('\n'));
});

it('reports a lack of file descriptors as unavailable', { skip }, async (t) => {
  const { stdout } = await trace(
    t,
    ['-e', 'trace=link,linkat', '-e', 'inject=link,linkat:error=EMFILE'],
    `const staged = await stage('refused');
     await store.storeOriginal(staged).then(() => console.log('stored'), (error) => console.log(error.code));
     console.log((await store.openOriginal(staged.digest)) === undefined);`,
  );
  assert.equal(stdout, 'unavailable\ntrue\n');
});
