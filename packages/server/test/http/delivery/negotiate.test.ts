import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { negotiate, parseAccept } from '../../../src/http/delivery/negotiate.ts';
import { FORMATS, type OutputFormat } from '../../../src/image.ts';

const SDK_DEFAULT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';
const CHROME = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';
const SAFARI =
  'image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5';

const opaque = (format: 'jpeg' | 'png' | 'webp') => ({ format, transparent: false });
const transparent = (format: 'png' | 'webp') => ({ format, transparent: true });

describe('the negotiated format', () => {
  const cases: [string, string | undefined, ReturnType<typeof opaque>, OutputFormat][] = [
    ['is that of the original without an Accept header', undefined, opaque('png'), 'png'],
    ['is that of the original for */*', '*/*', opaque('webp'), 'webp'],
    ['is that of the original for image/*', 'image/*', opaque('jpeg'), 'jpeg'],
    ['is that of the original for an empty header', '', opaque('png'), 'png'],
    ['is JPEG for the official SDKs', SDK_DEFAULT, opaque('webp'), 'jpeg'],
    ['is PNG for the official SDKs if transparent', SDK_DEFAULT, transparent('webp'), 'png'],
    ['is WebP for Chrome, although it names AVIF with the same q', CHROME, opaque('jpeg'), 'webp'],
    ['is WebP for Safari', SAFARI, transparent('png'), 'webp'],
    ['is AVIF if the header prefers it', 'image/avif, image/webp;q=0.9', opaque('jpeg'), 'avif'],
    [
      'is AVIF on equal q only after WebP and the format of the original',
      'image/avif, image/png',
      opaque('png'),
      'png',
    ],
    ['is AVIF on equal q before the other formats', 'image/avif, image/jpeg', opaque('png'), 'avif'],
    ['is never AVIF for */*', '*/*, image/jpeg;q=0, image/png;q=0, image/webp;q=0', opaque('jpeg'), 'jpeg'],
    ['is never one with q=0', 'image/*, image/jpeg;q=0', opaque('jpeg'), 'webp'],
    ['is that of the original if the header accepts none', 'text/html', opaque('webp'), 'webp'],
    [
      'is that of a transparent original if the header accepts none',
      'application/json',
      transparent('png'),
      'png',
    ],
    ['is JPEG for a transparent image if only JPEG is accepted', 'image/jpeg', transparent('png'), 'jpeg'],
    [
      'is not JPEG for a transparent image if another format is accepted',
      'image/jpeg, image/png;q=0.1',
      transparent('png'),
      'png',
    ],
    ['follows a named range rather than a wildcard', 'image/webp;q=0.2, */*', opaque('webp'), 'jpeg'],
    ['follows the higher q', 'image/png;q=0.5, image/jpeg;q=0.9', opaque('png'), 'jpeg'],
    ['ignores malformed ranges', 'image/png;q=2, ;;;, image/jpeg', opaque('png'), 'jpeg'],
    ['treats image/jpg as image/jpeg', 'image/jpg', opaque('png'), 'jpeg'],
  ];
  for (const [name, header, original, expected] of cases) {
    test(`${name}: ${header ?? '(none)'} → ${expected}`, () => {
      assert.equal(negotiate(header, original), expected);
    });
  }

  const range = fc.record({
    type: fc.constantFrom(
      'image/webp',
      'image/jpeg',
      'image/png',
      'image/avif',
      'image/*',
      '*/*',
      'text/html',
    ),
    q: fc.constantFrom('', ';q=0', ';q=0.3', ';q=0.7', ';q=1', '; Q=0.5', ';q=1.5', ';q=x'),
  });
  const header = fc
    .array(range, { maxLength: 8 })
    .map((list) => list.map(({ type, q }) => type + q).join(', '));
  const original = fc.record({
    format: fc.constantFrom('jpeg' as const, 'png' as const, 'webp' as const),
    transparent: fc.boolean(),
  });

  test('is one of the four for every header', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), header), original, (text, image) => {
        assert.match(FORMATS[negotiate(text, image)].mediaType, /^image\/(webp|jpeg|png|avif)$/);
      }),
    );
  });

  test('is acceptable unless the header accepts none', () => {
    fc.assert(
      fc.property(header, original, (text, image) => {
        const preferences = parseAccept(text);
        const chosen = negotiate(text, image);
        const acceptsAny = Object.values(preferences).some(({ q }) => q > 0);
        if (acceptsAny) assert.ok(preferences[chosen].q > 0, `${chosen} for ${text}`);
      }),
    );
  });

  test('has the highest q of the formats that can show the image', () => {
    fc.assert(
      fc.property(header, original, (text, image) => {
        const preferences = parseAccept(text);
        const chosen = negotiate(text, image);
        for (const [format, { q }] of Object.entries(preferences)) {
          if (image.transparent && format === 'jpeg') continue;
          if (chosen === 'jpeg' && image.transparent) assert.equal(q, 0);
          else assert.ok(q <= preferences[chosen].q || preferences[chosen].q === 0);
        }
      }),
    );
  });

  test('is AVIF only for a header that names it', () => {
    fc.assert(
      fc.property(header, original, (text, image) => {
        if (negotiate(text, image) === 'avif') assert.ok(text.includes('image/avif'));
      }),
    );
  });
});
