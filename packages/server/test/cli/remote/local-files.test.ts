/**
 * The files that the arguments of a command name: folders, links, patterns, and paths that cannot be read.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { findFiles, readSinglePicture } from '../../../src/cli/remote/local-files.ts';

/** The number of a user without any rights. */
const NOBODY = 65_534;

/** Runs `work` without the rights of root, who may read everything. */
async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('findFiles', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-files-'));
    await chown(folder, process.getuid?.() === 0 ? NOBODY : -1, -1);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const save = async (...names: string[]) => {
    for (const name of names) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), name);
    }
  };
  const find = async (...names: string[]) => {
    const files = await findFiles(names.map((name) => join(folder, name)));
    return files.map(({ path, problem }) => [
      path.slice(folder.length + 1),
      ...(problem === undefined ? [] : [problem.replaceAll(folder, '')]),
    ]);
  };

  test('passes over hidden files and folders at every depth', async () => {
    await save('a.jpg', '.b.jpg', '.thumbnails/t.jpg', 'sub/.c.jpg', 'sub/.git/x/d.jpg', 'sub/e/f.png');
    assert.deepEqual(await find(''), [['a.jpg'], ['sub/e/f.png']]);
  });

  test('takes a hidden file or folder that an argument names', async () => {
    await save('.thumbnails/t.jpg', '.thumbnails/.u.jpg', '.b.jpg');
    assert.deepEqual(await find('.thumbnails', '.b.jpg'), [['.thumbnails/t.jpg'], ['.b.jpg']]);
    assert.deepEqual(await find('.thumbnails/*.jpg'), [['.thumbnails/t.jpg']]);
    await assert.rejects(find('*.jpg'), /\*\.jpg matches no file$/);
  });

  test('takes every usual extension of JPEG, PNG and WebP files, in either case', async () => {
    const names = ['a.jpg', 'b.JPEG', 'c.jfif', 'd.JPE', 'e.png', 'f.WebP'];
    await save(...names, 'g.gif', 'h.jpg.txt', 'jpg');
    assert.deepEqual(
      await find(''),
      names.map((name) => [name]),
    );
  });

  test('gives the other pictures next to a folder or a file that cannot be read', async () => {
    await save('a.jpg', 'locked/b.jpg', 'open/c.jpg', 'secret.jpg');
    await chmod(join(folder, 'locked'), 0);
    const files = await asOrdinaryUser(() => find(''));
    assert.deepEqual(
      files.map(([path]) => path),
      ['a.jpg', 'locked', 'open/c.jpg', 'secret.jpg'],
    );
    assert.match(files[1]?.[1] ?? '', /^the folder cannot be read: EACCES/);
    // The same path as an argument, and a file in a folder that may not be entered.
    const named = await asOrdinaryUser(() => find('locked', 'locked/b.jpg', 'a.jpg'));
    assert.match(named[0]?.[1] ?? '', /^the folder cannot be read: EACCES/);
    assert.match(named[1]?.[1] ?? '', /^the file cannot be read: EACCES/);
    assert.deepEqual(named[2], ['a.jpg']);
    const single = asOrdinaryUser(() => readSinglePicture(join(folder, 'locked/b.jpg')));
    await assert.rejects(single, /locked\/b\.jpg: the file cannot be read: EACCES/);
  });

  test('ends for links that form a loop, and reports links to nothing', async () => {
    await save('a/b.jpg', 'real/c.jpg');
    await symlink(folder, join(folder, 'a/parent'));
    await symlink(folder, join(folder, 'a/parent.jpg'));
    await symlink('itself.jpg', join(folder, 'itself.jpg'));
    await symlink('nothing', join(folder, 'lost.png'));
    await symlink('a/b.jpg', join(folder, 'link.jpg'));
    await symlink('real', join(folder, 'named'));
    const files = await find('');
    assert.deepEqual(
      files.map(([path]) => path),
      ['a/b.jpg', 'itself.jpg', 'link.jpg', 'lost.png', 'real/c.jpg'],
    );
    assert.match(files[1]?.[1] ?? '', /^the file cannot be read: ELOOP/);
    assert.equal(files[3]?.[1], 'the file cannot be read: the link leads to no file');
    assert.deepEqual(await find('named'), [['named/c.jpg']]);
  });

  test('reads no socket and no pipe', async () => {
    await save('a.jpg');
    assert.equal(spawnSync('mkfifo', [join(folder, 'pipe.jpg')]).status, 0);
    await symlink('pipe.jpg', join(folder, 'link.jpg'));
    const listener = createServer().listen(join(folder, 'socket.jpg'));
    try {
      assert.deepEqual(await find(''), [['a.jpg']]);
      assert.deepEqual(await find('*.jpg'), [['a.jpg']]);
      const problem = 'it is neither a file nor a folder';
      assert.deepEqual(await find('pipe.jpg', 'a.jpg', 'socket.jpg'), [
        ['pipe.jpg', problem],
        ['a.jpg'],
        ['socket.jpg', problem],
      ]);
    } finally {
      listener.close();
    }
  });
});
