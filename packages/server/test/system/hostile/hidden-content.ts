/**
 * Valid pictures with hidden content: scripts, archives, private metadata, other pictures and malformed EXIF.
 * Also the rare kinds of JPEG that many programs cannot show.
 */
import { deflateSync } from 'node:zlib';
import * as pictures from '../../support/pictures.ts';
import { accepted, refused, SCRIPT, type Specimen } from './specimen.ts';

const HTML = Buffer.from(`<!doctype html><body>${SCRIPT}</body>`);
const XMP = Buffer.from(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>marker=xmp${SCRIPT}</a></x:xmpmeta>`);
const ZIP = Buffer.concat([
  Buffer.from('PK\u0003\u0004\u0014\0', 'latin1'),
  Buffer.from('marker=zip'),
  Buffer.alloc(60),
]);

function segment(marker: number, body: Buffer): Buffer {
  const whole = Buffer.alloc(4 + body.length);
  whole.set([0xff, marker]);
  whole.writeUInt16BE(2 + body.length, 2);
  body.copy(whole, 4);
  return whole;
}

async function withSegments(...segments: readonly Buffer[]): Promise<Buffer> {
  const file = await pictures.jpeg();
  return Buffer.concat([file.subarray(0, 2), ...segments, file.subarray(2)]);
}

function exif(tiff: Buffer): Buffer {
  return segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]));
}

interface Entry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  readonly value: number;
}

/**
 * A little-endian TIFF block with one directory.
 * @param next offset of the next directory
 * @param rest bytes after the directory
 */
function tiff(entries: readonly Entry[], next = 0, rest: Buffer = Buffer.alloc(0)): Buffer {
  const block = Buffer.alloc(8 + 2 + 12 * entries.length + 4);
  block.write('II', 0, 'latin1');
  block.writeUInt16LE(42, 2);
  block.writeUInt32LE(8, 4);
  block.writeUInt16LE(entries.length, 8);
  for (const [i, { tag, type, count, value }] of entries.entries()) {
    const at = 10 + 12 * i;
    block.writeUInt16LE(tag, at);
    block.writeUInt16LE(type, at + 2);
    block.writeUInt32LE(count, at + 4);
    block.writeUInt32LE(value >>> 0, at + 8);
  }
  block.writeUInt32LE(next, block.length - 4);
  return Buffer.concat([block, rest]);
}

/** An empty directory, and a second one with a thumbnail: a JPEG with a text to search for. */
async function thumbnail(): Promise<Buffer> {
  const small = await pictures.jpeg({ width: 32, height: 24 });
  const comment = segment(0xfe, Buffer.from('marker=thumbnail'));
  const picture = Buffer.concat([small.subarray(0, 2), comment, small.subarray(2)]);
  const first = tiff([], 14);
  const at = first.length + 2 + 12 * 2 + 4;
  const second = tiff([
    { tag: 0x0201, type: 4, count: 1, value: at },
    { tag: 0x0202, type: 4, count: 1, value: picture.length },
  ]).subarray(8);
  return Buffer.concat([first, second, picture]);
}

/** A PNG whose pixels are the text of a script. The rows are not compressed. */
function scriptInRows(): Buffer {
  const width = 64;
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, SCRIPT)]);
  const rows = Buffer.concat(Array.from({ length: 64 }, () => row));
  return pictures.pngOf(
    pictures.pngHeader(width, 64),
    pictures.pngChunk('IDAT', deflateSync(rows, { level: 0 })),
  );
}

function text(keyword: string, body: string): Buffer {
  return Buffer.from(`${keyword}\0${body}`, 'latin1');
}

async function extendedWebp(...chunks: readonly Buffer[]): Promise<Buffer> {
  const still = (await pictures.webp()).subarray(12);
  return pictures.webpOf(pictures.webpHeader(320, 240, 0x0c), still, ...chunks);
}

export const POLYGLOTS: readonly Specimen[] = [
  accepted('JPEG with HTML in a comment', () => withSegments(segment(0xfe, HTML))),
  accepted('JPEG with HTML after its end', async () => Buffer.concat([await pictures.jpeg(), HTML])),
  accepted('JPEG with a ZIP after its end', async () => Buffer.concat([await pictures.jpeg(), ZIP])),
  accepted('JPEG with HTML in each of its application segments', () =>
    withSegments(...Array.from({ length: 16 }, (_, i) => segment(0xe0 + i, HTML))),
  ),
  // The length of the first segment is `/*`, so the JPEG is also valid JavaScript.
  accepted('JPEG that is also JavaScript', () =>
    withSegments(segment(0xfe, Buffer.alloc(0x2f2a - 2, `*/=1;marker=1;/*`))),
  ),
  accepted('PNG with a script in its rows', scriptInRows),
  accepted('PNG with a script in its text', async () =>
    pictures.withPngChunks(await pictures.png(), pictures.pngChunk('tEXt', text('Comment', SCRIPT))),
  ),
  accepted('PNG with a script in an unknown chunk', async () =>
    pictures.withPngChunks(await pictures.png(), pictures.pngChunk('scRp', Buffer.from(SCRIPT))),
  ),
  accepted('PNG with a ZIP after its end', async () => Buffer.concat([await pictures.png(), ZIP])),
  accepted('PNG with a PDF after its end', async () =>
    Buffer.concat([await pictures.png(), Buffer.from('%PDF-1.4\nmarker=pdf\n%%EOF')]),
  ),
  accepted('WebP with HTML in a chunk', () => extendedWebp(pictures.webpChunk('HTML', HTML))),
  accepted('WebP with a ZIP after its end', async () => Buffer.concat([await pictures.webp(), ZIP])),
];

export const PRIVATE_METADATA: readonly Specimen[] = [
  ...(['jpeg', 'png', 'webp'] as const).map((format) =>
    accepted(`${format} with GPS, a name, a serial number, XMP and a profile`, () =>
      pictures.withPrivateMetadata(format),
    ),
  ),
  accepted('JPEG with IPTC', () =>
    withSegments(
      segment(
        0xed,
        Buffer.from('Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0f\x1c\x02\x50\0\x0amarker=ipt', 'latin1'),
      ),
    ),
  ),
  accepted('JPEG with XMP in several segments', () =>
    withSegments(
      segment(0xe1, Buffer.concat([Buffer.from('http://ns.adobe.com/xap/1.0/\0'), XMP])),
      segment(0xe1, Buffer.concat([Buffer.from('http://ns.adobe.com/xmp/extension/\0'), XMP])),
    ),
  ),
  accepted('JPEG with a thumbnail in its EXIF', async () => withSegments(exif(await thumbnail()))),
  accepted('JPEG with a thumbnail in its JFIF segment', async () => {
    const body = Buffer.from('JFIF\0\x01\x01\0\0\x01\0\x01\x01\x03', 'latin1');
    return withSegments(segment(0xe0, Buffer.concat([body, Buffer.from('marker=..')])));
  }),
  accepted('JPEG with a second picture (MPF) after it', async () =>
    Buffer.concat([
      await withSegments(segment(0xe2, Buffer.from('MPF\0marker=mpf'))),
      await pictures.withPrivateMetadata('jpeg'),
    ]),
  ),
  accepted('PNG with XMP in international text', async () =>
    pictures.withPngChunks(
      await pictures.png(),
      pictures.pngChunk('iTXt', Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\0\0\0\0', 'latin1'), XMP])),
    ),
  ),
  accepted('PNG with a raw EXIF profile in text', async () =>
    pictures.withPngChunks(
      await pictures.png(),
      pictures.pngChunk('tEXt', text('Raw profile type exif', '\nexif\n 20\nmarker=GPS')),
    ),
  ),
  accepted('WebP with EXIF and XMP', () =>
    extendedWebp(
      pictures.webpChunk('EXIF', tiff([], 0, Buffer.from('marker=GPS'))),
      pictures.webpChunk('XMP ', XMP),
    ),
  ),
];

const ORIENTATION = { tag: 0x0112, type: 3, count: 1, value: 6 };

function malformedExif(name: string, block: () => Buffer): Specimen[] {
  return [
    accepted(`JPEG whose EXIF ${name}`, () => withSegments(exif(block()))),
    accepted(`PNG whose EXIF ${name}`, async () =>
      pictures.withPngChunks(await pictures.png(), pictures.pngChunk('eXIf', block())),
    ),
    accepted(`WebP whose EXIF ${name}`, () => extendedWebp(pictures.webpChunk('EXIF', block()))),
  ];
}

/** A directory that claims `count` entries and has one. */
function entriesClaimed(count: number): Buffer {
  const block = tiff([{ ...ORIENTATION, tag: 0x0100 }]);
  block.writeUInt16LE(count, 8);
  return block;
}

function directoryAt(offset: number): Buffer {
  const block = tiff([ORIENTATION]);
  block.writeUInt32LE(offset, 4);
  return block;
}

export const MALFORMED_EXIF: readonly Specimen[] = [
  ...malformedExif('has a directory that is its own next directory', () => tiff([ORIENTATION], 8)),
  ...malformedExif('has a pointer to itself for every kind of directory', () =>
    tiff(
      [0x8769, 0x8825, 0xa005, 0x014a].map((tag) => ({ tag, type: 4, count: 1, value: 8 })),
      8,
    ),
  ),
  ...malformedExif('claims 4 G values', () => tiff([{ ...ORIENTATION, count: 2 ** 32 - 1 }])),
  ...malformedExif('claims 65 535 entries', () => entriesClaimed(65_535)),
  ...malformedExif('has its directory at 4 G', () => directoryAt(2 ** 32 - 1)),
  ...malformedExif('has its directory in its own head', () => directoryAt(0)),
  ...malformedExif('has the orientation 65 535', () => tiff([{ ...ORIENTATION, value: 65_535 }])),
  ...malformedExif('has an array of 4 G bytes at 4 G', () =>
    tiff([{ tag: 0x927c, type: 7, count: 2 ** 32 - 1, value: -1 }, ORIENTATION]),
  ),
  ...malformedExif('ends in its head', () => tiff([]).subarray(0, 9)),
];

/** A JPEG with this frame header marker, changed further by `change`. `at` is the offset of the marker. */
async function jpegOfProcess(
  marker: number,
  change: (file: Buffer, at: number) => void = () => undefined,
): Promise<Buffer> {
  const file = await pictures.jpeg();
  const at = pictures.jpegMarker(file, 0xc0);
  file.writeUInt8(marker, at + 1);
  change(file, at);
  return file;
}

/** A CMYK JPEG with this transform in its Adobe segment. Undefined: without an Adobe segment. */
async function cmykJpeg(transform: number | undefined, progressive = false): Promise<Buffer> {
  const file = await pictures.photo().toColourspace('cmyk').jpeg({ progressive }).toBuffer();
  const at = pictures.jpegMarker(file, 0xee);
  if (transform === undefined)
    return Buffer.concat([file.subarray(0, at), file.subarray(at + 2 + file.readUInt16BE(at + 2))]);
  file.writeUInt8(transform, at + 15);
  return file;
}

export const RARE_JPEGS: readonly Specimen[] = [
  ...[0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf].map((marker) =>
    refused(`JPEG of process SOF${marker - 0xc0}`, /JPEG process SOF/, () => jpegOfProcess(marker)),
  ),
  refused('JPEG of 12 bits', /12 bits per JPEG sample/, () =>
    jpegOfProcess(0xc1, (file, at) => file.writeUInt8(12, at + 4)),
  ),
  refused('JPEG of 2 components', /2 JPEG components/, () =>
    jpegOfProcess(0xc0, (file, at) => file.writeUInt8(2, at + 9)),
  ),
  refused('JPEG of 255 components', /255 JPEG components/, () =>
    jpegOfProcess(0xc0, (file, at) => file.writeUInt8(255, at + 9)),
  ),
  refused('JPEG with a sampling of 15 x 15', /frame header is damaged/, () =>
    jpegOfProcess(0xc0, (file, at) => file.writeUInt8(0xff, at + 11)),
  ),
  accepted('JPEG of extended Huffman', () => jpegOfProcess(0xc1)),
  accepted('CMYK JPEG, inverted as Adobe does', () => cmykJpeg(0)),
  accepted('CMYK JPEG as YCCK', () => cmykJpeg(2)),
  accepted('CMYK JPEG without an Adobe segment', () => cmykJpeg(undefined)),
  accepted('progressive CMYK JPEG', () => cmykJpeg(0, true)),
  accepted('grey JPEG', () => pictures.photo().greyscale().jpeg().toBuffer()),
];
