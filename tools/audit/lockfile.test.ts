/**
 * The lockfiles of this repository, and the rule for them.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type AllowedScripts,
  findLockfileProblems,
  findNeedlessPermissions,
  type Lockfile,
} from './lockfile.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): unknown => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
const { allowScripts: ALLOWED } = read('package.json') as { allowScripts: AllowedScripts };
const LOCKFILES = globSync('{,*/,*/*/}package-lock.json', {
  cwd: ROOT,
  exclude: (path) => path.includes('node_modules'),
});

describe('the lockfiles', () => {
  for (const path of LOCKFILES) {
    test(`${path} has no unjudged install script and no telemetry`, () => {
      // Only the root has scripts that may run.
      const allowed = path === 'package-lock.json' ? ALLOWED : {};
      assert.deepEqual(findLockfileProblems(read(path) as Lockfile, allowed), []);
    });
  }

  test('are found', () => {
    assert.deepEqual(LOCKFILES.filter((path) => path === 'package-lock.json').length, 1);
    assert.ok(LOCKFILES.includes(join('tools', 'contract', 'package-lock.json')));
  });

  test('contain every package of allowScripts', () => {
    assert.deepEqual(findNeedlessPermissions(read('package-lock.json') as Lockfile, ALLOWED), []);
  });
});

describe('the rule for lockfiles', () => {
  test('refuses install scripts without a decision, also of nested and renamed packages', () => {
    const packages = {
      '': { hasInstallScript: true },
      'node_modules/plain': {},
      'node_modules/builder': { hasInstallScript: true },
      'node_modules/plain/node_modules/builder': { hasInstallScript: true },
      'node_modules/alias': { name: 'other-builder', hasInstallScript: true },
    };
    const lines = findLockfileProblems({ packages }, { alias: true });
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      ['node_modules/builder', 'node_modules/plain/node_modules/builder', 'node_modules/alias'],
    );
    assert.deepEqual(findLockfileProblems({ packages }, { builder: true, 'other-builder': false }), []);
  });

  test('refuses telemetry, also where an install script is allowed', () => {
    const packages = { 'node_modules/a/node_modules/@scarf/scarf': { hasInstallScript: true } };
    assert.deepEqual(findLockfileProblems({ packages }, { '@scarf/scarf': false }), [
      'node_modules/a/node_modules/@scarf/scarf is known for its telemetry',
    ]);
  });

  test('finds a permission without a package', () => {
    const packages = { 'node_modules/sharp': { hasInstallScript: true }, 'node_modules/plain': {} };
    assert.deepEqual(findNeedlessPermissions({ packages }, { sharp: true, plain: true, gone: false }), [
      'plain',
      'gone',
    ]);
  });
});
