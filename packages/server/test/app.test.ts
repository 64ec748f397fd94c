/**
 * The permissions of the files and folders that the application creates.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { picture } from './support/sample.ts';
import { startServer } from './support/server.ts';

/** The folder and all entries below it to which other users have access, with their modes. */
async function listAccessibleToOthers(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  const modes = await Promise.all(
    ['', ...entries].map(async (name) => ({ name, mode: (await stat(join(folder, name))).mode & 0o777 })),
  );
  return modes
    .filter(({ mode }) => (mode & 0o077) !== 0)
    .map(({ name, mode }) => `${name} ${mode.toString(8)}`);
}

test('the data folder and all its content are accessible only to their user', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-app-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  const folder = join(parent, 'created', 'on demand');
  const before = process.umask(0o022);
  t.after(() => process.umask(before));
  const server = await startServer({ VITRINE_DATA: folder });
  t.after(() => server.close());
  const image = await server.addImage(await picture(1));
  assert.equal((await server.fetch(`/images/${image.publicID}?size=33x33`)).status, 200);
  // Renditions are written to disk after the answer.
  while (
    !(await readdir(join(folder, 'cache'), { recursive: true })).some((name) => name.includes('.33x33.'))
  )
    await new Promise(setImmediate);
  const entries = await readdir(folder, { recursive: true });
  for (const name of ['vitrine.db', 'vitrine.db-wal', 'vitrine.db-shm', 'blobs', 'cache']) {
    assert.ok(entries.includes(name), name);
  }
  assert.deepEqual(await listAccessibleToOthers(join(parent, 'created')), []);
});

test('an existing data folder keeps its permissions', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-app-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const existing = join(folder, 'existing');
  await mkdir(existing);
  await chmod(existing, 0o750);
  const server = await startServer({ VITRINE_DATA: existing });
  await server.close();
  assert.equal((await stat(existing)).mode & 0o777, 0o750);
});
