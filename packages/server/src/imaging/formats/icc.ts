/**
 * Reads colour profiles (ICC): which of them a picture may keep, and the numbers in simple ones.
 */
import { greyProfileOf } from './icc-write.ts';
import { D50, type Matrix } from './matrix.ts';

/** The kind of pixels of a picture. */
export type PixelSpace = 'grey' | 'rgb' | 'cmyk';

/** Light by stored value, both from 0 to 1. */
export type Curve = (value: number) => number;

/** A profile whose colours are a matrix of the light of its three channels. */
export interface MatrixProfile {
  readonly curves: readonly [Curve, Curve, Curve];
  /** From light to X, Y and Z, relative to D50. */
  readonly toXyz: Matrix;
}

const HEADER_BYTES = 128;
const TAG_BYTES = 12;
const MAX_TAGS = 100;

/** The names in the header of a profile. */
const SPACES: Readonly<Record<string, PixelSpace>> = { GRAY: 'grey', 'RGB ': 'rgb', CMYK: 'cmyk' };

/** Profiles of displays, scanners, printers and colour spaces. The other classes are for no picture. */
const CLASSES: ReadonlySet<string> = new Set(['mntr', 'scnr', 'prtr', 'spac']);

const CURVE_TAGS = ['rTRC', 'gTRC', 'bTRC', 'kTRC'] as const;

/**
 * The profile to keep for these pixels. Undefined if it is damaged, newer than version 4, or for other
 * pixels: browsers ignore such a profile. For grey pixels with a profile of RGB, one of its green curve.
 */
export function profileForPixels(profile: Buffer, pixels: PixelSpace): Buffer | undefined {
  const tags = readTags(profile);
  if (tags === undefined) return undefined;
  const space = SPACES[profile.toString('latin1', 16, 20)];
  if (space === pixels) return profile;
  if (pixels !== 'grey' || space !== 'rgb') return undefined;
  const curve = tags.get('gTRC');
  return curve === undefined || readMatrixProfile(profile) === undefined ? undefined : greyProfileOf(curve);
}

/** The numbers of a profile of RGB. Undefined if it has tables of colours, which count before the matrix. */
export function readMatrixProfile(profile: Buffer): MatrixProfile | undefined {
  const tags = readTags(profile);
  if (tags === undefined || ['A2B0', 'A2B1', 'A2B2', 'D2B0'].some((name) => tags.has(name))) return undefined;
  const [red, green, blue] = ['rXYZ', 'gXYZ', 'bXYZ'].map((name) => readXyz(tags.get(name)));
  const [rCurve, gCurve, bCurve] = ['rTRC', 'gTRC', 'bTRC'].map((name) => readCurve(tags.get(name)));
  if (!red || !green || !blue || !rCurve || !gCurve || !bCurve) return undefined;
  return {
    curves: [rCurve, gCurve, bCurve],
    toXyz: [
      [red[0], green[0], blue[0]],
      [red[1], green[1], blue[1]],
      [red[2], green[2], blue[2]],
    ],
  };
}

/** The curve of a profile of grey. Undefined if it has none that can be read. */
export function readGreyCurve(profile: Buffer): Curve | undefined {
  return readCurve(readTags(profile)?.get('kTRC'));
}

/** The tags by name. Undefined if the profile is damaged or for no picture. */
function readTags(profile: Buffer): ReadonlyMap<string, Buffer> | undefined {
  if (profile.length < HEADER_BYTES + 4 || profile.toString('latin1', 36, 40) !== 'acsp') return undefined;
  const size = profile.readUInt32BE(0);
  const count = profile.readUInt32BE(HEADER_BYTES);
  if (size > profile.length || profile.readUInt8(8) > 4 || count > MAX_TAGS) return undefined;
  if (HEADER_BYTES + 4 + TAG_BYTES * count > size) return undefined;
  if (!CLASSES.has(profile.toString('latin1', 12, 16))) return undefined;
  if (D50.some((value, i) => Math.abs(readFixed(profile, 68 + 4 * i) - value) >= 0.01)) return undefined;
  const tags = new Map<string, Buffer>();
  for (let i = 0; i < count; i += 1) {
    const at = HEADER_BYTES + 4 + TAG_BYTES * i;
    const start = profile.readUInt32BE(at + 4);
    const end = start + profile.readUInt32BE(at + 8);
    if (end > size) return undefined;
    tags.set(profile.toString('latin1', at, at + 4), profile.subarray(start, end));
  }
  const hasWrongCurve = CURVE_TAGS.some((name) => tags.has(name) && readCurve(tags.get(name)) === undefined);
  return hasWrongCurve ? undefined : tags;
}

function readFixed(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) / 65_536;
}

function readXyz(tag: Buffer | undefined): readonly [number, number, number] | undefined {
  if (tag === undefined || tag.length < 20 || tag.toString('latin1', 0, 4) !== 'XYZ ') return undefined;
  return [readFixed(tag, 8), readFixed(tag, 12), readFixed(tag, 16)];
}

function readCurve(tag: Buffer | undefined): Curve | undefined {
  if (tag === undefined || tag.length < 12) return undefined;
  switch (tag.toString('latin1', 0, 4)) {
    case 'curv':
      return readTable(tag);
    case 'para':
      return readParameters(tag);
    default:
      return undefined;
  }
}

function readTable(tag: Buffer): Curve | undefined {
  const count = tag.readUInt32BE(8);
  if (count === 0) return (value) => value;
  if (tag.length < 12 + 2 * count) return undefined;
  if (count === 1) {
    const gamma = tag.readUInt16BE(12) / 256;
    return (value) => value ** gamma;
  }
  return (value) => {
    const place = value * (count - 1);
    const i = Math.min(count - 2, Math.floor(place));
    const [low, high] = [tag.readUInt16BE(12 + 2 * i), tag.readUInt16BE(14 + 2 * i)];
    return (low + (high - low) * (place - i)) / 65_535;
  };
}

/** The number of parameters of each function of the ICC. */
const PARAMETERS = [1, 3, 4, 5, 7] as const;

function readParameters(tag: Buffer): Curve | undefined {
  const kind = tag.readUInt16BE(8);
  const count = PARAMETERS[kind];
  if (count === undefined || tag.length < 12 + 4 * count) return undefined;
  const p = Array.from({ length: count }, (_, i) => readFixed(tag, 12 + 4 * i));
  const [g = 1, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = p;
  if (g < 0 || (kind > 0 && a === 0)) return undefined;
  const power = (value: number) => Math.max(0, a * value + b) ** g;
  switch (kind) {
    case 0:
      return (value) => value ** g;
    case 1:
      return (value) => (value >= -b / a ? power(value) : 0);
    case 2:
      return (value) => (value >= -b / a ? power(value) : 0) + c;
    case 3:
      return (value) => (value >= d ? power(value) : c * value);
    default:
      return (value) => (value >= d ? power(value) + e : c * value + f);
  }
}
