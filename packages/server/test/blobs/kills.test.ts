/**
 * SIGKILL at every system call with which the file driver stores and replaces a blob, one after the other: whatever has
 * the name of a blob afterwards is whole. That it is also on the disk is in fs-syscalls.test.ts.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { skip } from '../system/crash/faults.ts';

/** All that may give bytes or a name to a file, or make either last; but for the writes into staging. */
const CALLS = ['fsync', 'link,linkat', 'rename,renameat,renameat2', 'copy_file_range,sendfile'];

const [OLD, NEW] = ['old', 'new'].map((word) => word.repeat(100_000));

const PROGRAM = `
  import { writeFileSync } from 'node:fs';
  import { openFileBlobs } from '${new URL('../../src/blobs/fs.ts', import.meta.url)}';
  const driver = await openFileBlobs({ folder: process.argv[1] });
  const staged = (word) => {
    const path = driver.stagingFolder + '/' + word;
    writeFileSync(path, word.repeat(100_000));
    return { path, size: 300_000 };
  };
  await driver.put('x/blob', staged('old'));
  console.log('stored');
  await driver.replace('x/blob', staged('new'));
  console.log('replaced');
`;

/** Runs the program until the `nth` of such calls, at which it is killed; what it said, and whether it was. */
function killedAt(calls: string, nth: number, folder: string): Promise<{ said: string; killed: boolean }> {
  // One thread for files (-E sets a variable), because strace counts the calls of each thread on its own.
  const words = [
    ...['-f', '-E', 'UV_THREADPOOL_SIZE=1', '-o', '/dev/null', '-e', `trace=${calls}`],
    ...['-e', `inject=${calls}:signal=SIGKILL:when=${nth}`, '--', process.execPath],
    ...['--input-type=module', '--conditions=vitrine-source', '-e', PROGRAM, folder],
  ];
  return new Promise((resolve) => {
    execFile('strace', words, (error, said) => resolve({ said, killed: error !== null }));
  });
}

test('a kill at any moment leaves the blob whole, or not there, and never what was there before it was replaced', {
  skip,
}, async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-kills-'));
  t.after(() => rm(parent, { recursive: true }));
  const outcomes = new Set<string>();
  let kills = 0;
  for (const calls of CALLS) {
    for (let nth = 1; ; nth += 1) {
      const folder = await mkdtemp(join(parent, 'blobs-'));
      const { said, killed } = await killedAt(calls, nth, folder);
      const names = await readdir(join(folder, 'x')).catch(() => [] as string[]);
      const blob = names.includes('blob') ? String(await readFile(join(folder, 'x/blob'))) : undefined;
      const found = blob === OLD ? 'old' : blob === NEW ? 'new' : blob === undefined ? 'none' : 'torn';
      const allowed = said.includes('replaced')
        ? ['new']
        : said.includes('stored')
          ? ['old', 'new']
          : ['none', 'old'];
      assert.ok(
        allowed.includes(found),
        `call ${nth} of ${calls}, it said ${JSON.stringify(said)}: ${found}`,
      );
      outcomes.add(found);
      if (!killed) break;
      kills += 1;
    }
  }
  t.diagnostic(`${kills} kills`);
  assert.deepEqual(outcomes, new Set(['none', 'old', 'new']));
});
