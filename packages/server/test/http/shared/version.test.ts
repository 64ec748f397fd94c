import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isAppError } from '../../../src/errors.ts';
import { duplicateNamesExisting, resolveVersion, VERSIONS } from '../../../src/http/shared/version.ts';

describe('the version that answers', () => {
  test('is the oldest without a header', () => {
    assert.equal(resolveVersion(undefined), 'v2024.01.00');
  });

  test('is the requested one if it is supported', () => {
    for (const version of VERSIONS) assert.equal(resolveVersion(version), version);
  });

  test('is the newest for dev and latest', () => {
    assert.equal(resolveVersion('dev'), 'v2026.10.00');
    assert.equal(resolveVersion('latest'), 'v2026.10.00');
  });

  test('is the newest supported one that is not newer than an unknown one', () => {
    assert.equal(resolveVersion('v2025.05.00'), 'v2025.04.00');
    assert.equal(resolveVersion('v2025.04.01'), 'v2025.04.00');
    assert.equal(resolveVersion('v2099.01.00'), 'v2026.10.00');
    assert.equal(resolveVersion('v2026.09.99'), 'v2026.07.00');
  });

  test('is the oldest if all are newer', () => {
    assert.equal(resolveVersion('v2023.12.00'), 'v2024.01.00');
  });

  test('is never newer than the requested one, except the oldest', () => {
    const digits = (length: number) =>
      fc.integer({ min: 0, max: 10 ** length - 1 }).map((n) => String(n).padStart(length, '0'));
    fc.assert(
      fc.property(digits(4), digits(2), digits(2), (year, month, build) => {
        const requested = `v${year}.${month}.${build}`;
        const version = resolveVersion(requested);
        assert.ok(version <= requested || version === VERSIONS[0]);
      }),
    );
  });

  test('is refused as not-found for a malformed header', () => {
    for (const text of [
      '',
      'v2026.10',
      '2026.10.00',
      'V2026.10.00',
      'v2026.10.0',
      'newest',
      'v2026.10.00, v2025.01.00',
    ]) {
      assert.throws(
        () => resolveVersion(text),
        (error) => isAppError(error, 'not-found'),
        text,
      );
    }
  });

  test('shows the existing image in the 409 of a duplicate from v2026.10.00 on', () => {
    assert.deepEqual(VERSIONS.filter(duplicateNamesExisting), ['v2026.10.00']);
  });
});
