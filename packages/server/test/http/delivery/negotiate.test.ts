import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { loadConfig } from '../../../src/config.ts';
import { type NegotiatedOriginal, negotiate, parseAccept } from '../../../src/http/delivery/negotiate.ts';
import { type Analysis, FORMATS, OUTPUT_FORMATS, type OutputFormat } from '../../../src/image.ts';

const OFFERS = loadConfig({}).formats;

const analysed = (content: Analysis['content']) => ({
  analysis: { content, placeholder: 'AAAA', color: '#808080' },
});
const original = (
  format: NegotiatedOriginal['format'],
  more: Partial<NegotiatedOriginal> = {},
): NegotiatedOriginal => ({
  format,
  width: 1_000,
  height: 1_000,
  size: 500_000,
  transparent: false,
  ...more,
});

/** The columns of the table of clients. */
const PICTURES = {
  photoJPEG: original('jpeg', analysed('photo')),
  photoPNG: original('png', analysed('photo')),
  photoWebP: original('webp', analysed('photo')),
  graphicPNG: original('png', analysed('graphic')),
  transparentPNG: original('png', { ...analysed('graphic'), transparent: true }),
  transparentWebP: original('webp', { ...analysed('photo'), transparent: true }),
  // The format does not depend on the number of frames.
  animatedWebP: original('webp', analysed('graphic')),
};

/**
 * Accept headers as clients send them, and the format that each gets of each picture, in the order of
 * `PICTURES`.
 */
const CLIENTS: readonly (readonly [client: string, accept: string | undefined, formats: string])[] = [
  [
    'Chrome, Edge and Opera, for an <img>',
    'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
    'webp webp webp webp webp webp webp',
  ],
  [
    'Chrome, for a page',
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
    'webp webp webp webp webp webp webp',
  ],
  [
    'Chrome before 85, and Samsung Internet',
    'image/webp,image/apng,image/*,*/*;q=0.8',
    'webp webp webp webp webp webp webp',
  ],
  ['Android 4 WebView', 'image/webp,*/*;q=0.8', 'webp webp webp webp webp webp webp'],
  [
    'Firefox from 128',
    'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
    'webp webp webp webp webp webp webp',
  ],
  ['Firefox 93 to 127', 'image/avif,image/webp,*/*', 'webp webp webp webp webp webp webp'],
  ['Firefox 65 to 92', 'image/webp,*/*', 'webp webp webp webp webp webp webp'],
  [
    'Safari from 16',
    'image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
    'webp webp webp webp webp webp webp',
  ],
  [
    'Safari 14 and 15',
    'image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5',
    'webp webp webp webp webp webp webp',
  ],
  [
    'Safari before 14, iOS 13, Apple Mail',
    'image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5',
    'jpeg jpeg jpeg png png png png',
  ],
  [
    'the Fetch standard for an image, Firefox before 65',
    'image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
    'jpeg jpeg jpeg png png png png',
  ],
  [
    'Internet Explorer 11, Edge before 18, Outlook for Windows',
    'image/png, image/svg+xml, image/jxr, image/*;q=0.8, */*;q=0.5',
    'jpeg jpeg jpeg png png png png',
  ],
  [
    'Internet Explorer 9 and 10, Windows Mail',
    'image/png, image/svg+xml, image/*;q=0.8, */*;q=0.5',
    'jpeg jpeg jpeg png png png png',
  ],
  [
    'Internet Explorer 8',
    'image/gif, image/jpeg, image/pjpeg, application/x-ms-application, application/xaml+xml, */*',
    'jpeg jpeg jpeg png png png jpeg',
  ],
  ['a mail client on Gecko 60', 'image/png,image/*;q=0.8,*/*;q=0.5', 'jpeg jpeg jpeg png png png png'],
  [
    'Android 2 and 4 browser',
    'application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5',
    'jpeg jpeg jpeg png png png png',
  ],
  [
    'Konqueror',
    'text/html, image/jpeg;q=0.9, image/png;q=0.9, text/*;q=0.9, image/*;q=0.9, */*;q=0.8',
    'jpeg jpeg jpeg png png png jpeg',
  ],
  [
    'Lynx',
    'text/html, text/plain, text/sgml, text/css, image/jpeg, image/gif, image/tiff, image/*;q=0.1, */*;q=0.01',
    'jpeg jpeg jpeg jpeg png png jpeg',
  ],
  [
    'Googlebot-Image',
    'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
    'webp webp webp webp webp webp webp',
  ],
  [
    'bingbot, and Twitterbot',
    'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    'jpeg jpeg jpeg png png png jpeg',
  ],
  [
    'Pinterestbot',
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8',
    'webp webp webp webp webp webp webp',
  ],
  ['LinkedInBot, facebookexternalhit, WhatsApp, Outlook previews', '*/*', 'jpeg jpeg jpeg png png png jpeg'],
  ['a chat preview without the header', undefined, 'jpeg jpeg jpeg png png png jpeg'],
  ['a chat preview for images only', 'image/*', 'jpeg jpeg jpeg png png png jpeg'],
  ['a chat that prefers images', 'image/*, */*;q=0.8', 'jpeg jpeg jpeg png png png jpeg'],
  ['Google Image Proxy of Gmail', 'image/webp,image/*,*/*;q=0.8', 'webp webp webp webp webp webp webp'],
  [
    'the official SDKs',
    'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0',
    'jpeg jpeg jpeg jpeg png png jpeg',
  ],
  [
    'the official SDKs, in the other notation',
    'image/jpeg;q=1.0,image/png;q=0.70,image/webp;q=0.000',
    'jpeg jpeg jpeg jpeg png png jpeg',
  ],
  ['curl, wget, HTTPie, python-requests, node-fetch', '*/*', 'jpeg jpeg jpeg png png png jpeg'],
  ['Go net/http, Python urllib, most CDNs at the origin', undefined, 'jpeg jpeg jpeg png png png jpeg'],
  [
    'Java HttpURLConnection',
    'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2',
    'jpeg jpeg jpeg jpeg png png jpeg',
  ],
  ['libwww-perl', '', 'jpeg jpeg jpeg png png png jpeg'],
  ['axios, for JSON', 'application/json, text/plain, */*', 'jpeg jpeg jpeg png png png jpeg'],
  ['a client for JSON only', 'application/json', 'jpeg jpeg jpeg png png png jpeg'],
  ['a CDN that reduces Accept to WebP', 'image/webp', 'webp webp webp webp webp webp webp'],
  ['a CDN that reduces Accept to JPEG', 'image/jpeg', 'jpeg jpeg jpeg jpeg jpeg jpeg jpeg'],
  [
    'a CDN that reduces Accept to AVIF and WebP',
    'image/avif,image/webp',
    'webp webp webp webp webp webp webp',
  ],
  ['an app that asks for AVIF only', 'image/avif', 'avif avif avif avif avif avif avif'],
  [
    'a client that prefers AVIF',
    'image/avif,image/webp;q=0.9,*/*;q=0.1',
    'avif avif avif avif avif avif avif',
  ],
  ['a client that reads only PNG', 'image/png', 'png png png png png png png'],
];

describe('each client gets a format that it shows, and that suits the picture', () => {
  for (const [client, accept, formats] of CLIENTS) {
    test(`${client}: ${accept ?? '(no Accept)'}`, () => {
      const actual = Object.values(PICTURES).map((picture) => negotiate(accept, picture, OFFERS));
      assert.deepEqual(actual, formats.split(' '), Object.keys(PICTURES).join(' '));
    });
  }
});

describe('the negotiated format', () => {
  const cases: [string, string | undefined, NegotiatedOriginal, OutputFormat][] = [
    ['is that of an original with a q=1 tie', 'image/jpeg, image/png', PICTURES.graphicPNG, 'png'],
    [
      'is AVIF on equal q only after WebP and the format of the original',
      'image/avif, image/png',
      PICTURES.graphicPNG,
      'png',
    ],
    ['is AVIF on equal q before the other formats', 'image/avif, image/jpeg', PICTURES.graphicPNG, 'avif'],
    [
      'is AVIF for a photograph instead of PNG',
      'image/png, image/avif, image/*;q=0.5',
      PICTURES.photoPNG,
      'avif',
    ],
    [
      'is PNG for a photograph if the header prefers it and does not accept JPEG',
      'image/png, image/webp;q=0.1',
      PICTURES.photoPNG,
      'png',
    ],
    [
      'is the next one after PNG for a photograph, by q',
      'image/png, image/webp;q=0.5, image/jpeg;q=0.1',
      PICTURES.photoPNG,
      'webp',
    ],
    [
      'is never AVIF for */*',
      '*/*, image/jpeg;q=0, image/png;q=0, image/webp;q=0',
      PICTURES.photoJPEG,
      'jpeg',
    ],
    ['is never one with q=0', 'image/*, image/jpeg;q=0', PICTURES.photoJPEG, 'png'],
    [
      'is never one with q=0, also if that is all the header says',
      'image/jpeg;q=0',
      PICTURES.photoJPEG,
      'png',
    ],
    [
      'is WebP for a wildcard that excludes all other formats',
      'image/*, image/jpeg;q=0, image/png;q=0',
      PICTURES.photoJPEG,
      'webp',
    ],
    [
      'is WebP rather than JPEG for a transparent image, if a wildcard accepts it',
      'image/jpeg, image/png;q=0, */*;q=0.1',
      PICTURES.transparentPNG,
      'webp',
    ],
    [
      'is JPEG for a transparent image if only JPEG is accepted',
      'image/jpeg',
      PICTURES.transparentPNG,
      'jpeg',
    ],
    [
      'is not JPEG for a transparent image if another format is accepted',
      'image/jpeg, image/png;q=0.1',
      PICTURES.transparentPNG,
      'png',
    ],
    ['is PNG for a transparent photograph', 'image/jpeg, */*', PICTURES.transparentWebP, 'png'],
    ['follows a named range rather than a wildcard', 'image/webp;q=0.2, */*', PICTURES.photoWebP, 'jpeg'],
    ['follows the higher q', 'image/png;q=0.5, image/jpeg;q=0.9', PICTURES.graphicPNG, 'jpeg'],
    ['ignores malformed ranges', 'image/png;q=2, ;;;, image/jpeg', PICTURES.graphicPNG, 'jpeg'],
    ['reads q without a leading zero', 'image/png;q=.5, image/jpeg;q=.9', PICTURES.graphicPNG, 'jpeg'],
    ['reads q with many digits', 'image/png;q=0.50001, image/jpeg;q=0.5', PICTURES.graphicPNG, 'png'],
    ['reads q after other parameters', 'image/png;a=b;q=0.1, image/jpeg', PICTURES.graphicPNG, 'jpeg'],
    ['treats image/jpg as image/jpeg', 'image/jpg', PICTURES.graphicPNG, 'jpeg'],
  ];
  for (const [name, header, picture, expected] of cases) {
    test(`${name}: ${header ?? '(none)'} → ${expected}`, () => {
      assert.equal(negotiate(header, picture, OFFERS), expected);
    });
  }
});

describe('a picture without an analysis', () => {
  const PNG_FIRST = 'image/png,image/*;q=0.8';
  const formatOf = (picture: NegotiatedOriginal) => negotiate(PNG_FIRST, picture, OFFERS);

  test('counts as a photograph if it is a JPEG, an opaque WebP, or a PNG of a byte per pixel and more', () => {
    assert.equal(formatOf(original('jpeg')), 'jpeg');
    assert.equal(formatOf(original('webp')), 'jpeg');
    assert.equal(formatOf(original('png', { size: 1_000_000 })), 'jpeg');
    assert.equal(formatOf(original('png', { size: 999_999 })), 'png');
    assert.equal(formatOf(original('png', { size: 3_000_000, transparent: true })), 'png');
  });

  test('is treated as its analysis says as soon as there is one, except for a JPEG', () => {
    assert.equal(formatOf(original('png', { ...analysed('graphic'), size: 3_000_000 })), 'png');
    assert.equal(formatOf(original('png', { ...analysed('photo'), size: 1_000 })), 'jpeg');
    assert.equal(formatOf(original('webp', analysed('graphic'))), 'png');
    // A PNG would keep the noise of the JPEG.
    assert.equal(formatOf(original('jpeg', analysed('graphic'))), 'jpeg');
  });
});

describe('VITRINE_FORMATS', () => {
  const CHROME = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';
  const formatsOf = (variable: string, accept: string | undefined) => {
    const offers = loadConfig({ VITRINE_FORMATS: variable }).formats;
    return Object.values(PICTURES)
      .map((picture) => negotiate(accept, picture, offers))
      .join(' ');
  };

  test('decides on equal q', () => {
    assert.equal(formatsOf('avif,webp,jpeg,png', CHROME), 'avif avif avif avif avif avif avif');
    assert.equal(
      formatsOf('avif,webp,jpeg,png', 'image/webp,*/*'),
      'webp webp webp webp webp webp webp',
      'WebP is still preferred to the format of the original',
    );
    assert.equal(formatsOf('avif,jpeg,png', CHROME), 'avif avif avif avif avif avif avif');
    assert.equal(formatsOf('avif,webp,jpeg,png', '*/*'), 'jpeg jpeg jpeg png png png jpeg');
    // The format of the original is before AVIF.
    assert.equal(
      formatsOf('webp,avif,jpeg,png', 'image/avif,image/jpeg'),
      'jpeg avif avif avif avif avif avif',
    );
  });

  test('excludes a format that it does not have', () => {
    assert.equal(formatsOf('jpeg,png', CHROME), 'jpeg jpeg jpeg png png png jpeg');
    assert.equal(formatsOf('jpeg,png', 'image/webp'), 'jpeg jpeg jpeg jpeg png png jpeg');
    assert.equal(
      formatsOf('webp,jpeg,png', 'image/avif,image/webp;q=0.5'),
      'webp webp webp webp webp webp webp',
    );
    assert.equal(formatsOf('webp,jpeg,png', 'image/avif'), 'jpeg jpeg jpeg jpeg png png jpeg');
  });

  test('without JPEG or PNG still sends them to clients that accept nothing else', () => {
    assert.equal(formatsOf('webp', CHROME), 'webp webp webp webp webp webp webp');
    assert.equal(formatsOf('webp', '*/*'), 'jpeg jpeg jpeg jpeg png png jpeg');
    assert.equal(formatsOf('jpeg', '*/*'), 'jpeg jpeg jpeg jpeg png png jpeg');
    assert.equal(
      formatsOf('avif,webp', 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0'),
      'jpeg jpeg jpeg jpeg png png jpeg',
    );
  });
});

describe('for every Accept header, the format', () => {
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
  const picture: fc.Arbitrary<NegotiatedOriginal> = fc.record(
    {
      format: fc.constantFrom('jpeg' as const, 'png' as const, 'webp' as const),
      width: fc.constant(100),
      height: fc.constant(100),
      size: fc.constantFrom(100, 10_000, 30_000),
      transparent: fc.boolean(),
      analysis: fc.constantFrom(analysed('photo').analysis, analysed('graphic').analysis),
    },
    { requiredKeys: ['format', 'width', 'height', 'size', 'transparent'] },
  );
  const offers = fc.shuffledSubarray([...OUTPUT_FORMATS], { minLength: 1 });

  test('is one of the four', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), header), picture, offers, (text, image, offered) => {
        assert.match(FORMATS[negotiate(text, image, offered)].mediaType, /^image\/(webp|jpeg|png|avif)$/);
      }),
    );
  });

  test('is acceptable if one of the offered formats is', () => {
    fc.assert(
      fc.property(header, picture, offers, (text, image, offered) => {
        const preferences = parseAccept(text);
        const chosen = negotiate(text, image, offered);
        if (offered.some((format) => preferences[format].q > 0))
          assert.ok(preferences[chosen].q > 0, `${chosen} for ${text}`);
      }),
    );
  });

  test('is WebP or AVIF only if the header names it, or excludes JPEG or PNG', () => {
    fc.assert(
      fc.property(header, picture, (text, image) => {
        const chosen = negotiate(text, image, OFFERS);
        if (chosen === 'avif') assert.ok(text.includes('image/avif'));
        const { webp, png } = parseAccept(text);
        if (chosen === 'webp' && !webp.named) assert.equal(png.q, 0, text);
      }),
    );
  });

  test('is PNG for an opaque photograph only if JPEG is not accepted', () => {
    fc.assert(
      fc.property(header, picture, offers, (text, image, offered) => {
        fc.pre(!image.transparent && (image.format === 'jpeg' || image.analysis?.content === 'photo'));
        if (negotiate(text, image, offered) === 'png') assert.equal(parseAccept(text).jpeg.q, 0);
      }),
    );
  });

  test('is JPEG for a transparent image only if nothing else is accepted', () => {
    fc.assert(
      fc.property(header, picture, (text, image) => {
        fc.pre(image.transparent);
        if (negotiate(text, image, OFFERS) !== 'jpeg') return;
        const { webp, png, avif } = parseAccept(text);
        assert.deepEqual([webp.q, png.q, avif.q], [0, 0, 0], text);
      }),
    );
  });

  test('has the highest q of the formats that suit the picture', () => {
    fc.assert(
      fc.property(header, picture, (text, image) => {
        const preferences = parseAccept(text);
        const chosen = negotiate(text, image, OFFERS);
        const { q } = preferences[chosen];
        // Without a suitable format that is accepted, there is nothing to compare.
        if (q === 0 || (chosen === 'webp' && !preferences.webp.named)) return;
        for (const format of OUTPUT_FORMATS) {
          const isUnsuitable =
            (image.transparent && format === 'jpeg') ||
            (!image.transparent && format === 'png' && preferences.jpeg.q > 0) ||
            (format === 'webp' && !preferences.webp.named);
          if (!isUnsuitable) assert.ok(preferences[format].q <= q, `${chosen} for ${text}`);
        }
      }),
    );
  });
});
