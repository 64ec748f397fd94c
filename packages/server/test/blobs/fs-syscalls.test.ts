/**
 * What only the system calls can show: that a blob is on the disk before it is acknowledged (no kill of a process
 * proves it), and what happens on a disk without links. Runs the file driver in a child under strace.
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

/** Runs the code in a child under strace, and gives its output and the trace, a line a call. */
async function traced(t: TestContext, options: string[], code: string) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-trace-'));
  t.after(() => rm(folder, { recursive: true }));
  const log = join(folder, 'trace');
  // One file system thread (-E sets a variable), because strace counts the calls of each thread on its own.
  const command = [
    ...['-f', '-y', '-E', 'UV_THREADPOOL_SIZE=1', '-o', log, ...options, '--', process.execPath],
    ...['--input-type=module', '--conditions=vitrine-source', '-e', PRELUDE + code, join(folder, 'blobs')],
  ];
  const { stdout } = await run('strace', command);
  return { stdout, folder, calls: (await readFile(log, 'utf8')).split('\n') };
}

/** The indices of lines that match all of the parts, in a call that ended well. */
function positions(calls: string[], ...parts: string[]): number[] {
  return calls.flatMap((call, index) => (parts.every((part) => call.includes(part)) ? [index] : []));
}

it('a blob and every new folder above it are on the disk before it is acknowledged', { skip }, async (t) => {
  const { calls } = await traced(
    t,
    ['-e', 'trace=fsync,link,linkat,mkdir,mkdirat,write,rename,renameat,renameat2'],
    `await using staged = await stage('durable');
     await store.storeOriginal(staged);
     (await import('node:fs')).writeSync(1, 'acknowledged');`,
  );
  const only = (...parts: string[]): number => {
    const [first, ...more] = positions(calls, ...parts);
    assert.ok(first !== undefined && more.length === 0, `${parts.join(' ')}:\n${calls.join('\n')}`);
    return first;
  };
  const contentWritten = only('write(', '.part>', 'durable');
  const fileSynced = only('fsync(', '.part>');
  const linked = only('link', '.part", ');
  const acknowledged = only('write(', 'acknowledged');
  const shard = calls[linked]?.match(/\/blobs\/(originals\/[0-9a-f]{2})\//)?.[1];
  const shardSynced = only('fsync(', `/blobs/${shard}>`);
  assert.ok(contentWritten < fileSynced && fileSynced < linked && linked < shardSynced, calls.join('\n'));
  assert.ok(shardSynced < acknowledged, calls.join('\n'));
  // The entry of each folder that was made is in its parent.
  for (const [made, parent] of [
    [`/blobs/${shard}"`, '/blobs/originals>'],
    ['/blobs/originals"', '/blobs>'],
    ['/blobs"', `${calls[linked]?.match(/(\/vitrine-trace-\w+)\//)?.[1]}>`],
  ] as const) {
    const making = positions(calls, 'mkdir', made).at(-1) ?? Number.POSITIVE_INFINITY;
    const synced = positions(calls, 'fsync(', parent).at(-1) ?? -1;
    assert.ok(making < synced && synced < acknowledged, `${made}\n${calls.join('\n')}`);
  }
});

it('a replacement is on the disk before it takes the name, and the name before it is acknowledged', {
  skip,
}, async (t) => {
  const { calls } = await traced(
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

it('on a disk without links, of many puts at once still exactly one creates', { skip }, async (t) => {
  const { stdout, calls, folder } = await traced(
    t,
    ['-e', 'trace=link,linkat', '-e', 'inject=link,linkat:error=EPERM'],
    `const staged = await Promise.all(Array.from({ length: 12 }, (_, i) => stage('bytes ' + i)));
     const outcomes = await Promise.all(staged.map((one) => driver.put('x/blob', one)));
     const again = await driver.put('x/blob', staged[0]);
     // A claim that a crash left behind is nobody's after a while.
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

it('a disk that fails to sync is unavailable, and nothing is acknowledged', { skip }, async (t) => {
  const { stdout, calls } = await traced(
    t,
    // The first two sync the folders that opening makes.
    ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:when=3+'],
    `const staged = await stage('lost');
     await store.storeOriginal(staged).then(() => console.log('kept'), (error) => console.log(error.code));
     console.log((await store.openOriginal(staged.digest)) === undefined);`,
  );
  assert.equal(stdout, 'unavailable\ntrue\n', calls.join('\n'));
});

it('running out of file descriptors is unavailable', { skip }, async (t) => {
  const { stdout } = await traced(
    t,
    ['-e', 'trace=link,linkat', '-e', 'inject=link,linkat:error=EMFILE'],
    `const staged = await stage('refused');
     await store.storeOriginal(staged).then(() => console.log('kept'), (error) => console.log(error.code));
     console.log((await store.openOriginal(staged.digest)) === undefined);`,
  );
  assert.equal(stdout, 'unavailable\ntrue\n');
});
