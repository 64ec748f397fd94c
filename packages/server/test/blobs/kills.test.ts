/**
 * Kills the file driver at each system call with which it stores and replaces a blob. A blob must be whole
 * afterwards. fs-syscalls.test.ts tests that it is also on the disk.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { skip } from '../system/crash/faults.ts';

/** The calls that write, name or sync a file, except for writes into staging. */
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

/**
 * Runs the program and kills it at the `nth` of the calls.
 * @returns its output, and false if it ended before.
 */
function runAndKill(
  calls: string,
  nth: number,
  folder: string,
): Promise<{ output: string; isKilled: boolean }> {
  // One file system thread (-E sets a variable), because strace counts the calls of each thread separately.
  const words = [
    ...['-f', '-E', 'UV_THREADPOOL_SIZE=1', '-o', '/dev/null', '-e', `trace=${calls}`],
    ...['-e', `inject=${calls}:signal=SIGKILL:when=${nth}`, '--', process.execPath],
    ...['--input-type=module', '--conditions=vitrine-source', '-e', PROGRAM, folder],
  ];
  return new Promise((resolve) => {
    execFile('strace', words, (error, output) => resolve({ output, isKilled: error !== null }));
  });
}

test('a kill at any system call leaves a whole blob or none, and never an old blob after a replace', {
  skip,
}, async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-kills-'));
  t.after(() => rm(parent, { recursive: true }));
  const outcomes = new Set<string>();
  let kills = 0;
  for (const calls of CALLS) {
    for (let nth = 1; ; nth += 1) {
      const folder = await mkdtemp(join(parent, 'blobs-'));
      const { output, isKilled } = await runAndKill(calls, nth, folder);
      const names = await readdir(join(folder, 'x')).catch(() => [] as string[]);
      const blob = names.includes('blob') ? String(await readFile(join(folder, 'x/blob'))) : undefined;
      const content = blob === OLD ? 'old' : blob === NEW ? 'new' : blob === undefined ? 'none' : 'torn';
      const allowed = output.includes('replaced')
        ? ['new']
        : output.includes('stored')
          ? ['old', 'new']
          : ['none', 'old'];
      assert.ok(
        allowed.includes(content),
        `call ${nth} of ${calls}, output ${JSON.stringify(output)}: ${content}`,
      );
      outcomes.add(content);
      if (!isKilled) break;
      kills += 1;
    }
  }
  t.diagnostic(`${kills} kills`);
  assert.deepEqual(outcomes, new Set(['none', 'old', 'new']));
});
