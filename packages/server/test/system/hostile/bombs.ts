/**
 * Small files that need many resources: pixels, memory, time, or a large number of parts.
 */
import { once } from 'node:events';
import { createDeflate, deflateSync } from 'node:zlib';
import * as pictures from '../../support/pictures.ts';
import { accepted, refused, type Specimen } from './specimen.ts';

const MEGAPIXELS = /megapixels .*: the limit is 100/;
const SIDE = /each side must be from 1 to 30000 pixels/;
const BUDGET = /MiB of memory to decode/;
const DAMAGED = /damaged|incomplete/;

/** A PNG with this header and almost no rows. */
function pngClaiming(...header: Parameters<typeof pictures.pngHeader>): Buffer {
  return pictures.pngOf(
    pictures.pngHeader(...header),
    pictures.pngChunk('IDAT', deflateSync(Buffer.alloc(70))),
  );
}

const ONE_PASS = [[0, 0, 1, 1]] as const;

/**
 * A PNG with all of its rows, all black, compressed a thousand to one.
 * @param bits of one pixel
 */
async function completePng(header: Parameters<typeof pictures.pngHeader>, bits: number): Promise<Buffer> {
  const [width, height, , , interlace] = header;
  const deflate = createDeflate({ level: 1 });
  const parts: Buffer[] = [];
  deflate.on('data', (part: Buffer) => parts.push(part));
  for (const [left, top, across, down] of interlace === 1 ? pictures.INTERLACED_PASSES : ONE_PASS) {
    const row = Buffer.alloc(1 + Math.ceil((Math.ceil((width - left) / across) * bits) / 8));
    for (let y = top; y < height; y += down) if (!deflate.write(row)) await once(deflate, 'drain');
  }
  deflate.end();
  await once(deflate, 'end');
  return pictures.pngOf(pictures.pngHeader(...header), pictures.pngChunk('IDAT', Buffer.concat(parts)));
}

/** A lossless WebP of one colour. It has only a few bytes for every size. */
export async function plainWebp(width: number, height: number): Promise<Buffer> {
  const file = await pictures.flat(1, 1, '#a03050').webp({ lossless: true }).toBuffer();
  const at = file.indexOf('VP8L') + 9;
  const rest = file.readUInt32LE(at) & 0xf0000000;
  file.writeUInt32LE((rest | (width - 1) | ((height - 1) << 14)) >>> 0, at);
  return file;
}

/** A square, opaque animation of one colour. Each frame covers the canvas and has a few bytes. */
export async function plainAnimation(frames: number, side: number): Promise<Buffer> {
  const header = Buffer.alloc(16);
  header.writeUIntLE(side - 1, 6, 3);
  header.writeUIntLE(side - 1, 9, 3);
  const frame = Buffer.concat([header, (await plainWebp(side, side)).subarray(12)]);
  return pictures.webpOf(
    pictures.webpHeader(side, side, 0x02),
    pictures.webpChunk('ANIM', Buffer.alloc(6)),
    ...Array.from({ length: frames }, () => pictures.webpChunk('ANMF', frame)),
  );
}

/** A progressive CMYK JPEG whose header claims this size. */
async function progressiveCmyk(width: number, height: number): Promise<Buffer> {
  const file = await pictures.photo().toColourspace('cmyk').jpeg({ progressive: true }).toBuffer();
  const at = pictures.jpegMarker(file, 0xc2);
  file.writeUInt16BE(height, at + 5);
  file.writeUInt16BE(width, at + 7);
  return file;
}

/**
 * A grey progressive JPEG that decodes without a warning. Each scan has all coefficients again, so no scan
 * refines a missing one. All coefficients are zero: a scan needs one bit for each block.
 */
function validScans(side: number, scans: number): Buffer {
  const segment = (marker: number, ...body: number[]) =>
    Buffer.from([0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255, ...body]);
  // A table with the one code `0`. It means "no difference" for DC, and "end of block" for AC.
  const table = (id: number) => segment(0xc4, id, 1, ...Array.from({ length: 15 }, () => 0), 0);
  const bits = Buffer.alloc(Math.ceil((side / 8) ** 2 / 8));
  const scan = (from: number, to: number) => Buffer.concat([segment(0xda, 1, 1, 0, from, to, 0), bits]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, 0, ...Array.from({ length: 64 }, () => 1)),
    segment(0xc2, 8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0),
    table(0x00),
    table(0x10),
    scan(0, 0),
    ...Array.from({ length: scans - 1 }, () => scan(1, 63)),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** A small PNG with compressed international text: each of `chunks` chunks inflates to `megabytes`. */
async function internationalTextBomb(chunks: number, megabytes: number): Promise<Buffer> {
  const text = deflateSync(Buffer.alloc(megabytes * 1_000_000, 0x61), { level: 9 });
  const body = Buffer.concat([Buffer.from('Comment\0\u0001\0\0\0', 'latin1'), text]);
  return pictures.withPngChunks(
    await pictures.png({ width: 64, height: 64 }),
    ...Array.from({ length: chunks }, () => pictures.pngChunk('iTXt', body)),
  );
}

/** A PNG with this chunk repeated `count` times. */
async function pngFlood(type: string, count: number, body = Buffer.alloc(0)): Promise<Buffer> {
  const chunk = pictures.pngChunk(type, body);
  return pictures.withPngChunks(await pictures.png(), ...Array.from({ length: count }, () => chunk));
}

/** A small PNG with `count` colour profiles. Each inflates to `bytes`. */
async function profileFlood(count: number, bytes: number): Promise<Buffer> {
  const body = Buffer.concat([Buffer.from('icc\0\0'), deflateSync(Buffer.alloc(bytes), { level: 9 })]);
  return pngFlood('iCCP', count, body);
}

/** A JPEG with these bytes repeated `count` times after its start marker. */
async function jpegFlood(segment: Uint8Array, count: number): Promise<Buffer> {
  const file = await pictures.jpeg();
  const flood = Array.from({ length: count }, () => segment);
  return Buffer.concat([file.subarray(0, 2), ...flood, file.subarray(2)]);
}

/** A JPEG with `bytes` bytes of this marker in its entropy-coded data. */
async function scanFlood(marker: number, bytes: number): Promise<Buffer> {
  const file = await pictures.jpeg();
  const scan = pictures.jpegMarker(file, 0xda);
  const middle = Math.floor((scan + file.length) / 2);
  const flood = Buffer.alloc(bytes, Buffer.from([0xff, marker]));
  return Buffer.concat([file.subarray(0, middle), flood, file.subarray(middle)]);
}

/** An animation with `chunks` empty chunks of an unknown type in each frame. */
async function chunksInFrames(frames: number, chunks: number): Promise<Buffer> {
  const pixel = await pictures.flat(1, 1, '#f00').webp({ lossless: true }).toBuffer();
  const junk = Buffer.alloc(8 * chunks, pictures.webpChunk('JUNK', Buffer.alloc(0)));
  const body = Buffer.concat([Buffer.alloc(16), pixel.subarray(12), junk]);
  return pictures.webpOf(
    pictures.webpHeader(1, 1, 0x02),
    pictures.webpChunk('ANIM', Buffer.alloc(6)),
    ...Array.from({ length: frames }, () => pictures.webpChunk('ANMF', body)),
  );
}

/** A WebP with `chunks` empty chunks of an unknown type. */
async function riffFlood(chunks: number): Promise<Buffer> {
  const still = (await pictures.webp()).subarray(12);
  const junk = Buffer.alloc(8 * chunks, pictures.webpChunk('JUNK', Buffer.alloc(0)));
  return pictures.webpOf(pictures.webpHeader(320, 240, 0), junk, still);
}

export const PIXEL_BOMBS: readonly Specimen[] = [
  refused('complete PNG of 30 000 x 30 000', MEGAPIXELS, () => completePng([30_000, 30_000, 1, 0], 1)),
  refused('PNG that claims 16 000 x 16 000 in 70 bytes', MEGAPIXELS, () => pngClaiming(16_000, 16_000)),
  refused('PNG that claims 10 000 x 10 000 in 70 bytes', DAMAGED, () => pngClaiming(10_000, 10_000)),
  refused('PNG that claims 30 000 x 3 333 in 16 bits in 70 bytes', DAMAGED, () =>
    pngClaiming(30_000, 3_333, 16, 6),
  ),
  refused('PNG of 2^31-1 a side', SIDE, () => pngClaiming(2 ** 31 - 1, 2 ** 31 - 1)),
  refused('PNG of 2^32-1 a side', SIDE, () => pngClaiming(2 ** 32 - 1, 2 ** 32 - 1)),
  refused('PNG of 0 x 0', SIDE, () => pngClaiming(0, 0)),
  refused('PNG of 0 x 9', SIDE, () => pngClaiming(0, 9)),
  refused('PNG with two headers', /more than one PNG header/, async () =>
    pictures.withPngChunks(await pictures.png(), pictures.pngHeader(9, 9)),
  ),
  refused('JPEG that claims 65 500 x 65 500', SIDE, () => pictures.jpegClaimingSize(65_500, 65_500)),
  refused('JPEG that claims 10 000 x 10 000', DAMAGED, () => pictures.jpegClaimingSize(10_000, 10_000)),
  refused('JPEG of 320 x 0', SIDE, () => pictures.jpegClaimingSize(320, 0)),
  refused('WebP of 16 383 x 16 383 in a few bytes', MEGAPIXELS, () => plainWebp(16_383, 16_383)),
  refused('WebP animation on a canvas of 16 383 x 16 383', MEGAPIXELS, () =>
    pictures.frameFlood(1, 16_383, 16_383),
  ),
  refused('PNG of 30 001 x 1', SIDE, () => pictures.blackPng(30_001, 1)),
  accepted('PNG of 1 x 30 000', () => pictures.blackPng(1, 30_000)),
  accepted('PNG of 30 000 x 1', () => pictures.blackPng(30_000, 1)),
  accepted('JPEG of 1 x 30 000', () => pictures.flat(1, 30_000, '#345').jpeg().toBuffer()),
  accepted('WebP of 16 383 x 1', () => pictures.flat(16_383, 1, '#345').webp().toBuffer()),
  accepted('PNG of a single pixel', () => pictures.blackPng(1, 1)),
  accepted('WebP of a single pixel', () => plainWebp(1, 1)),
];

export const MEMORY_BOMBS: readonly Specimen[] = [
  refused('interlaced PNG of 7 300 x 7 300 in 16 bits with alpha', BUDGET, () =>
    pngClaiming(7_300, 7_300, 16, 6, 1),
  ),
  refused('interlaced PNG of 10 000 x 10 000 with alpha', DAMAGED, () =>
    pngClaiming(10_000, 10_000, 8, 6, 1),
  ),
  refused('progressive CMYK JPEG of 7 500 x 7 500', BUDGET, () => progressiveCmyk(7_500, 7_500)),
  refused('WebP of 9 000 x 9 000 in a few bytes', BUDGET, () => plainWebp(9_000, 9_000)),
  refused('WebP animation of one frame on 8 000 x 8 000', BUDGET, () => pictures.frameFlood(1, 8_000, 8_000)),
  refused('WebP animation of 101 frames of 1 000 x 1 000', MEGAPIXELS, () =>
    pictures.frameFlood(101, 1_000, 1_000),
  ),
  accepted('WebP of 2 500 x 2 500 in a few bytes', () => plainWebp(2_500, 2_500)),
  accepted('interlaced PNG of 2 500 x 2 500 in 16 bits', () => completePng([2_500, 2_500, 16, 2, 1], 48)),
  accepted('text of 4.4 GB in a PNG of 64 x 64', () => pictures.textBomb(90, 49)),
  accepted('international text of 1 GB in a PNG of 64 x 64', () => internationalTextBomb(20, 49)),
  accepted('colour profile of 45 MB in a PNG of 64 x 64', () => pictures.profileBomb(45)),
];

export const FLOODS: readonly Specimen[] = [
  refused('PNG with 100 000 texts', /20000 PNG chunks/, () => pngFlood('tEXt', 100_000, Buffer.from('a\0b'))),
  refused('PNG with 100 000 empty IDAT', /20000 PNG chunks/, () => pngFlood('IDAT', 100_000)),
  accepted('PNG with 7 000 colour profiles of 2 MB each', () => profileFlood(7_000, 2_200_000)),
  accepted('PNG with 15 000 texts', () => pngFlood('tEXt', 15_000, Buffer.from('a\0b'))),
  refused('JPEG with 250 000 comments', /2000 JPEG segments/, () =>
    jpegFlood(Buffer.from([0xff, 0xfe, 0, 2]), 250_000),
  ),
  accepted('JPEG with 4 MB of fill bytes', () => jpegFlood(Buffer.alloc(4_000_000, 0xff), 1)),
  refused('JPEG with 4 MB of restart markers in its scan', DAMAGED, () => scanFlood(0xd0, 4_000_000)),
  refused('JPEG with 1 000 empty Huffman tables', DAMAGED, () =>
    jpegFlood(Buffer.from([0xff, 0xc4, 0, 3, 0]), 1_000),
  ),
  refused('JPEG of 1 MP with 2 770 valid scans', /more than 64 JPEG scans/, () => validScans(1_000, 2_770)),
  refused('JPEG with 65 valid scans', /more than 64 JPEG scans/, () => validScans(64, 65)),
  accepted('JPEG with 64 valid scans', () => validScans(64, 64)),
  // Each scan refines coefficients again, for which libjpeg only warns.
  refused('JPEG with its last scan repeated 40 times', DAMAGED, () => pictures.manyScans(40)),
  refused('WebP with 200 000 chunks', /20000 WebP chunks/, () => riffFlood(200_000)),
  accepted('WebP with 15 000 chunks', () => riffFlood(15_000)),
  refused('WebP of 100 000 frames', /WebP chunks|100000 frames/, () => pictures.frameFlood(100_000)),
  accepted('WebP of 1 000 frames', () => pictures.frameFlood(1_000)),
  refused('WebP of 100 frames with 20 001 chunks each', /20000 WebP chunks/, () =>
    chunksInFrames(100, 20_001),
  ),
  accepted('WebP of 100 frames with 19 000 chunks each', () => chunksInFrames(100, 19_000)),
];
