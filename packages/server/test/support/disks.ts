/**
 * Small real file systems for tests of what happens when one is full or read-only.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Mounts a file system in memory, or skips the test and says why. */
export async function mountSmallDisk(t: TestContext, size: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) {
    t.skip('mounting a small file system needs root');
    return undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true });
    t.skip('mounting is not permitted here');
    return undefined;
  }
  t.after(async () => {
    await run('umount', ['-l', folder]);
    await rm(folder, { recursive: true });
  });
  return folder;
}

/** Mounts the file system anew, so that it can or cannot be written. */
export async function remount(folder: string, mode: 'ro' | 'rw'): Promise<void> {
  await run('mount', ['-o', `remount,${mode}`, folder]);
}
