/**
 * The application as a whole: what it leaves on disk.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { picture } from './support/sample.ts';
import { startServer } from './support/server.ts';

/** Of everything below a folder, and the folder itself, whether others may do anything with it. */
async function openToOthers(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  const modes = await Promise.all(
    ['', ...entries].map(async (name) => ({ name, mode: (await stat(join(folder, name))).mode & 0o777 })),
  );
  return modes
    .filter(({ mode }) => (mode & 0o077) !== 0)
    .map(({ name, mode }) => `${name} ${mode.toString(8)}`);
}

test('all that is made in the data folder, and the folder, is for nobody but its user', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-app-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, 'made', 'on demand');
  const before = process.umask(0o022);
  t.after(() => process.umask(before));
  const server = await startServer({ VITRINE_DATA: folder });
  t.after(() => server.close());
  const image = await server.addImage(await picture(1));
  assert.equal((await server.fetch(`/images/${image.publicID}?size=33x33`)).status, 200);
  // Renditions get to the disk after the answer.
  while (
    !(await readdir(join(folder, 'cache'), { recursive: true })).some((name) => name.includes('.33x33.'))
  )
    await new Promise(setImmediate);
  const made = await readdir(folder, { recursive: true });
  for (const name of ['vitrine.db', 'vitrine.db-wal', 'vitrine.db-shm', 'blobs', 'cache']) {
    assert.ok(made.includes(name), name);
  }
  assert.deepEqual(await openToOthers(join(parent, 'made')), []);
});

test('a data folder that its operator made stays as open as it is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-app-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const own = join(folder, 'own');
  await mkdir(own);
  await chmod(own, 0o750);
  const server = await startServer({ VITRINE_DATA: own });
  await server.close();
  assert.equal((await stat(own)).mode & 0o777, 0o750);
});
