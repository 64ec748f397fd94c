/**
 * Writes colour profiles (ICC) for pictures that describe their colours in another way. All colours are then
 * converted in the same way.
 */
import { D50, matrixToXyz, type Primaries, type Triple } from './matrix.ts';

/**
 * Light by stored value, both from 0 to 1: a power of the value, or the parameters g, a, b, c, d. With these,
 * light is `(a v + b)^g` from d on, and `c v` below.
 */
export type ToneCurve = number | readonly [g: number, a: number, b: number, c: number, d: number];

export const SRGB_CURVE: ToneCurve = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.040_45];

const HEADER_BYTES = 128;
const TAG_BYTES = 12;

/** A profile for grey pixels with this curve. */
export function greyProfile(curve: ToneCurve | Float64Array): Buffer {
  return greyProfileOf(curveTag(curve));
}

/** A profile for grey pixels with the curve in the bytes of this tag. */
export function greyProfileOf(curve: Buffer): Buffer {
  return writeProfile('GRAY', { ...DESCRIPTION, kTRC: curve });
}

/** A profile for RGB pixels with these primaries. Undefined if the primaries span no colours. */
export function rgbProfile(primaries: Primaries, curve: ToneCurve): Buffer | undefined {
  const matrix = matrixToXyz(primaries);
  if (matrix === undefined) return undefined;
  const tone = curveTag(curve);
  const column = (i: 0 | 1 | 2) => xyzTag([matrix[0][i], matrix[1][i], matrix[2][i]]);
  return writeProfile('RGB ', {
    ...DESCRIPTION,
    rXYZ: column(0),
    gXYZ: column(1),
    bXYZ: column(2),
    rTRC: tone,
    gTRC: tone,
    bTRC: tone,
  });
}

/** Points on one side of the table of `tableProfile`. littlecms takes the same number for its own table. */
const GRID = 33;

/**
 * A profile for RGB pixels whose colours are not a matrix of their curves. It has a table of colours.
 * @param toXyz the colour of a pixel, relative to D50, from values of 0 to 1. X, Y and Z must be below 2.
 */
export function tableProfile(toXyz: (pixel: Triple) => Triple): Buffer {
  const table = Buffer.alloc(GRID ** 3 * 6);
  let at = 0;
  const step = 1 / (GRID - 1);
  for (let red = 0; red < GRID; red += 1) {
    for (let green = 0; green < GRID; green += 1) {
      for (let blue = 0; blue < GRID; blue += 1) {
        for (const value of toXyz([red * step, green * step, blue * step])) {
          table.writeUInt16BE(Math.min(65_535, Math.max(0, Math.round(value * 32_768))), at);
          at += 2;
        }
      }
    }
  }
  const head = Buffer.alloc(52);
  head.write('mft2', 0, 'latin1');
  head.set([3, 3, GRID], 8);
  for (const i of [0, 4, 8]) head.writeInt32BE(65_536, 12 + 4 * i);
  // The curves before and after the table have two entries: they change nothing.
  head.writeUInt16BE(2, 48);
  head.writeUInt16BE(2, 50);
  const straight = Buffer.from([0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255]);
  const description = { desc: textDescription('Vitrine'), cprt: text('None'), wtpt: xyzTag(D50) };
  return writeProfile(
    'RGB ',
    { ...description, A2B0: Buffer.concat([head, straight, table, straight]) },
    0x02400000,
  );
}

function writeProfile(
  space: 'GRAY' | 'RGB ',
  tags: Readonly<Record<string, Buffer>>,
  version = 0x04300000,
): Buffer {
  const entries = Object.entries(tags);
  const head = Buffer.alloc(HEADER_BYTES + 4 + TAG_BYTES * entries.length);
  const parts: Buffer[] = [head];
  let end = head.length;
  head.writeUInt32BE(version, 8);
  head.write(`mntr${space}XYZ `, 12, 'latin1');
  head.write('acsp', 36, 'latin1');
  fixed(D50).copy(head, 68);
  head.writeUInt32BE(entries.length, HEADER_BYTES);
  for (const [i, [name, body]] of entries.entries()) {
    const at = HEADER_BYTES + 4 + TAG_BYTES * i;
    head.write(name, at, 'latin1');
    head.writeUInt32BE(end, at + 4);
    head.writeUInt32BE(body.length, at + 8);
    const padding = Buffer.alloc((4 - (body.length % 4)) % 4);
    parts.push(body, padding);
    end += body.length + padding.length;
  }
  head.writeUInt32BE(end, 0);
  return Buffer.concat(parts);
}

/** Numbers as ICC writes them: 16 bits before the point, and 16 bits after it. */
function fixed(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries())
    bytes.writeInt32BE(Math.round(Math.min(32_767, Math.max(-32_768, value)) * 65_536), 4 * i);
  return bytes;
}

function xyzTag(value: Triple): Buffer {
  return Buffer.concat([Buffer.from('XYZ \0\0\0\0', 'latin1'), fixed(value)]);
}

function curveTag(curve: ToneCurve | Float64Array): Buffer {
  if (curve instanceof Float64Array) {
    const table = Buffer.alloc(12 + 2 * curve.length);
    table.write('curv', 0, 'latin1');
    table.writeUInt32BE(curve.length, 8);
    for (const [i, value] of curve.entries())
      table.writeUInt16BE(Math.min(65_535, Math.max(0, Math.round(value * 65_535))), 12 + 2 * i);
    return table;
  }
  const isPower = typeof curve === 'number';
  const head = Buffer.from('para\0\0\0\0\0\0\0\0', 'latin1');
  head.writeUInt16BE(isPower ? 0 : 3, 8);
  return Buffer.concat([head, fixed(isPower ? [curve] : curve)]);
}

function text(value: string): Buffer {
  return Buffer.from(`text\0\0\0\0${value}\0`, 'latin1');
}

function textDescription(value: string): Buffer {
  const tag = Buffer.alloc(90 + value.length + 1);
  tag.write('desc', 0, 'latin1');
  tag.writeUInt32BE(value.length + 1, 8);
  tag.write(value, 12, 'latin1');
  return tag;
}

/** Text in version 4: one entry, in English. */
function localizedText(value: string): Buffer {
  const head = Buffer.alloc(28);
  head.write('mluc', 0, 'latin1');
  head.writeUInt32BE(1, 8);
  head.writeUInt32BE(12, 12);
  head.write('enUS', 16, 'latin1');
  head.writeUInt32BE(2 * value.length, 20);
  head.writeUInt32BE(28, 24);
  return Buffer.concat([head, Buffer.from(value, 'utf16le').swap16()]);
}

/** The tags that every profile of version 4 must have. */
const DESCRIPTION: Readonly<Record<string, Buffer>> = {
  desc: localizedText('Vitrine'),
  cprt: localizedText('None'),
  wtpt: xyzTag(D50),
};
