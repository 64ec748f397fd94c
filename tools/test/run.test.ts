import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

/** Runs the runner like npm does, outside of this test run. */
function runTests(...words: string[]) {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const parameters = ['--conditions=vitrine-source', join(import.meta.dirname, 'run.ts'), ...words];
  return spawnSync(process.execPath, parameters, { env, encoding: 'utf8' });
}

test('a room runs, and the closing lines of node are the last lines', () => {
  const { status, stdout } = runTests('token-bucket', '--test-reporter=spec');
  assert.equal(status, 0);
  assert.match(stdout, /\nℹ tests \d+\n(ℹ .+\n)*ℹ fail 0\n(ℹ .+\n)*$/);
});

test('an unknown room is an error with the list of rooms', () => {
  const { status, stdout, stderr } = runTests('nonsense');
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^no test file belongs to "nonsense"\n\nUsage: npm test -- .*\nRooms: access, .*images, /,
  );
});

test('a room of the long tests is unknown to the short ones, with a hint', () => {
  const { status, stderr } = runTests('crash');
  assert.equal(status, 1);
  assert.match(stderr, /Tests that take minutes: npm run test:system/);
});

test('an unknown option is an error', () => {
  const { status, stderr } = runTests('--sytem');
  assert.equal(status, 1);
  assert.match(stderr, /no test file belongs to "--sytem"/);
});
