import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPure, needsPostgres } from './imports.ts';

const SERVER = 'packages/server/test';

test('a file is pure if all its imports are', () => {
  assert.equal(isPure(`${SERVER}/concurrency/token-bucket.test.ts`), true);
  // It starts a server.
  assert.equal(isPure(`${SERVER}/http/images/usage.test.ts`), false);
  // It imports a source that writes files.
  assert.equal(isPure(`${SERVER}/delivery/caches.test.ts`), false);
});

test('PostgreSQL is needed where its starter is imported, also by another file', () => {
  assert.equal(needsPostgres(`${SERVER}/database/postgres/postgres.test.ts`), true);
  assert.equal(needsPostgres(`${SERVER}/system/crash/postgres-restart.test.ts`), true);
  assert.equal(needsPostgres(`${SERVER}/http/images/usage.test.ts`), false);
});
