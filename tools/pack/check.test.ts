import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findProblems, type Manifest } from './check.ts';

const PACKAGE: Manifest = {
  name: 'lamp',
  files: ['dist', 'lamp.mjs'],
  bin: { lamp: 'lamp.mjs' },
  exports: {
    '.': { 'vitrine-source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' },
    './package.json': './package.json',
  },
};

describe('a package', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-check-'));
    await mkdir(join(folder, 'dist'));
    await mkdir(join(folder, 'empty'));
    for (const path of ['package.json', 'lamp.mjs', 'other.mjs', 'dist/index.js', 'dist/index.d.ts'])
      await writeFile(join(folder, path), 'text');
    await writeFile(join(folder, 'none.css'), '');
  });
  after(() => rm(folder, { recursive: true }));

  test('with all promised files has no problem', () => {
    assert.deepEqual(findProblems(PACKAGE, folder), []);
  });

  test('without its built types, or with empty files, is refused', () => {
    const exports = { '.': { types: './dist/types.d.ts', default: './dist/index.js' } };
    assert.deepEqual(findProblems({ ...PACKAGE, exports }, folder), ['lamp: dist/types.d.ts is missing']);
    const files = ['dist', 'lamp.mjs', 'empty', 'none.css', 'gone'];
    assert.deepEqual(findProblems({ ...PACKAGE, files }, folder), [
      'lamp: empty is empty',
      'lamp: none.css is empty',
      'lamp: gone is missing',
    ]);
  });

  test('that does not pack its own command is refused', () => {
    const bin = { lamp: './other.mjs' };
    assert.deepEqual(findProblems({ ...PACKAGE, bin }, folder), ['lamp: other.mjs is not in "files"']);
  });
});
