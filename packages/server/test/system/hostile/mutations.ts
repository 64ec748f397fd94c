/**
 * The mutations of the fuzz run: they damage a small valid picture. The same seed, format and number give the
 * same file on every machine.
 */
import { crc32 } from 'node:zlib';
import type { ImageFormat } from '../../../src/image.ts';
import * as pictures from '../../support/pictures.ts';

const SMALL = { width: 64, height: 48 } as const;

/** Valid pictures of this format, one of each kind. They are small, so that the run is fast. */
export async function makeSeeds(format: ImageFormat): Promise<readonly Buffer[]> {
  const photo = () => pictures.photo(SMALL);
  const byFormat = {
    png: () => [
      photo().png(),
      photo().ensureAlpha(0.5).png(),
      photo().png({ palette: true, colours: 16 }),
      pictures.flat(40, 30, '#f00', 0.5).png({ palette: true }),
      photo().png({ progressive: true }),
      photo().greyscale().toColourspace('b-w').png(),
      pictures.photo({ width: 24, height: 20 }).toColourspace('rgb16').png(),
      photo().withIccProfile('p3').withMetadata({ orientation: 6 }).png(),
    ],
    jpeg: () => [
      photo().jpeg(),
      photo().jpeg({ progressive: true }),
      photo().jpeg({ chromaSubsampling: '4:4:4', optimiseCoding: false }),
      photo().jpeg({ mozjpeg: true }),
      photo().toColourspace('cmyk').jpeg(),
      photo().toColourspace('cmyk').jpeg({ progressive: true }),
      photo().greyscale().toColourspace('b-w').jpeg(),
      photo().withIccProfile('p3').withMetadata({ orientation: 6 }).jpeg(),
    ],
    webp: () => [
      photo().webp(),
      photo().webp({ lossless: true }),
      photo().webp({ nearLossless: true, quality: 40 }),
      photo().ensureAlpha(0.5).webp(),
      pictures.flat(40, 30, '#f00', 0.5).webp({ lossless: true }),
      photo().withIccProfile('p3').withMetadata({ orientation: 6 }).webp(),
    ],
  };
  const files: Buffer[] = await Promise.all(byFormat[format]().map((picture) => picture.toBuffer()));
  if (format === 'webp')
    files.push((await pictures.animation(4, 24, 16)).bytes, await pictures.frameFlood(3, 5, 5));
  return files;
}

/** Numbers from 0 to below 1. */
export type Random = () => number;

/** A separate generator for each file, so that a file can be made without the files before it. */
export function createRandom(seed: number, format: ImageFormat, number: number): Random {
  return pictures.createRandom(crc32(`${seed} ${format} ${number}`));
}

/** A damaged copy of one of these files, or a mix of two of them. */
export function mutate(seeds: readonly Buffer[], format: ImageFormat, random: Random): Buffer {
  let file: Buffer = Buffer.from(pick(seeds, random));
  // Most files get one mutation: with several, the first one alone may decide the result.
  const times = random() < 0.7 ? 1 : 1 + Math.floor(random() * 4);
  for (let i = 0; i < times; i += 1) file = pick(MUTATIONS, random)(file, { seeds, format, random });
  return format === 'png' && random() < 0.7 ? fixChecksums(file) : file;
}

interface Context {
  readonly seeds: readonly Buffer[];
  readonly format: ImageFormat;
  readonly random: Random;
}

type Mutation = (file: Buffer, context: Context) => Buffer;

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  setBytes,
  setBytes,
  setNumber,
  truncate,
  cutRange,
  repeatRange,
  spliceFiles,
  onParts(duplicatePart),
  onParts(dropPart),
  onParts(swapParts),
  onParts(changeLength),
  onParts(renamePart),
  onParts(borrowPart),
  onParts(damagePart),
  onParts(damagePart),
];

function flipBits(file: Buffer, { random }: Context): Buffer {
  for (let i = 0; i <= random() * 8; i += 1) {
    const at = below(file.length, random);
    file[at] = (file[at] ?? 0) ^ (1 << below(8, random));
  }
  return file;
}

const BYTES = [0, 1, 2, 0x7f, 0x80, 0xd0, 0xd8, 0xd9, 0xda, 0xfe, 0xff] as const;

function setBytes(file: Buffer, { random }: Context): Buffer {
  for (let i = 0; i <= random() * 4; i += 1) file[below(file.length, random)] = pick(BYTES, random);
  return file;
}

const NUMBERS = [
  0,
  1,
  2,
  255,
  256,
  16_383,
  16_384,
  30_000,
  65_535,
  2 ** 24 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** Overwrites two to four bytes with a special number, more often in the first 200 bytes. */
function setNumber(file: Buffer, { random }: Context): Buffer {
  const size = pick([2, 3, 4], random);
  const within = random() < 0.7 ? Math.min(file.length, 200) : file.length;
  if (within <= size) return file;
  const value = pick(NUMBERS, random) % 2 ** (8 * size);
  const at = below(within - size, random);
  if (random() < 0.5) file.writeUIntBE(value, at, size);
  else file.writeUIntLE(value, at, size);
  return file;
}

function truncate(file: Buffer, { random }: Context): Buffer {
  return file.subarray(0, below(file.length, random));
}

function cutRange(file: Buffer, { random }: Context): Buffer {
  const [from, to] = pickRange(file, random);
  return Buffer.concat([file.subarray(0, from), file.subarray(to)]);
}

function repeatRange(file: Buffer, { random }: Context): Buffer {
  const [from, to] = pickRange(file, random);
  const part = file.subarray(from, to);
  const times = 1 + below(20, random);
  return Buffer.concat([
    file.subarray(0, to),
    ...Array.from({ length: times }, () => part),
    file.subarray(to),
  ]);
}

function spliceFiles(file: Buffer, { seeds, random }: Context): Buffer {
  const other = pick(seeds, random);
  return Buffer.concat([
    file.subarray(0, below(file.length, random)),
    other.subarray(below(other.length, random)),
  ]);
}

// ---- mutations of chunks and segments ----

/** The head of the file, and then its chunks, or its segments with the entropy-coded data after them. */
function splitParts(file: Buffer, format: ImageFormat): Buffer[] {
  const head = { png: 8, jpeg: 2, webp: 12 }[format];
  const parts = [file.subarray(0, head)];
  for (let at = head; at < file.length; ) {
    const end = Math.min(file.length, Math.max(at + 1, endOfPart(file, at, format)));
    parts.push(file.subarray(at, end));
    at = end;
  }
  return parts;
}

function endOfPart(file: Buffer, at: number, format: ImageFormat): number {
  if (at + 8 > file.length) return file.length;
  if (format === 'png') return at + 12 + file.readUInt32BE(at);
  if (format === 'webp') {
    const length = file.readUInt32LE(at + 4);
    return at + 8 + length + (length % 2);
  }
  let end = at + 2 + file.readUInt16BE(at + 2);
  if (file[at + 1] !== 0xda) return end;
  while (
    end < file.length &&
    !(file[end] === 0xff && /[^\0\xd0-\xd7\xff]/.test(file.toString('latin1', end + 1, end + 2)))
  )
    end += 1;
  return end;
}

/** Writes the length field of a part. */
const WRITE_LENGTH = {
  png: (part: Buffer, value: number) => part.writeUInt32BE(value, 0),
  jpeg: (part: Buffer, value: number) => part.writeUInt16BE(value % 65_536, 2),
  webp: (part: Buffer, value: number) => part.writeUInt32LE(value, 4),
} as const;

type Parts = Buffer[];

/** A mutation of the list of parts. It usually corrects the size of the whole file in a WebP header. */
function onParts(change: (parts: Parts, context: Context) => Parts): Mutation {
  return (file, context) => {
    const parts = splitParts(file, context.format);
    if (parts.length < 2) return file;
    const changed = Buffer.concat(change(parts, context));
    if (context.format === 'webp' && changed.length >= 12 && context.random() < 0.8)
      changed.writeUInt32LE(changed.length - 8, 4);
    return changed;
  };
}

function duplicatePart(parts: Parts, { random }: Context): Parts {
  const from = pickPart(parts, random);
  const part = parts[from] ?? Buffer.alloc(0);
  const times = random() < 0.8 ? 1 : 1 + below(100, random);
  return parts.toSpliced(pickPart(parts, random), 0, ...Array.from({ length: times }, () => part));
}

function dropPart(parts: Parts, { random }: Context): Parts {
  return parts.toSpliced(pickPart(parts, random), 1);
}

function swapParts(parts: Parts, { random }: Context): Parts {
  const from = pickPart(parts, random);
  const part = parts[from] ?? Buffer.alloc(0);
  return parts.toSpliced(from, 1).toSpliced(pickPart(parts, random), 0, part);
}

function changeLength(parts: Parts, { format, random }: Context): Parts {
  const at = pickPart(parts, random);
  const part = Buffer.from(parts[at] ?? []);
  if (part.length < 8) return parts;
  WRITE_LENGTH[format](
    part,
    random() < 0.5 ? Math.max(0, part.length - below(24, random)) : pick(NUMBERS, random),
  );
  return parts.with(at, part);
}

function renamePart(parts: Parts, { format, random }: Context): Parts {
  const at = pickPart(parts, random);
  const part = Buffer.from(parts[at] ?? []);
  if (part.length < 8) return parts;
  if (format === 'jpeg') part.writeUInt8(0xc0 + below(0x40, random), 1);
  else part.write(pick(NAMES[format], random), format === 'png' ? 4 : 0, 'latin1');
  return parts.with(at, part);
}

const NAMES = {
  png: ['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS', 'iCCP', 'eXIf', 'zTXt', 'acTL', 'fdAT', 'CgBI'],
  webp: ['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP', 'EXIF', 'XMP ', 'JUNK'],
} as const;

/** Inserts a part of another valid picture of the format. */
function borrowPart(parts: Parts, { seeds, format, random }: Context): Parts {
  const others = splitParts(pick(seeds, random), format);
  const part = others[pickPart(others, random)] ?? Buffer.alloc(0);
  return parts.toSpliced(pickPart(parts, random), random() < 0.5 ? 1 : 0, part);
}

/**
 * Changes bytes in the body of one part. Each part is equally likely, because small ones control large ones.
 */
function damagePart(parts: Parts, { format, random }: Context): Parts {
  const at = pickPart(parts, random);
  const part = Buffer.from(parts[at] ?? []);
  const head = { png: 8, jpeg: 4, webp: 8 }[format];
  if (part.length <= head) return parts;
  for (let i = 0; i <= random() * 3; i += 1) {
    const offset = head + below(Math.min(part.length - head, random() < 0.5 ? 24 : part.length), random);
    if (offset < part.length) part[offset] = random() < 0.5 ? pick(BYTES, random) : below(256, random);
  }
  return parts.with(at, part);
}

/** Corrects the checksums of a PNG. A wrong checksum would hide every other damage. */
function fixChecksums(file: Buffer): Buffer {
  const whole = Buffer.from(file);
  for (let at = 8; at + 12 <= whole.length; ) {
    const end = at + 12 + whole.readUInt32BE(at);
    if (end > whole.length) break;
    whole.writeUInt32BE(crc32(whole.subarray(at + 4, end - 4)), end - 4);
    at = end;
  }
  return whole;
}

/** The index of a random part after the head. */
function pickPart(parts: Parts, random: Random): number {
  return 1 + below(parts.length - 1, random);
}

function pickRange(file: Buffer, random: Random): [number, number] {
  const from = below(file.length, random);
  return [from, from + 1 + below(Math.min(file.length - from, 300), random)];
}

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit);
}

function pick<T>(from: readonly [T, ...T[]] | readonly T[], random: Random): T {
  const picked = from[below(from.length, random)];
  if (picked === undefined) throw new RangeError('the list is empty');
  return picked;
}
