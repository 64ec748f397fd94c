/**
 * Small file systems in memory, for tests of full and read-only disks.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Mounts a file system in memory and returns its folder. If it cannot, it skips the test with a message. */
export async function mountSmallDisk(t: TestContext, size: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) {
    t.skip('this test mounts a file system, which needs root');
    return undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true });
    t.skip('this test mounts a file system, which is not permitted here');
    return undefined;
  }
  t.after(async () => {
    await run('umount', ['-l', folder]);
    await rm(folder, { recursive: true });
  });
  return folder;
}

/** Makes the file system read-only or writable. */
export async function remount(folder: string, mode: 'ro' | 'rw'): Promise<void> {
  await run('mount', ['-o', `remount,${mode}`, folder]);
}
