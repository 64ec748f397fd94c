/**
 * The colours of pictures that sharp converts wrongly. It makes Display P3 of 16 bits, and takes it for sRGB.
 * littlecms is exact only for RGB of 8 bits. Figures: docs/adr/0045.
 */
import { deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { type Curve, type MatrixProfile, readGreyCurve, readMatrixProfile } from '../formats/icc.ts';
import { type CheckedPicture, MAX_PIXELS } from '../formats/limits.ts';
import { invert, matrixToXyz, multiply, SRGB_PRIMARIES } from '../formats/matrix.ts';
import { PNG_SIGNATURE, pngChunk } from '../formats/png-chunk.ts';
import { openPicture, runPipeline } from './picture.ts';

/** The largest value of 16 bits. */
const MAX = 65_535;

/** RGB pixels of the probe: dark ones show another curve, saturated ones show other primaries. */
const PROBE = Buffer.from([
  ...[16, 16, 16, 64, 64, 64, 128, 128, 128, 255, 255, 255],
  ...[200, 40, 40, 40, 200, 40, 40, 40, 200, 255, 0, 0],
]);

/** A conversion that changes nothing may change the values of the probe by so much. */
const PROBE_TOLERANCE = 1;

const SRGB_TO_XYZ = matrixToXyz(SRGB_PRIMARIES) ?? [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

/** 8-bit values of sRGB by linear light of 16 bits. */
let encoded: Uint8Array | undefined;

/**
 * Converts a picture with `ownColour` to 8-bit sRGB.
 * @param prepare scales, crops and turns the picture, before its colours are converted
 * @throws Refusal if the pixels do not decode.
 */
export async function convertColour(
  picture: CheckedPicture,
  prepare: (image: Sharp) => Sharp,
): Promise<Sharp> {
  const { icc, space } = await openPicture(picture, {}).metadata();
  const isDeep = space === 'grey16' || space === 'rgb16';
  const isGrey = space === 'grey16' || space === 'b-w';
  const profile = icc && (isGrey ? greyAsMatrix(readGreyCurve(icc)) : readMatrixProfile(icc));
  const image = prepare(openPicture(picture, { ignoreIcc: true })).toColourspace(isDeep ? 'rgb16' : 'srgb');
  // This converts from the embedded profile, although it was ignored before. If littlecms cannot use it,
  // sharp takes the pixels for Display P3.
  const hasTable = icc !== undefined && profile === undefined && !isGrey;
  if (hasTable && (await changesColours(icc))) image.withIccProfile('srgb');
  const { data, info } = await runPipeline(picture, image.raw({ depth: isDeep ? 'ushort' : 'uchar' }));
  const { width, height, channels } = info;
  const values = isDeep ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data;
  const bytes = profile === undefined ? toBytes(values) : convert(values, channels === 4, profile);
  return sharp(bytes, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS });
}

/** Pixels of 8 or 16 bits. */
type Values = Uint8Array | Uint16Array;

function largestOf(values: Values): number {
  return values instanceof Uint16Array ? MAX : 255;
}

function greyAsMatrix(curve: Curve | undefined): MatrixProfile | undefined {
  return curve && { curves: [curve, curve, curve], toXyz: SRGB_TO_XYZ };
}

/** True if littlecms can use the profile and it is not the one of sRGB. */
async function changesColours(profile: Buffer): Promise<boolean> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(PROBE.length / 3, 0);
  header.writeUInt32BE(1, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const probe = Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', header),
    pngChunk('iCCP', Buffer.concat([Buffer.from('icc\0\0', 'latin1'), deflateSync(profile)])),
    pngChunk('IDAT', deflateSync(Buffer.concat([Buffer.alloc(1), PROBE]))),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
  const { data, info } = await sharp(probe).raw().toBuffer({ resolveWithObject: true });
  return info.channels === 3 && data.some((value, i) => Math.abs(value - (PROBE[i] ?? 0)) > PROBE_TOLERANCE);
}

function toBytes(values: Values): Buffer {
  const step = largestOf(values) / 255;
  const bytes = Buffer.allocUnsafe(values.length);
  for (let i = 0; i < values.length; i += 1) bytes[i] = Math.round((values[i] ?? 0) / step);
  return bytes;
}

/** Converts RGB pixels with or without alpha. Alpha is only rounded. */
function convert(values: Values, alpha: boolean, { curves, toXyz }: MatrixProfile): Buffer {
  const largest = largestOf(values);
  const [reds, greens, blues] = tabulate(curves, largest);
  const [r, g, b] = multiply(invert(SRGB_TO_XYZ) ?? SRGB_TO_XYZ, toXyz);
  const srgb = encoded ?? encodeTable();
  const bytes = Buffer.allocUnsafe(values.length);
  const step = alpha ? 4 : 3;
  for (let i = 0; i < values.length; i += step) {
    const red = reds[values[i] ?? 0] ?? 0;
    const green = greens[values[i + 1] ?? 0] ?? 0;
    const blue = blues[values[i + 2] ?? 0] ?? 0;
    bytes[i] = srgb[clamp(r[0] * red + r[1] * green + r[2] * blue)] ?? 0;
    bytes[i + 1] = srgb[clamp(g[0] * red + g[1] * green + g[2] * blue)] ?? 0;
    bytes[i + 2] = srgb[clamp(b[0] * red + b[1] * green + b[2] * blue)] ?? 0;
    if (alpha) bytes[i + 3] = Math.round((255 * (values[i + 3] ?? 0)) / largest);
  }
  return bytes;
}

function clamp(light: number): number {
  return light <= 0 ? 0 : light >= MAX ? MAX : Math.round(light);
}

/** Light of 16 bits by value. */
function tabulate(
  curves: MatrixProfile['curves'],
  largest: number,
): readonly [Float32Array, Float32Array, Float32Array] {
  const table = (curve: Curve) =>
    Float32Array.from(
      { length: largest + 1 },
      (_, value) => MAX * Math.min(1, Math.max(0, curve(value / largest))),
    );
  const [red, green, blue] = curves;
  return [table(red), table(green), table(blue)];
}

function encodeTable(): Uint8Array {
  encoded = new Uint8Array(MAX + 1);
  for (let light = 0; light <= MAX; light += 1) {
    const linear = light / MAX;
    const value = linear <= 0.003_130_8 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
    encoded[light] = Math.round(255 * value);
  }
  return encoded;
}
