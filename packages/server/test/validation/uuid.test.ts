import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseUUID } from '../../src/validation/uuid.ts';

describe('parseUUID', () => {
  test('accepts both cases and returns lower case', () => {
    assert.equal(parseUUID('3A4ED2D9-03E1-4B0E-B45F-2A9CA72F8ADB'), '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb');
  });

  test('rejects other texts', () => {
    for (const text of [
      '',
      '3a4ed2d9',
      '{3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb}',
      '3a4ed2d903e14b0eb45f2a9ca72f8adb',
      '../..',
    ]) {
      assert.equal(parseUUID(text), undefined);
    }
  });
});
