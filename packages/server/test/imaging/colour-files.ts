/**
 * Pictures of one colour whose colours are described in every way that PNG, JPEG and WebP know.
 */
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import * as pictures from '../support/pictures.ts';

const CHANNELS = { grey: 1, rgb: 3, 'grey with alpha': 2, rgba: 4 } as const;
const COLOUR_TYPES = { grey: 0, rgb: 2, 'grey with alpha': 4, rgba: 6 } as const;

export type PngKind = keyof typeof CHANNELS;

export interface FlatPng {
  readonly kind: PngKind;
  readonly depth: 8 | 16;
  /** The channels of every pixel, from 0 to 1. */
  readonly pixel: readonly number[];
  /** Chunks between the header and the pixels. */
  readonly chunks: readonly Buffer[];
  readonly width?: number;
  readonly height?: number;
  readonly interlaced?: boolean;
}

export function flatPng({
  kind,
  depth,
  pixel,
  chunks,
  width = 24,
  height = 16,
  interlaced = false,
}: FlatPng): Buffer {
  const bytes = CHANNELS[kind] * (depth / 8);
  const one = Buffer.alloc(bytes);
  for (const [i, value] of pixel.entries()) {
    if (depth === 16) one.writeUInt16BE(Math.round(value * 65_535), 2 * i);
    else one.writeUInt8(Math.round(value * 255), i);
  }
  const row = (pixels: number) => Buffer.concat([Buffer.alloc(1), Buffer.alloc(pixels * bytes, one)]);
  const rows = interlaced
    ? passesOf(width, height).flatMap(([across, down]) => Array.from({ length: down }, () => row(across)))
    : Array.from({ length: height }, () => row(width));
  return pictures.pngOf(
    pictures.pngHeader(width, height, depth, COLOUR_TYPES[kind], interlaced ? 1 : 0),
    ...chunks,
    pictures.pngChunk('IDAT', deflateSync(Buffer.concat(rows))),
  );
}

/** The sizes of the seven passes of Adam7. An empty pass has no rows. */
function passesOf(width: number, height: number): (readonly [number, number])[] {
  return pictures.INTERLACED_PASSES.map(
    ([left, top, across, down]) =>
      [Math.ceil((width - left) / across), Math.ceil((height - top) / down)] as const,
  ).filter(([across, down]) => across > 0 && down > 0);
}

function numbers(...values: readonly number[]): Buffer {
  const body = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) body.writeUInt32BE(Math.round(value), 4 * i);
  return body;
}

export function gAMA(gamma: number): Buffer {
  return pictures.pngChunk('gAMA', numbers(gamma * 100_000));
}

export function cHRM(...values: readonly number[]): Buffer {
  return pictures.pngChunk('cHRM', numbers(...values.map((value) => value * 100_000)));
}

export function cICP(primaries: number, transfer: number, matrix = 0, fullRange = 1): Buffer {
  return pictures.pngChunk('cICP', Buffer.from([primaries, transfer, matrix, fullRange]));
}

export function sRGB(intent = 0): Buffer {
  return pictures.pngChunk('sRGB', Buffer.from([intent]));
}

export function iCCP(profile: Buffer): Buffer {
  return pictures.pngChunk('iCCP', Buffer.concat([Buffer.from('x\0\0'), deflateSync(profile)]));
}

/** The chunk with a wrong checksum. */
export function damaged(chunk: Buffer): Buffer {
  const copy = Buffer.from(chunk);
  copy.writeUInt8(copy.readUInt8(copy.length - 1) ^ 1, copy.length - 1);
  return copy;
}

/** White, red, green and blue, for cHRM. */
export const BT709 = [0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06] as const;
export const BT2020 = [0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046] as const;
export const DISPLAY_P3 = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06] as const;

/** The profile of Display P3 that libvips has. */
export async function displayP3(): Promise<Buffer> {
  const { icc } = await sharp(
    await pictures.flat(1, 1, '#000').withIccProfile('p3').png().toBuffer(),
  ).metadata();
  if (icc === undefined) throw new Error('sharp wrote no profile');
  return icc;
}

export interface ProfileChange {
  readonly version?: number;
  /** Replaces bytes of the finished profile. */
  readonly change?: (profile: Buffer) => void;
}

/** A profile with the primaries of sRGB, or of grey, whose light is a power of the value. */
export function powerProfile(space: 'RGB ' | 'GRAY', gamma: number, options: ProfileChange = {}): Buffer {
  const tone = Buffer.concat([Buffer.from('para\0\0\0\0\0\0\0\0', 'latin1'), fixed(gamma)]);
  const xyz = (...values: readonly number[]) =>
    Buffer.concat([Buffer.from('XYZ \0\0\0\0'), fixed(...values)]);
  const tags: readonly (readonly [string, Buffer])[] =
    space === 'GRAY'
      ? [['kTRC', tone]]
      : [
          ['rXYZ', xyz(0.436, 0.2225, 0.0139)],
          ['gXYZ', xyz(0.3851, 0.7169, 0.0971)],
          ['bXYZ', xyz(0.1431, 0.0606, 0.7141)],
          ['rTRC', tone],
          ['gTRC', tone],
          ['bTRC', tone],
        ];
  const all = [...tags, ['wtpt', xyz(0.9642, 1, 0.8249)] as const];
  const head = Buffer.alloc(132 + 12 * all.length);
  let end = head.length;
  head.writeUInt32BE((options.version ?? 4) * 2 ** 24, 8);
  head.write(`mntr${space}XYZ `, 12, 'latin1');
  head.write('acsp', 36);
  fixed(0.9642, 1, 0.8249).copy(head, 68);
  head.writeUInt32BE(all.length, 128);
  for (const [i, [name, body]] of all.entries()) {
    head.write(name, 132 + 12 * i);
    head.writeUInt32BE(end, 136 + 12 * i);
    head.writeUInt32BE(body.length, 140 + 12 * i);
    end += body.length;
  }
  head.writeUInt32BE(end, 0);
  const profile = Buffer.concat([head, ...all.map(([, body]) => body)]);
  options.change?.(profile);
  return profile;
}

function fixed(...values: readonly number[]): Buffer {
  const body = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) body.writeInt32BE(Math.round(value * 65_536), 4 * i);
  return body;
}

/** The JPEG with the profile in segments of `partBytes`. `order` rearranges the segments. */
export function withJpegProfile(
  jpeg: Buffer,
  profile: Buffer,
  { partBytes = 60_000, order = (parts: Buffer[]) => parts } = {},
): Buffer {
  const count = Math.ceil(profile.length / partBytes);
  const parts = Array.from({ length: count }, (_, i) => {
    const part = profile.subarray(i * partBytes, (i + 1) * partBytes);
    const head = Buffer.from([0xff, 0xe2, 0, 0, ...Buffer.from('ICC_PROFILE\0'), i + 1, count]);
    head.writeUInt16BE(head.length - 2 + part.length, 2);
    return Buffer.concat([head, part]);
  });
  return Buffer.concat([jpeg.subarray(0, 2), ...order(parts), jpeg.subarray(2)]);
}

/** The WebP with this profile. */
export function withWebpProfile(webp: Buffer, width: number, height: number, profile: Buffer): Buffer {
  return pictures.webpOf(
    pictures.webpHeader(width, height, 0x20),
    pictures.webpChunk('ICCP', profile),
    webp.subarray(12),
  );
}
