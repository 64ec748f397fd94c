/**
 * The values to which caches reduce Accept: no client may get another format than without a cache.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type NegotiatedOriginal, negotiate } from '../../../src/http/delivery/negotiate.ts';
import type { OutputFormat } from '../../../src/image.ts';
import { reduceAccept } from '../../system/proxies/reduced-accept.ts';
import { CLIENT_HEADERS, randomHeaders } from '../../system/proxies/requests.ts';

const ORIGINALS = (['jpeg', 'png', 'webp'] as const).flatMap((format) =>
  [true, false].flatMap((transparent) =>
    (['photo', 'graphic'] as const).map((content): NegotiatedOriginal => {
      const analysis = { content, placeholder: 'AAAA', color: '#808080' };
      return { format, width: 1_000, height: 1_000, size: 500_000, transparent, analysis };
    }),
  ),
);

/** The orders of VITRINE_FORMATS for which the reduction is exact. */
const ORDERS: readonly (readonly OutputFormat[])[] = [
  ['webp', 'avif', 'jpeg', 'png'],
  ['webp', 'jpeg'],
  ['webp'],
  ['avif', 'webp', 'jpeg', 'png'],
  ['avif', 'webp', 'png'],
];

describe('The reduced Accept header', () => {
  test('gives every client the same format, for each order that begins with WebP, or AVIF and WebP', () => {
    for (const accept of [...CLIENT_HEADERS, ...randomHeaders(3_000, 11)]) {
      const reduced = reduceAccept(accept);
      for (const offers of ORDERS) {
        for (const original of ORIGINALS) {
          const context = `${accept} as ${reduced}, ${offers}, ${JSON.stringify(original)}`;
          assert.equal(negotiate(reduced, original, offers), negotiate(accept, original, offers), context);
        }
      }
    }
  });

  test('is one value for all browsers of today, and one for clients that name no format', () => {
    const [chrome, firefox, olderChrome] = CLIENT_HEADERS;
    assert.equal(reduceAccept(chrome), 'image/avif,image/webp,*/*');
    assert.equal(reduceAccept(firefox), 'image/avif,image/webp,*/*');
    assert.equal(reduceAccept(olderChrome), 'image/webp,*/*');
    for (const accept of [undefined, '', '*/*', 'text/html', 'image/*;q=0'])
      assert.equal(reduceAccept(accept), '*/*');
  });
});
