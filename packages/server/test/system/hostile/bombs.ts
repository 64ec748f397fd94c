/**
 * Owns the pictures that would cost more than they look like: in pixels, in memory, in time, or in the number of
 * their parts. Refuses to know broken files, and what is hidden in whole ones.
 */
import { once } from 'node:events';
import { createDeflate, deflateSync } from 'node:zlib';
import * as pictures from '../../support/pictures.ts';
import { accepted, refused, type Specimen } from './specimen.ts';

const MEGAPIXELS = /megapixels, at most 100/;
const SIDE = /a side may have at most 30000/;
const BUDGET = /MiB to decode/;
const DAMAGED = /damaged|cut short/;

/** A PNG that claims what its header says and has next to no rows. */
function liar(...header: Parameters<typeof pictures.pngHeader>): Buffer {
  return pictures.pngOf(
    pictures.pngHeader(...header),
    pictures.pngChunk('IDAT', deflateSync(Buffer.alloc(70))),
  );
}

/** Where the seven passes of an interlaced PNG begin, and how far apart their pixels are: across and down. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

const ONE_PASS = [[0, 0, 1, 1]] as const;

/** A PNG whose rows are all there and all black, compressed a thousand to one. `bits`: of one pixel. */
async function honest(header: Parameters<typeof pictures.pngHeader>, bits: number): Promise<Buffer> {
  const [width, height, , , interlace] = header;
  const deflate = createDeflate({ level: 1 });
  const parts: Buffer[] = [];
  deflate.on('data', (part: Buffer) => parts.push(part));
  for (const [left, top, across, down] of interlace === 1 ? PASSES : ONE_PASS) {
    const row = Buffer.alloc(1 + Math.ceil((Math.ceil((width - left) / across) * bits) / 8));
    for (let y = top; y < height; y += down) if (!deflate.write(row)) await once(deflate, 'drain');
  }
  deflate.end();
  await once(deflate, 'end');
  return pictures.pngOf(pictures.pngHeader(...header), pictures.pngChunk('IDAT', Buffer.concat(parts)));
}

/** A lossless WebP of one colour: however large, it is a few bytes. */
export async function plainWebp(width: number, height: number): Promise<Buffer> {
  const file = await pictures.flat(1, 1, '#a03050').webp({ lossless: true }).toBuffer();
  const at = file.indexOf('VP8L') + 9;
  const rest = file.readUInt32LE(at) & 0xf0000000;
  file.writeUInt32LE((rest | (width - 1) | ((height - 1) << 14)) >>> 0, at);
  return file;
}

/** An animation of one colour: square, opaque, every frame the whole of it, and a few bytes each. */
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

/** A progressive JPEG of inks whose header claims this size. */
async function progressiveInks(width: number, height: number): Promise<Buffer> {
  const file = await pictures.photo().toColourspace('cmyk').jpeg({ progressive: true }).toBuffer();
  const at = pictures.jpegMarker(file, 0xc2);
  file.writeUInt16BE(height, at + 5);
  file.writeUInt16BE(width, at + 7);
  return file;
}

/**
 * A grey progressive JPEG without a warning in it, whose coefficients come again and again: every scan is the whole of
 * them, so none refines what is not there. One bit for each block of each scan: all of them are zero.
 */
function validScans(side: number, scans: number): Buffer {
  const segment = (marker: number, ...body: number[]) =>
    Buffer.from([0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255, ...body]);
  // A table of one code, `0`, which means nothing more to come: no difference of DC, and the end of the block of AC.
  const table = (of: number) => segment(0xc4, of, 1, ...Array.from({ length: 15 }, () => 0), 0);
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

/** A small PNG with compressed international text, `megabytes` of it in each of `chunks`. */
async function internationalTextBomb(chunks: number, megabytes: number): Promise<Buffer> {
  const text = deflateSync(Buffer.alloc(megabytes * 1_000_000, 0x61), { level: 9 });
  const body = Buffer.concat([Buffer.from('Comment\0\u0001\0\0\0', 'latin1'), text]);
  return pictures.withPngChunks(
    await pictures.png({ width: 64, height: 64 }),
    ...Array.from({ length: chunks }, () => pictures.pngChunk('iTXt', body)),
  );
}

async function pngFlood(type: string, count: number, body = Buffer.alloc(0)): Promise<Buffer> {
  const chunk = pictures.pngChunk(type, body);
  return pictures.withPngChunks(await pictures.png(), ...Array.from({ length: count }, () => chunk));
}

/** A small PNG with as many colour profiles, each of which inflates to so many bytes. */
async function profileFlood(count: number, bytes: number): Promise<Buffer> {
  const body = Buffer.concat([Buffer.from('icc\0\0'), deflateSync(Buffer.alloc(bytes), { level: 9 })]);
  return pngFlood('iCCP', count, body);
}

/** Puts bytes behind the start of a JPEG, as many times as it says. */
async function jpegFlood(segment: Uint8Array, count: number): Promise<Buffer> {
  const file = await pictures.jpeg();
  const flood = Array.from({ length: count }, () => segment);
  return Buffer.concat([file.subarray(0, 2), ...flood, file.subarray(2)]);
}

/** Puts bytes into the entropy-coded data of a JPEG. */
async function scanFlood(marker: number, bytes: number): Promise<Buffer> {
  const file = await pictures.jpeg();
  const scan = pictures.jpegMarker(file, 0xda);
  const middle = Math.floor((scan + file.length) / 2);
  const flood = Buffer.alloc(bytes, Buffer.from([0xff, marker]));
  return Buffer.concat([file.subarray(0, middle), flood, file.subarray(middle)]);
}

/** An animation with empty chunks of no known type in each of its frames. */
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

async function riffFlood(chunks: number): Promise<Buffer> {
  const still = (await pictures.webp()).subarray(12);
  const junk = Buffer.alloc(8 * chunks, pictures.webpChunk('JUNK', Buffer.alloc(0)));
  return pictures.webpOf(pictures.webpHeader(320, 240, 0), junk, still);
}

export const PIXEL_BOMBS: readonly Specimen[] = [
  refused('PNG of 30 000 x 30 000 whose rows are all there', MEGAPIXELS, () =>
    honest([30_000, 30_000, 1, 0], 1),
  ),
  refused('PNG that claims 16 000 x 16 000 in 70 bytes', MEGAPIXELS, () => liar(16_000, 16_000)),
  refused('PNG that claims 10 000 x 10 000 in 70 bytes', DAMAGED, () => liar(10_000, 10_000)),
  refused('PNG that claims 30 000 x 3 333 in 16 bits in 70 bytes', DAMAGED, () => liar(30_000, 3_333, 16, 6)),
  refused('PNG of 2^31-1 a side', SIDE, () => liar(2 ** 31 - 1, 2 ** 31 - 1)),
  refused('PNG of 2^32-1 a side', SIDE, () => liar(2 ** 32 - 1, 2 ** 32 - 1)),
  refused('PNG of 0 x 0', /a side is empty/, () => liar(0, 0)),
  refused('PNG of 0 x 9', /a side is empty/, () => liar(0, 9)),
  refused('PNG with two headers', /more than one PNG header/, async () =>
    pictures.withPngChunks(await pictures.png(), pictures.pngHeader(9, 9)),
  ),
  refused('JPEG that claims 65 500 x 65 500', SIDE, () => pictures.lyingJpeg(65_500, 65_500)),
  refused('JPEG that claims 10 000 x 10 000', DAMAGED, () => pictures.lyingJpeg(10_000, 10_000)),
  refused('JPEG without lines', /a side is empty/, () => pictures.lyingJpeg(320, 0)),
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
    liar(7_300, 7_300, 16, 6, 1),
  ),
  refused('interlaced PNG of 10 000 x 10 000 with alpha', DAMAGED, () => liar(10_000, 10_000, 8, 6, 1)),
  refused('progressive JPEG of inks of 7 500 x 7 500', BUDGET, () => progressiveInks(7_500, 7_500)),
  refused('WebP of 9 000 x 9 000 in a few bytes', BUDGET, () => plainWebp(9_000, 9_000)),
  refused('WebP animation of one frame on 8 000 x 8 000', BUDGET, () => pictures.frameFlood(1, 8_000, 8_000)),
  refused('WebP animation of 101 frames of 1 000 x 1 000', MEGAPIXELS, () =>
    pictures.frameFlood(101, 1_000, 1_000),
  ),
  accepted('WebP of 2 500 x 2 500 in a few bytes', () => plainWebp(2_500, 2_500)),
  accepted('interlaced PNG of 2 500 x 2 500 in 16 bits', () => honest([2_500, 2_500, 16, 2, 1], 48)),
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
  refused('JPEG with 1 000 Huffman tables of nothing', DAMAGED, () =>
    jpegFlood(Buffer.from([0xff, 0xc4, 0, 3, 0]), 1_000),
  ),
  refused('JPEG of 1 MP with 2 770 valid scans', /more than 64 JPEG scans/, () => validScans(1_000, 2_770)),
  refused('JPEG with 65 valid scans', /more than 64 JPEG scans/, () => validScans(64, 65)),
  accepted('JPEG with 64 valid scans', () => validScans(64, 64)),
  // Each refines what was refined before: libjpeg only warns.
  refused('JPEG with 40 scans too many', DAMAGED, () => pictures.manyScans(40)),
  refused('WebP with 200 000 chunks', /20000 WebP chunks/, () => riffFlood(200_000)),
  accepted('WebP with 15 000 chunks', () => riffFlood(15_000)),
  refused('WebP of 100 000 frames', /WebP chunks|100000 frames/, () => pictures.frameFlood(100_000)),
  accepted('WebP of 1 000 frames', () => pictures.frameFlood(1_000)),
  refused('WebP of 100 frames with 20 001 chunks each', /20000 WebP chunks/, () =>
    chunksInFrames(100, 20_001),
  ),
  accepted('WebP of 100 frames with 19 000 chunks each', () => chunksInFrames(100, 19_000)),
];
