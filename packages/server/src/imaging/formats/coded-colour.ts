/**
 * Colours by the code points of ITU-T H.273, as cICP names them. HDR is mapped to the range of a display
 * without HDR, as Chromium does it: docs/adr/0045.
 */
import type { PixelSpace } from './icc.ts';
import { greyProfile, rgbProfile, SRGB_CURVE, type ToneCurve, tableProfile } from './icc-write.ts';
import {
  apply,
  invert,
  matrixToXyz,
  multiply,
  type Primaries,
  SRGB_PRIMARIES,
  type Triple,
} from './matrix.ts';

const D65 = [0.3127, 0.329] as const;
const ILLUMINANT_C = [0.31, 0.316] as const;

/** The primaries of BT.2020. HDR is compressed in them, for pixels of all primaries. */
const WIDE: Primaries = { white: D65, red: [0.708, 0.292], green: [0.17, 0.797], blue: [0.131, 0.046] };

/** By code. 1 is BT.709 and sRGB, 9 is BT.2020, 12 is Display P3. */
const PRIMARIES: Readonly<Record<number, Primaries>> = {
  1: SRGB_PRIMARIES,
  4: { white: ILLUMINANT_C, red: [0.67, 0.33], green: [0.21, 0.71], blue: [0.14, 0.08] },
  5: { white: D65, red: [0.64, 0.33], green: [0.29, 0.6], blue: [0.15, 0.06] },
  6: { white: D65, red: [0.63, 0.34], green: [0.31, 0.595], blue: [0.155, 0.07] },
  7: { white: D65, red: [0.63, 0.34], green: [0.31, 0.595], blue: [0.155, 0.07] },
  8: { white: ILLUMINANT_C, red: [0.681, 0.319], green: [0.243, 0.692], blue: [0.145, 0.049] },
  9: WIDE,
  10: { white: [1 / 3, 1 / 3], red: [1, 0], green: [0, 1], blue: [0, 0] },
  11: { white: [0.314, 0.351], red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06] },
  12: { white: D65, red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06] },
  22: { white: D65, red: [0.63, 0.34], green: [0.295, 0.605], blue: [0.155, 0.077] },
};

/** By code. Those of cameras (1, 6, 11, 14, 15) are shown with the curve of a display, BT.1886. */
const CURVES: Readonly<Record<number, ToneCurve>> = {
  1: 2.4,
  4: 2.2,
  5: 2.8,
  6: 2.4,
  7: [1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913],
  8: 1,
  11: 2.4,
  13: SRGB_CURVE,
  14: 2.4,
  15: 2.4,
  17: [2.6, (52.37 / 48) ** (1 / 2.6), 0, 0, 0],
};

const PQ = 16;
const HLG = 18;

/** The luminance of white on a display without HDR, in nits. Light is relative to it. */
const REFERENCE_WHITE = 203;

/** The brightest light that keeps its differences, in nits. PQ goes to 10 000. */
const PEAK = 1_000;

const POINTS_OF_CURVE = 4_096;

/** Profiles by their codes: a table takes 20 ms. */
const profiles = new Map<string, Buffer | undefined>();

/**
 * The profile for these codes. `srgb` if they mean sRGB, and undefined for codes that browsers do not know.
 */
export function codedProfile(
  primaries: number,
  transfer: number,
  pixels: PixelSpace,
): Buffer | 'srgb' | undefined {
  const place = PRIMARIES[primaries];
  if (place === undefined) return undefined;
  if (transfer === 13 && (primaries === 1 || pixels === 'grey')) return 'srgb';
  const curve = CURVES[transfer];
  if (curve === undefined && transfer !== PQ && transfer !== HLG) return undefined;
  const key = `${primaries} ${transfer} ${pixels}`;
  let profile = profiles.get(key);
  if (profile === undefined) {
    if (curve === undefined) profile = hdrProfile(place, transfer, pixels);
    else profile = pixels === 'grey' ? greyProfile(curve) : rgbProfile(place, curve);
    profiles.set(key, profile);
  }
  return profile;
}

function hdrProfile(primaries: Primaries, transfer: number, pixels: PixelSpace): Buffer | undefined {
  const toXyz = matrixToXyz(primaries);
  const wideToXyz = matrixToXyz(WIDE);
  const fromXyz = wideToXyz && invert(wideToXyz);
  if (toXyz === undefined || wideToXyz === undefined || fromXyz === undefined) return undefined;
  const toWide = multiply(fromXyz, toXyz);
  const shown = ([red, green, blue]: Triple): Triple =>
    transfer === PQ
      ? compress(apply(toWide, [pqValue(red), pqValue(green), pqValue(blue)]))
      : compress(brighten(apply(toWide, [hlgValue(red), hlgValue(green), hlgValue(blue)])));
  if (pixels === 'grey') {
    const curve = new Float64Array(POINTS_OF_CURVE);
    for (const i of curve.keys()) {
      const value = i / (POINTS_OF_CURVE - 1);
      curve[i] = shown([value, value, value])[1];
    }
    return greyProfile(curve);
  }
  return tableProfile((pixel) => apply(wideToXyz, shown(pixel)));
}

/** Light of a PQ value (SMPTE ST 2084). 1 is the white of a display without HDR. */
function pqValue(value: number): number {
  const power = value ** (1 / 78.843_75);
  const ratio = Math.max(0, power - 0.835_937_5) / (18.851_562_5 - 18.6875 * power);
  return (10_000 / REFERENCE_WHITE) * ratio ** (1 / 0.159_301_757_812_5);
}

/** Light in front of the camera of an HLG value (BT.2100), from 0 to 1. */
function hlgValue(value: number): number {
  return value <= 0.5
    ? value ** 2 / 3
    : (Math.exp((value - 0.559_910_73) / 0.178_832_77) + 0.284_668_92) / 12;
}

/** From the light of HLG in front of the camera to that of a display with a peak of 1 000 nits. */
function brighten([red, green, blue]: Triple): Triple {
  const luminance = Math.max(0, 0.2627 * red + 0.678 * green + 0.0593 * blue);
  const gain = (PEAK / REFERENCE_WHITE) * luminance ** 0.2;
  return [red * gain, green * gain, blue * gain];
}

/**
 * Maps light up to the peak to 0..1. It keeps the hue: the brightest of the three decides the gain. Up to the
 * reference white it halves the light. From there a parabola leads to the peak (SMPTE ST 2094-50).
 */
function compress([red, green, blue]: Triple): Triple {
  const brightest = Math.max(red, green, blue);
  if (brightest <= 0) return [0, 0, 0];
  const gain = compressed(brightest) / brightest;
  return [red * gain, green * gain, blue * gain];
}

function compressed(light: number): number {
  const peak = PEAK / REFERENCE_WHITE;
  if (light <= 1) return light / 2;
  if (light >= peak) return 1;
  // The parabola starts at (1, 0.5), aims at (1.65, 0.825), and ends at the peak.
  const a = 1 - 2 * 1.65 + peak;
  const b = 2 * (1.65 - 1);
  const t = (-b + Math.sqrt(b * b - 4 * a * (1 - light))) / (2 * a);
  return (1 - t) ** 2 * 0.5 + 2 * t * (1 - t) * 0.825 + t * t;
}
