import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isNotModified } from '../../src/http/conditional.ts';

const current = { etag: 'W/"abc"', lastModified: new Date('2026-05-01T10:00:00.750Z') };
const match = (header: string, since?: string) =>
  isNotModified({ 'if-none-match': header, 'if-modified-since': since }, current);

describe('a conditional request', () => {
  test('is current if its tag is ours, weak or strong', () => {
    assert.ok(match('W/"abc"'));
    assert.ok(match('"abc"'));
  });

  test('is current if our tag is anywhere in its list', () => {
    assert.ok(match('"x", W/"y,z" , W/"abc"'));
  });

  test('is current for *', () => {
    assert.ok(match('*'));
    assert.ok(match(' * '));
  });

  test('is not current for other tags, or for what is no tag', () => {
    for (const header of ['"abcd"', 'abc', '', '""', 'W/abc', '"ab', "'abc'", `"${'x'.repeat(8000)}"`]) {
      assert.equal(match(header), false, header.slice(0, 20));
    }
  });

  test('decides by its tags alone where it has any, whatever its date', () => {
    assert.equal(match('"other"', 'Fri, 01 Jan 2100 00:00:00 GMT'), false);
    assert.equal(match('"abc"', 'Thu, 01 Jan 1970 00:00:00 GMT'), true);
  });

  test('decides by its date, in whole seconds, where it has no tag', () => {
    const since = (date: string) => isNotModified({ 'if-modified-since': date }, current);
    assert.equal(since('Fri, 01 May 2026 10:00:00 GMT'), true);
    assert.equal(since('Fri, 01 May 2026 09:59:59 GMT'), false);
    assert.equal(since('yesterday'), false);
    assert.equal(isNotModified({}, current), false);
  });
});
