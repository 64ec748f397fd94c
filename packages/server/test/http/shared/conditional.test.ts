import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isNotModified, lastModified } from '../../../src/http/shared/conditional.ts';

const current = { etag: 'W/"abc"', lastModified: Date.parse('2026-05-01T10:00:00Z') };
const match = (header: string, since?: string) =>
  isNotModified({ 'if-none-match': header, 'if-modified-since': since }, current);

describe('a conditional request', () => {
  test('is current if its tag matches, weak or strong', () => {
    assert.ok(match('W/"abc"'));
    assert.ok(match('"abc"'));
  });

  test('is current if the tag is anywhere in its list', () => {
    assert.ok(match('"x", W/"y,z" , W/"abc"'));
  });

  test('is current for *', () => {
    assert.ok(match('*'));
    assert.ok(match(' * '));
  });

  test('is not current for other tags and malformed ones', () => {
    for (const header of ['"abcd"', 'abc', '', '""', 'W/abc', '"ab', "'abc'", `"${'x'.repeat(8000)}"`]) {
      assert.equal(match(header), false, header.slice(0, 20));
    }
  });

  test('ignores its date if it has tags', () => {
    assert.equal(match('"other"', 'Fri, 01 Jan 2100 00:00:00 GMT'), false);
    assert.equal(match('"abc"', 'Thu, 01 Jan 1970 00:00:00 GMT'), true);
  });

  const since = (date: string) => isNotModified({ 'if-modified-since': date }, current);

  test('compares its date in any of the three forms if it has no tag', () => {
    assert.equal(since('Fri, 01 May 2026 10:00:00 GMT'), true);
    assert.equal(since('Fri, 01 May 2026 09:59:59 GMT'), false);
    assert.equal(since('Friday, 01-May-26 10:00:00 GMT'), true);
    assert.equal(since('Friday, 01-May-26 09:59:59 GMT'), false);
    assert.equal(since('Friday, 01-May-98 10:00:00 GMT'), false, '1998');
    assert.equal(since('Fri May  1 10:00:00 2026'), true);
    assert.equal(since('Fri May  1 09:59:59 2026'), false);
    assert.equal(isNotModified({}, current), false);
  });

  test('ignores a date that is not an HTTP date, even if JavaScript can parse it', () => {
    for (const date of [
      'yesterday',
      '',
      '9999',
      '2099-01-01',
      '2099-01-01T00:00:00Z',
      'Fri, 01 May 2099',
      'Fri, 1 May 2099 10:00:00 GMT',
      'Fri, 01 May 2099 10:00:00 +0000',
      'Fri, 31 Feb 2099 10:00:00 GMT',
      'Fri, 01 May 2099 25:00:00 GMT',
      '01 May 2099 10:00:00 GMT',
    ]) {
      assert.equal(since(date), false, date);
    }
  });

  test('ignores its date while there is no Last-Modified', () => {
    const recent = { etag: 'W/"abc"', lastModified: undefined };
    assert.equal(isNotModified({ 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }, recent), false);
    assert.equal(isNotModified({ 'if-none-match': '"abc"' }, recent), true);
  });
});

test('Last-Modified is the next whole second after a change, and absent for two seconds', () => {
  const at = (updatedOn: string, now: string) => lastModified(new Date(updatedOn), Date.parse(now));
  const ten = Date.parse('2026-05-01T10:00:00Z');
  assert.equal(at('2026-05-01T09:59:59.001Z', '2026-05-01T10:00:01.001Z'), ten);
  assert.equal(at('2026-05-01T10:00:00.000Z', '2026-05-01T10:00:02.000Z'), ten);
  assert.equal(at('2026-05-01T10:00:00.000Z', '2026-05-01T10:00:01.999Z'), undefined);
  assert.equal(
    at('2026-05-01T10:00:00.000Z', '2026-05-01T09:00:00.000Z'),
    undefined,
    'a clock that was set back',
  );
});
