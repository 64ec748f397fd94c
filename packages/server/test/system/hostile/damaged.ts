/**
 * Truncated pictures, damaged pictures, and files of other formats.
 */
import { deflateSync } from 'node:zlib';
import * as pictures from '../../support/pictures.ts';
import { acceptedOrRefused, refused, type Specimen } from './specimen.ts';

const DAMAGED = /damaged|incomplete|missing|sizes must be equal|not the size/;
const OTHER_FORMAT = /^the file is .*PNG, JPEG or WebP/;

const VALID: Readonly<Record<string, () => Promise<Buffer>>> = {
  'baseline JPEG': () => pictures.jpeg(),
  'progressive JPEG': () => pictures.photo().jpeg({ progressive: true }).toBuffer(),
  'CMYK JPEG': () => pictures.photo().toColourspace('cmyk').jpeg().toBuffer(),
  PNG: () => pictures.png(),
  'PNG with alpha': () => pictures.photo().ensureAlpha(0.5).png().toBuffer(),
  'interlaced PNG': () => pictures.photo().png({ progressive: true }).toBuffer(),
  'palette PNG': () => pictures.photo().png({ palette: true, colours: 16 }).toBuffer(),
  'lossy WebP': () => pictures.webp(),
  'lossless WebP': () => pictures.photo().webp({ lossless: true }).toBuffer(),
  'WebP with alpha': () => pictures.photo().ensureAlpha(0.5).webp().toBuffer(),
  'animated WebP': async () => (await pictures.animation(5)).bytes,
};

const CUTS = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97] as const;

/** Every kind of picture, truncated at several places. */
export const TRUNCATED: readonly Specimen[] = Object.entries(VALID).flatMap(([kind, make]) =>
  CUTS.map((part) =>
    refused(`first ${part * 100} % of a ${kind}`, /damaged|incomplete|not a PNG/, async () => {
      const file = await make();
      return file.subarray(0, Math.floor(file.length * part));
    }),
  ),
);

function damage(make: () => Promise<Buffer>, change: (file: Buffer) => void): () => Promise<Buffer> {
  return async () => {
    const file = Buffer.from(await make());
    change(file);
    return file;
  };
}

/** Overwrites this number of bytes with zeros. `from` is the start as a share of the file. */
function zeroFill(from: number, bytes: number): (file: Buffer) => void {
  return (file) => {
    const at = Math.floor(file.length * from);
    file.fill(0, at, at + bytes);
  };
}

/** Changes the byte at this offset from the name of the chunk. */
function changeByte(type: string, offset: number): (file: Buffer) => void {
  return (file) => {
    const at = file.indexOf(type, 0, 'latin1') + offset;
    file.writeUInt8(file.readUInt8(at) ^ 0x55, at);
  };
}

const large = { width: 1_600, height: 1_200 };

export const DAMAGED_FILES: readonly Specimen[] = [
  refused('PNG whose header has a wrong checksum', DAMAGED, damage(pictures.png, changeByte('IHDR', 17))),
  refused('PNG whose rows have a wrong checksum', DAMAGED, damage(pictures.png, changeByte('IEND', -8))),
  refused('PNG whose rows have a wrong byte', DAMAGED, damage(pictures.png, changeByte('IDAT', 900))),
  refused('PNG whose palette has a wrong checksum', DAMAGED, async () => {
    const file = Buffer.from((await VALID['palette PNG']?.()) ?? Buffer.alloc(0));
    changeByte('PLTE', 5)(file);
    return file;
  }),
  refused('PNG without the palette that its rows need', DAMAGED, () =>
    pictures.pngOf(pictures.pngHeader(4, 4, 8, 3), pictures.pngChunk('IDAT', deflateSync(Buffer.alloc(20)))),
  ),
  refused('PNG with an unknown filter', DAMAGED, () =>
    pictures.pngOf(pictures.pngHeader(4, 4), pictures.pngChunk('IDAT', deflateSync(Buffer.alloc(52, 9)))),
  ),
  refused('PNG with rows that are not zlib data', DAMAGED, () =>
    pictures.pngOf(pictures.pngHeader(4, 4), pictures.pngChunk('IDAT', Buffer.alloc(52, 9))),
  ),
  refused('PNG with a chunk of 2^32-1 bytes', DAMAGED, async () => {
    const chunk = pictures.pngChunk('tEXt', Buffer.from('a\0b'));
    chunk.writeUInt32BE(2 ** 32 - 1, 0);
    return pictures.withPngChunks(await pictures.png(), chunk);
  }),
  refused(
    'JPEG with zeros in the middle',
    DAMAGED,
    damage(() => pictures.jpeg(large), zeroFill(0.5, 2_000)),
  ),
  refused(
    'progressive JPEG with zeros in the middle',
    DAMAGED,
    damage(() => pictures.photo(large).jpeg({ progressive: true }).toBuffer(), zeroFill(0.5, 2_000)),
  ),
  refused('PNG with zeros in the middle', DAMAGED, damage(pictures.png, zeroFill(0.5, 500))),
  // A VP8 stream has no checksum, and zeros are valid data.
  acceptedOrRefused('lossy WebP with zeros in the middle', damage(pictures.webp, zeroFill(0.5, 500))),
  acceptedOrRefused(
    'lossless WebP with zeros in the middle',
    damage(() => pictures.photo().webp({ lossless: true }).toBuffer(), zeroFill(0.5, 500)),
  ),
  refused('JPEG without an end marker', DAMAGED, async () => (await pictures.jpeg()).subarray(0, -2)),
  refused('JPEG with a second JPEG inside', /second JPEG start/, async () => {
    const file = await pictures.jpeg();
    return Buffer.concat([file.subarray(0, -2), file]);
  }),
  refused('JPEG with a segment of length 0', DAMAGED, async () => {
    const file = await pictures.jpeg();
    return Buffer.concat([file.subarray(0, 2), Buffer.from([0xff, 0xe5, 0, 0]), file.subarray(2)]);
  }),
  refused('JPEG without Huffman tables', DAMAGED, async () => {
    const file = await pictures.jpeg();
    const at = pictures.jpegMarker(file, 0xc4);
    return Buffer.concat([file.subarray(0, at), file.subarray(pictures.jpegMarker(file, 0xda))]);
  }),
  refused('JPEG without quantisation tables', DAMAGED, async () => {
    const file = await pictures.jpeg();
    const at = pictures.jpegMarker(file, 0xdb);
    return Buffer.concat([file.subarray(0, at), file.subarray(pictures.jpegMarker(file, 0xc0))]);
  }),
  refused(
    'WebP whose RIFF claims 4 GB',
    DAMAGED,
    damage(pictures.webp, (file) => file.writeUInt32LE(2 ** 32 - 1, 4)),
  ),
  refused(
    'WebP whose RIFF claims 0 bytes',
    DAMAGED,
    damage(pictures.webp, (file) => file.writeUInt32LE(0, 4)),
  ),
  refused(
    'WebP whose chunk claims 4 GB',
    DAMAGED,
    damage(pictures.webp, (file) => file.writeUInt32LE(2 ** 32 - 1, 16)),
  ),
  refused('animation whose last frame has half of its data and a matching length', DAMAGED, async () => {
    const still = (await pictures.webp()).subarray(12);
    const half = pictures.webpChunk('VP8 ', still.subarray(8, still.length / 2));
    const head = Buffer.alloc(16);
    head.writeUIntLE(319, 6, 3);
    head.writeUIntLE(239, 9, 3);
    return pictures.webpOf(
      pictures.webpHeader(320, 240, 0x02),
      pictures.webpChunk('ANIM', Buffer.alloc(6)),
      ...[still, still, half].map((frame) => pictures.webpChunk('ANMF', Buffer.concat([head, frame]))),
    );
  }),
  refused('WebP with a canvas of another size', /sizes must be equal/, async () =>
    pictures.webpOf(pictures.webpHeader(9, 9, 0), (await pictures.webp()).subarray(12)),
  ),
];

/** Files of other formats. All are uploaded as `picture.png` with the type `image/png`. */
export async function otherFormats(): Promise<readonly Specimen[]> {
  const others: Record<string, Buffer> = {
    ...(await pictures.otherFormats()),
    zip: Buffer.concat([Buffer.from('PK\u0003\u0004\u0014\0'), Buffer.alloc(80)]),
    bmp: Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)]),
    ico: Buffer.from([0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 104, 4, 0, 0, 22, 0, 0, 0]),
    'JPEG XL': Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.alloc(60)]),
    'JPEG 2000': Buffer.concat([Buffer.from('\0\0\0\u000cjP  \r\n\u0087\n', 'latin1'), Buffer.alloc(60)]),
    'image of libvips': Buffer.concat([Buffer.from([0x08, 0xf2, 0xa6, 0xb6]), Buffer.alloc(80)]),
    'MVG of ImageMagick': Buffer.from('push graphic-context\nimage over 0,0 0,0 "https://127.0.0.1/"\n'),
    'WAV in RIFF': Buffer.from('RIFF\u0024\0\0\0WAVEfmt '),
    'a byte order mark and SVG': Buffer.from(
      '\ufeff<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    ),
    'a JPEG behind a line of text': Buffer.concat([Buffer.from('marker=\n'), await pictures.jpeg()]),
  };
  return Object.entries(others).map(([name, bytes]) =>
    refused(
      `${name} with the file name of a PNG`,
      name === 'signature' ? /incomplete/ : OTHER_FORMAT,
      () => bytes,
    ),
  );
}
