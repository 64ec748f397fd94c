/**
 * Owns the mutations of the fuzz run: from a small whole picture to one that is wrong somewhere. Deterministic: the same
 * seed, format and number make the same file on any machine. Refuses to know servers and what becomes of the files.
 */
import { crc32 } from 'node:zlib';
import type { ImageFormat } from '../../../src/image.ts';
import * as pictures from '../../support/pictures.ts';

const SMALL = { width: 64, height: 48 } as const;

/** The whole pictures of a format, of as many kinds as the format has. Too small to take long. */
export async function seedsOf(format: ImageFormat): Promise<readonly Buffer[]> {
  const photo = () => pictures.photo(SMALL);
  const make = {
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
  }[format]();
  const files: Buffer[] = await Promise.all(make.map((picture) => picture.toBuffer()));
  if (format === 'webp')
    files.push((await pictures.animation(4, 24, 16)).bytes, await pictures.frameFlood(3, 5, 5));
  return files;
}

/** Numbers from 0 to below 1. */
export type Random = () => number;

/** A generator of its own for each file, so that any of them can be made without those before it. */
export function randomOf(seed: number, format: ImageFormat, number: number): Random {
  return pictures.generator(crc32(`${seed} ${format} ${number}`));
}

/** A mutation of one of these files, or of two of them. */
export function mutant(seeds: readonly Buffer[], format: ImageFormat, random: Random): Buffer {
  let file: Buffer = Buffer.from(pick(seeds, random));
  // Most are wrong in one place, as what is wrong in many is refused for the first.
  const times = random() < 0.7 ? 1 : 1 + Math.floor(random() * 4);
  for (let i = 0; i < times; i += 1) file = pick(MUTATIONS, random)(file, { seeds, format, random });
  return format === 'png' && random() < 0.7 ? withChecksums(file) : file;
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
  cutOut,
  repeat,
  splice,
  onParts(duplicatePart),
  onParts(dropPart),
  onParts(swapParts),
  onParts(lieAboutLength),
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

/** Writes a number that matters over two to four bytes, more often in the head than behind it. */
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

function cutOut(file: Buffer, { random }: Context): Buffer {
  const [from, to] = range(file, random);
  return Buffer.concat([file.subarray(0, from), file.subarray(to)]);
}

function repeat(file: Buffer, { random }: Context): Buffer {
  const [from, to] = range(file, random);
  const part = file.subarray(from, to);
  const times = 1 + below(20, random);
  return Buffer.concat([
    file.subarray(0, to),
    ...Array.from({ length: times }, () => part),
    file.subarray(to),
  ]);
}

function splice(file: Buffer, { seeds, random }: Context): Buffer {
  const other = pick(seeds, random);
  return Buffer.concat([
    file.subarray(0, below(file.length, random)),
    other.subarray(below(other.length, random)),
  ]);
}

// ---- what the formats are made of ----

/** A file as a list of its parts: head first; chunks, or segments with the entropy-coded data behind them. */
function partsOf(file: Buffer, format: ImageFormat): Buffer[] {
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

/** Where the length of a part is, and how it is written. */
const LENGTH = {
  png: (part: Buffer, value: number) => part.writeUInt32BE(value, 0),
  jpeg: (part: Buffer, value: number) => part.writeUInt16BE(value % 65_536, 2),
  webp: (part: Buffer, value: number) => part.writeUInt32LE(value, 4),
} as const;

type Parts = Buffer[];

/** A mutation of the list of parts; sizes that a whole file states elsewhere are put right, more often than not. */
function onParts(change: (parts: Parts, context: Context) => Parts): Mutation {
  return (file, context) => {
    const parts = partsOf(file, context.format);
    if (parts.length < 2) return file;
    const changed = Buffer.concat(change(parts, context));
    if (context.format === 'webp' && changed.length >= 12 && context.random() < 0.8)
      changed.writeUInt32LE(changed.length - 8, 4);
    return changed;
  };
}

function duplicatePart(parts: Parts, { random }: Context): Parts {
  const from = anyPart(parts, random);
  const part = parts[from] ?? Buffer.alloc(0);
  const times = random() < 0.8 ? 1 : 1 + below(100, random);
  return parts.toSpliced(anyPart(parts, random), 0, ...Array.from({ length: times }, () => part));
}

function dropPart(parts: Parts, { random }: Context): Parts {
  return parts.toSpliced(anyPart(parts, random), 1);
}

function swapParts(parts: Parts, { random }: Context): Parts {
  const from = anyPart(parts, random);
  const part = parts[from] ?? Buffer.alloc(0);
  return parts.toSpliced(from, 1).toSpliced(anyPart(parts, random), 0, part);
}

function lieAboutLength(parts: Parts, { format, random }: Context): Parts {
  const at = anyPart(parts, random);
  const part = Buffer.from(parts[at] ?? []);
  if (part.length < 8) return parts;
  LENGTH[format](part, random() < 0.5 ? Math.max(0, part.length - below(24, random)) : pick(NUMBERS, random));
  return parts.with(at, part);
}

function renamePart(parts: Parts, { format, random }: Context): Parts {
  const at = anyPart(parts, random);
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

/** Puts in a part of another whole picture of the format. */
function borrowPart(parts: Parts, { seeds, format, random }: Context): Parts {
  const others = partsOf(pick(seeds, random), format);
  const part = others[anyPart(others, random)] ?? Buffer.alloc(0);
  return parts.toSpliced(anyPart(parts, random), random() < 0.5 ? 1 : 0, part);
}

/** Changes bytes within the body of one part: small ones, which say how the large ones are read, are as likely. */
function damagePart(parts: Parts, { format, random }: Context): Parts {
  const at = anyPart(parts, random);
  const part = Buffer.from(parts[at] ?? []);
  const head = { png: 8, jpeg: 4, webp: 8 }[format];
  if (part.length <= head) return parts;
  for (let i = 0; i <= random() * 3; i += 1) {
    const offset = head + below(Math.min(part.length - head, random() < 0.5 ? 24 : part.length), random);
    if (offset < part.length) part[offset] = random() < 0.5 ? pick(BYTES, random) : below(256, random);
  }
  return parts.with(at, part);
}

/** Makes the checksums of a PNG right again: else nothing but the checksum would ever be looked at. */
function withChecksums(file: Buffer): Buffer {
  const whole = Buffer.from(file);
  for (let at = 8; at + 12 <= whole.length; ) {
    const end = at + 12 + whole.readUInt32BE(at);
    if (end > whole.length) break;
    whole.writeUInt32BE(crc32(whole.subarray(at + 4, end - 4)), end - 4);
    at = end;
  }
  return whole;
}

/** Any part but the head. */
function anyPart(parts: Parts, random: Random): number {
  return 1 + below(parts.length - 1, random);
}

function range(file: Buffer, random: Random): [number, number] {
  const from = below(file.length, random);
  return [from, from + 1 + below(Math.min(file.length - from, 300), random)];
}

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit);
}

function pick<T>(from: readonly [T, ...T[]] | readonly T[], random: Random): T {
  const picked = from[below(from.length, random)];
  if (picked === undefined) throw new RangeError('nothing to pick from');
  return picked;
}
