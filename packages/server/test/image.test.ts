import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  FORMATS,
  fingerprintValues,
  IMAGE_FORMAT_NAMES,
  IMAGE_FORMATS,
  isDigest,
  isImageFormat,
  MAX_ALT_TEXT_LENGTH,
  OUTPUT_FORMATS,
  parseAltText,
} from '../src/image.ts';

const reason = (value: unknown) => {
  const result = parseAltText(value);
  return result.ok ? undefined : result.reason;
};

describe('alt text', () => {
  test('keeps well-formed text of up to 2 000 code points without control characters unchanged', () => {
    const character = fc
      .integer({ min: 0x20, max: 0x10ffff })
      .filter((code) => !(code >= 0xd800 && code <= 0xdfff) && !(code >= 0x7f && code <= 0x9f))
      .map((code) => String.fromCodePoint(code));
    const text = fc.string({ unit: character, minLength: 1, maxLength: MAX_ALT_TEXT_LENGTH, size: 'max' });
    fc.assert(
      fc.property(text, (value) => {
        assert.deepEqual(parseAltText(value), { ok: true, altText: value });
      }),
    );
  });

  test('has its length counted in code points', () => {
    assert.equal(reason('😀'.repeat(2_000)), undefined);
    assert.match(reason('😀'.repeat(2_001)) ?? '', /at most 2000 .* 2001/);
    assert.match(reason('a'.repeat(2_001)) ?? '', /at most 2000/);
  });

  test('may contain line breaks and tabs, but no other control character', () => {
    assert.equal(reason('one\n\ttwo'), undefined);
    for (let code = 0; code < 0xa0; code++) {
      const text = `a${String.fromCharCode(code)}b`;
      const isRejected = code < 0x20 ? ![9, 10, 13].includes(code) : code >= 0x7f;
      assert.equal(reason(text) !== undefined, isRejected, `U+${code.toString(16)}`);
    }
  });

  test('has a newline for each line break of another system', () => {
    assert.deepEqual(parseAltText('a\r\nb\rc'), { ok: true, altText: 'a\nb\nc' });
  });

  test('must not contain a lone surrogate', () => {
    assert.match(reason('a\ud800b') ?? '', /surrogate/);
    assert.match(reason('\udc00') ?? '', /surrogate/);
  });

  test('is none if it is absent, null or the empty string', () => {
    for (const value of [undefined, null, ''])
      assert.deepEqual(parseAltText(value), { ok: true, altText: undefined });
  });

  test('is rejected with its name if it is not a string', () => {
    for (const value of [1, true, [], {}, ['a']])
      assert.match(reason(value) ?? '', /altText must be a string/);
  });
});

describe('the table of formats', () => {
  test('lists WebP, JPEG, PNG and AVIF, and all but AVIF for originals', () => {
    assert.deepEqual(OUTPUT_FORMATS, ['webp', 'jpeg', 'png', 'avif']);
    assert.deepEqual(IMAGE_FORMATS, ['webp', 'jpeg', 'png']);
    for (const name of ['avif', 'gif', '', 'toString']) assert.equal(isImageFormat(name), false, name);
  });

  test('has every format of originals in the text for people', () => {
    const names = IMAGE_FORMATS.map((format) => FORMATS[format].name);
    assert.deepEqual(IMAGE_FORMAT_NAMES.split(/, | or /).sort(), names.sort());
  });
});

describe('a digest', () => {
  test('is 64 lower-case hexadecimal digits', () => {
    assert.ok(isDigest('0123456789abcdef'.repeat(4)));
    for (const text of [
      '',
      'a'.repeat(63),
      'a'.repeat(65),
      'A'.repeat(64),
      'g'.repeat(64),
      `${'a'.repeat(64)}\n`,
    ]) {
      assert.equal(isDigest(text), false, JSON.stringify(text));
    }
  });
});

describe('the fingerprint of a description', () => {
  test('is that of the first release for its fields, and has later fields only if they are set', () => {
    const focalPoint = { x: 0, y: 1 };
    assert.deepEqual(fingerprintValues({ altText: undefined }), [null]);
    assert.deepEqual(fingerprintValues({ altText: 'a', focalPoint }), ['a', focalPoint]);
    assert.deepEqual(fingerprintValues({ altText: 'a', focalPoint: null, tags: [] }), ['a']);
    assert.deepEqual(fingerprintValues({ altText: 'a', tags: ['b'], fileName: null }), [
      'a',
      { tags: ['b'], fileName: null },
    ]);
    const different = [
      { altText: 'a' },
      { altText: 'a', tags: ['b'] },
      { altText: 'a', fileName: 'b' },
      { altText: 'a', fileName: null },
      { altText: 'a', visibility: 'public' },
    ] as const;
    assert.equal(new Set(different.map((each) => JSON.stringify(fingerprintValues(each)))).size, 5);
  });
});
