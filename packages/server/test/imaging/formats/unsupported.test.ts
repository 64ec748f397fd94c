/**
 * What the refusal of a file of another format says. The files are real where sharp can write them, and the
 * first bytes of real ones elsewhere.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describeUnsupported } from '../../../src/imaging/formats/unsupported.ts';
import { walkPicture } from '../../../src/imaging/formats/walk.ts';
import { flat, otherFormats } from '../../support/pictures.ts';

/** The beginning of an ISO base media file with these brands. */
function media(...brands: string[]): Buffer {
  const [main = '', ...compatible] = brands;
  const box = Buffer.from(`\0\0\0\0ftyp${main}\0\0\0\0${compatible.join('')}`, 'latin1');
  box.writeUInt32BE(box.length, 0);
  return Buffer.concat([box, Buffer.from('\0\0\x01\0meta'), Buffer.alloc(300, 0xf1)]);
}

const binary = (start: string) => Buffer.concat([Buffer.from(start, 'latin1'), Buffer.alloc(300, 0xf1)]);

const CONVERT = 'convert it to PNG, JPEG or WebP';
const HEIC = 'the file is a HEIC picture: convert it to PNG, JPEG or WebP. On an iPhone';

describe('the refusal of a file names its format and says what to do', () => {
  const cases: Record<string, [Buffer | string, RegExp | string]> = {
    empty: [Buffer.alloc(0), 'the file is empty: send a PNG, JPEG or WebP picture'],
    'HEIC of an iPhone': [media('heic', 'mif1', 'MiHE', 'miaf', 'heic'), HEIC],
    'HEIC with a general main brand': [media('mif1', 'mif1', 'heic'), HEIC],
    'a sequence of HEIC': [media('hevc', 'msf1', 'hevc'), HEIC],
    AVIF: [media('avif', 'mif1', 'miaf'), `the file is an AVIF picture: ${CONVERT}`],
    'AVIF with a general main brand': [
      media('mif1', 'avif', 'miaf'),
      `the file is an AVIF picture: ${CONVERT}`,
    ],
    'a brand that says more than the file has': [media('heic').subarray(0, 12), HEIC],
    CR3: [media('crx ', 'isom'), 'the file is a Canon raw (CR3) picture'],
    MP4: [media('isom', 'iso2', 'avc1', 'mp41'), 'the file is a video: send a PNG, JPEG or WebP picture'],
    QuickTime: [media('qt  '), 'the file is a video'],
    'old QuickTime': [binary('\0\0\x01\0moov'), 'the file is a video'],
    'a sound of MP4': [media('M4A ', 'mp42'), 'the file is a sound'],
    'a video with a brand of sounds': [media('M4V ', 'M4A ', 'mp42'), 'the file is a video'],
    'WebM, Matroska': [binary('\x1aE\xdf\xa3'), 'the file is a video'],
    AVI: [binary('RIFF\x10\0\0\0AVI LIST'), 'the file is a video'],
    WAV: [binary('RIFF\x10\0\0\0WAVEfmt '), 'the file is a sound'],
    'another RIFF': [binary('RIFF\x10\0\0\0WEBQ'), 'the file is not a PNG, JPEG or WebP picture'],
    GIF: [binary('GIF89a'), `the file is a GIF picture: ${CONVERT}`],
    'GIF of 1987': [binary('GIF87a'), 'the file is a GIF picture'],
    BMP: [binary('BM\x36\x10\0\0\0\0\0\0'), `the file is a BMP picture: ${CONVERT}`],
    'TIFF, little endian': [binary('II*\0\x08\0\0\0'), 'the file is a TIFF or camera raw picture'],
    'TIFF, big endian': [binary('MM\0*\0\0\0\x08'), 'the file is a TIFF or camera raw picture'],
    CR2: [binary('II*\0\x10\0\0\0CR\x02\0'), 'the file is a Canon raw (CR2) picture'],
    'JPEG XL': [binary('\xff\x0a'), 'the file is a JPEG XL picture'],
    'JPEG XL in a container': [binary('\0\0\0\x0cJXL \r\n\x87\n'), 'the file is a JPEG XL picture'],
    'JPEG 2000': [binary('\0\0\0\x0cjP  \r\n\x87\n'), 'the file is a JPEG 2000 picture'],
    Photoshop: [binary('8BPS\0\x01'), 'the file is a Photoshop picture'],
    OpenEXR: [binary('\x76\x2f\x31\x01'), `the file is an OpenEXR picture: ${CONVERT}`],
    'Olympus raw': [binary('IIRO'), 'the file is an Olympus raw (ORF) picture'],
    PPM: ['P6\n2 2\n255\nabcabcabcabc', 'the file is a Netpbm (PBM, PGM or PPM) picture'],
    'Radiance HDR': ['#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n', 'the file is a Radiance HDR picture'],
    'JPEG XR': [binary('II\xbc\x01'), 'the file is a JPEG XR picture'],
    MNG: [binary('\x8aMNG\r\n\x1a\n'), 'the file is an MNG picture'],
    DDS: [binary('DDS \x7c\0\0\0'), 'the file is a DDS picture'],
    'icon of macOS': [binary('icns\0\x01'), 'the file is a macOS icon picture'],
    WMF: [binary('\xd7\xcd\xc6\x9a'), 'the file is a Windows metafile (WMF) picture'],
    icon: [binary('\0\0\x01\0\x01\0'), 'the file is a Windows icon picture'],
    PDF: ['%PDF-1.7\n%\xe2\xe3', 'the file is a PDF document: export it as PNG, JPEG or WebP'],
    EPS: ['%!PS-Adobe-3.0 EPSF-3.0', 'the file is a PostScript file: export it as PNG, JPEG or WebP'],
    ZIP: [
      Buffer.concat([Buffer.from('PK\x03\x04'), deflateRawSync('x'.repeat(99))]),
      /^the file is a ZIP archive.*unpack/,
    ],
    gzip: [gzipSync('x'), /^the file is a compressed archive: unpack it/],
    'an old office document': [binary('\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1'), /^the file is an old document/],
    'notes of macOS': [binary('\0\x05\x16\x07\0\x02\0\0Mac OS X'), /macOS.*send the picture itself/],
    SVG: ['<svg xmlns="http://www.w3.org/2000/svg"/>', /^the file is an SVG drawing: export it as PNG/],
    'SVG with a declaration': [
      '\ufeff<?xml version="1.0"?>\n<!-- made -->\n<svg>',
      /^the file is an SVG drawing/,
    ],
    'SVG with a document type': [
      '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">\n<svg\nid="a">',
      /^the file is an SVG drawing/,
    ],
    'an empty SVG': ['<svg/>', /^the file is an SVG drawing/],
    HTML: ['\n<!DOCTYPE html>\n<html>', /^the file is an HTML page: send .* not the page/],
    'HTML without a document type': ['<html lang="en"><svg>', /^the file is an HTML page/],
    'HTML after a comment': ['<!-- saved from url -->\n<html>', /^the file is an HTML page/],
    XML: ['<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'the file is an XML document'],
    JSON: ['{"error":"not found"}', 'the file is a JSON document: send a PNG, JPEG or WebP picture'],
    'a JSON list': ['[\n  {"a": 1}]', 'the file is a JSON document'],
    'a pointer of Git LFS': ['version https://git-lfs.github.com/spec/v1\noid sha256:0', /git lfs pull/],
    'a data URL': ['data:image/png;base64,iVBORw0KGgo=', 'the file is a data URL: decode it'],
    'a URL': ['https://example.com/a.jpg', 'the file is a URL: download the picture'],
    'base64 of a PNG': [
      'iVBORw0KGgoAAAANSUhEUgAA\nAAEAAAABCAYAAAAf',
      /^the file is a picture as base64 text/,
    ],
    'base64 of a JPEG': ['/9j/4AAQSkZJRgABAQAAAQABAAD', /^the file is a picture as base64 text/],
    'a name of a file': ['photo.jpg', /^the file is a text: .*With curl, write -F image=@FILE$/],
    'text in UTF-16': [Buffer.from('\ufeffhello', 'utf16le'), 'the file is a text'],
    'text with accents that is cut in a character': ['é'.repeat(3_000).slice(0, 2_999), 'the file is a text'],
    'PNG after a transfer as text': [
      binary('\x89PNG\n\x1a\n'),
      /^the file is a PNG picture that was changed/,
    ],
    'JPEG after a conversion to UTF-8': [
      Buffer.from(Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0x10]).toString('utf8')),
      /^the file is a picture that was changed as if it was text: send its bytes unchanged/,
    ],
    'JPEG after a conversion from Latin-1': [
      Buffer.from(Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0x10]).toString('latin1')),
      /^the file is a picture that was changed/,
    ],
    'four bytes of a PNG': [
      Buffer.from('\x89PNG', 'latin1'),
      'the file is incomplete: it ends after 4 bytes. Send the whole',
    ],
    'ten bytes of a WebP': [Buffer.from('RIFF\x10\0\0\0WE', 'latin1'), 'the file is incomplete'],
    'unknown bytes': [Buffer.alloc(100, 0xf1), 'the file is not a PNG, JPEG or WebP picture'],
    zeros: [Buffer.alloc(100), 'the file is not a PNG, JPEG or WebP picture'],
  };
  for (const [name, [content, expected]] of Object.entries(cases)) {
    test(name, () => {
      const text = describeUnsupported(Buffer.from(content as string));
      if (typeof expected === 'string') assert.ok(text.startsWith(expected), text);
      else assert.match(text, expected);
      assert.match(text, /PNG, JPEG or WebP/);
    });
  }

  test('as sharp writes them', async () => {
    const names = { gif: /a GIF/, tiff: /a TIFF/, avif: /an AVIF/, svg: /an SVG/, html: /HTML/, pdf: /PDF/ };
    const files = await otherFormats();
    for (const [name, pattern] of Object.entries(names)) {
      assert.throws(() => walkPicture(files[name] as Buffer), pattern, name);
    }
    const raw = await flat(8, 8, 'red').avif({ effort: 0 }).toBuffer();
    assert.match(describeUnsupported(raw), /^the file is an AVIF picture/);
  });
});

test('the refusal of any bytes is one short sentence', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = describeUnsupported(Buffer.from(bytes));
      assert.ok(text.startsWith('the file is ') && text.length < 200, text);
    }),
  );
});
