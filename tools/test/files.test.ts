import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFile, findTestFiles, roomNames, selectFiles, UnknownRoomError } from './files.ts';

const IMAGES = [
  'packages/server/test/database/sql/images.test.ts',
  'packages/server/test/http/images/usage.test.ts',
  'packages/server/test/images/ingest.test.ts',
];
const OTHERS = [
  'packages/client/test/retries.test.ts',
  'packages/server/test/image.test.ts',
  'packages/server/test/system/crash/stop.test.ts',
  'packages/server/test/system/sdk/images.test.ts',
  'tools/prose/lint.test.ts',
];
const files = [...IMAGES, ...OTHERS].map(describeFile);
const select = (...words: string[]) => selectFiles(files, words).map(({ path }) => path);

describe('the files of a room', () => {
  test('are found in all mirrors, by folder and by file name', () => {
    assert.deepEqual(select('images'), [...IMAGES, 'packages/server/test/system/sdk/images.test.ts']);
  });

  test('are found by package, by file name and by path', () => {
    assert.deepEqual(select('client'), ['packages/client/test/retries.test.ts']);
    assert.deepEqual(select('lint'), ['tools/prose/lint.test.ts']);
    assert.deepEqual(select('packages/server/test/image.test.ts'), ['packages/server/test/image.test.ts']);
  });

  test('of several rooms are listed once', () => {
    assert.deepEqual(select('usage', 'http'), ['packages/server/test/http/images/usage.test.ts']);
  });

  test('are all files if no room is named', () => {
    assert.deepEqual(select(), [...IMAGES, ...OTHERS]);
  });

  test('of an unknown room are an error that names the room', () => {
    assert.throws(() => select('images', 'nonsense'), UnknownRoomError);
    assert.throws(() => select('nonsense'), /"nonsense"/);
  });
});

test('rooms are packages and folders, without the names of files', () => {
  assert.deepEqual(roomNames(files), [
    'client',
    'crash',
    'database',
    'http',
    'images',
    'prose',
    'sdk',
    'server',
    'sql',
    'tools',
  ]);
});

test('tests of the contract with clients do not count as tests that take minutes', () => {
  const system = files.filter(({ isSystem }) => isSystem);
  assert.deepEqual(
    system.map(({ path }) => path),
    ['packages/server/test/system/crash/stop.test.ts'],
  );
});

test('the repository has test files in each of its packages and in its tools', () => {
  const rooms = findTestFiles().map(({ rooms }) => rooms[0]);
  assert.deepEqual([...new Set(rooms)].sort(), ['client', 'server', 'tools']);
});
