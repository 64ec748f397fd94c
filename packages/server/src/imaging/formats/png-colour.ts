/**
 * The colours of a PNG, as browsers read them: cICP counts before iCCP, iCCP before sRGB, and sRGB before
 * gAMA with cHRM. They become one colour profile. Rules and figures: docs/adr/0045.
 */
import { deflateSync, inflateSync } from 'node:zlib';
import { codedProfile } from './coded-colour.ts';
import { type PixelSpace, profileForPixels } from './icc.ts';
import { greyProfile, rgbProfile } from './icc-write.ts';
import { MAX_PROFILE_BYTES } from './limits.ts';
import { type Primaries, SRGB_PRIMARIES } from './matrix.ts';
import { isIntact, pngChunk } from './png-chunk.ts';

type ColourChunk = 'cICP' | 'iCCP' | 'sRGB' | 'gAMA' | 'cHRM';

const COLOUR_CHUNKS: ReadonlySet<string> = new Set<ColourChunk>(['cICP', 'iCCP', 'sRGB', 'gAMA', 'cHRM']);

/** gAMA and cHRM count in this unit. */
const UNIT = 100_000;

/** Of a file that says nothing more than this gAMA, within 5 %, the colours are sRGB. */
const USUAL_GAMMA = 45_455;
const USUAL_GAMMA_TOLERANCE = 0.05;

/** The first intact chunk of each kind. The others do not count. */
export type ColourChunks = Partial<Record<ColourChunk, Buffer>>;

/**
 * Keeps the chunk if it describes colours, and is intact and the first of its kind.
 * @param whole chunk before the first IDAT
 * @param hasPalette whether PLTE came before it
 */
export function collectColour(chunks: ColourChunks, type: string, whole: Buffer, hasPalette: boolean): void {
  if (!isColourChunk(type) || chunks[type] !== undefined) return;
  if (type === 'cICP' && hasPalette) return;
  if (isIntact(whole)) chunks[type] = whole;
}

function isColourChunk(type: string): type is ColourChunk {
  return COLOUR_CHUNKS.has(type);
}

/** The iCCP chunk for the pixels. Undefined if the colours are sRGB. */
export function colourProfile(chunks: ColourChunks, pixels: PixelSpace): Buffer | undefined {
  const coded = readCodes(chunks.cICP, pixels);
  if (coded !== undefined) return coded === 'srgb' ? undefined : iccp(coded);
  const embedded = readProfile(chunks.iCCP, pixels);
  if (embedded !== undefined) return embedded;
  if (hasIntent(chunks.sRGB)) return undefined;
  const measured = readGamma(chunks, pixels);
  return measured === undefined ? undefined : iccp(measured);
}

function bodyOf(chunk: Buffer | undefined): Buffer | undefined {
  return chunk?.subarray(8, -4);
}

/** The profile for the codes of cICP. Undefined if browsers ignore them. */
function readCodes(chunk: Buffer | undefined, pixels: PixelSpace): Buffer | 'srgb' | undefined {
  const body = bodyOf(chunk);
  if (body?.length !== 4) return undefined;
  const [primaries = 0, transfer = 0, matrix, fullRange] = body;
  if (matrix !== 0 || fullRange !== 1) return undefined;
  return codedProfile(primaries, transfer, pixels);
}

function readProfile(chunk: Buffer | undefined, pixels: PixelSpace): Buffer | undefined {
  const body = bodyOf(chunk);
  if (chunk === undefined || body === undefined) return undefined;
  const name = body.indexOf(0);
  if (name < 1 || name > 79 || body[name + 1] !== 0) return undefined;
  let profile: Buffer;
  try {
    // libpng has no limit of its own.
    profile = inflateSync(body.subarray(name + 2), { maxOutputLength: MAX_PROFILE_BYTES });
  } catch {
    return undefined;
  }
  const usable = profileForPixels(profile, pixels);
  if (usable === undefined) return undefined;
  return usable === profile ? chunk : iccp(usable);
}

/** An sRGB chunk with an unknown rendering intent does not count. */
function hasIntent(chunk: Buffer | undefined): boolean {
  const body = bodyOf(chunk);
  return body?.length === 1 && body.readUInt8(0) <= 3;
}

/** The profile of gAMA and cHRM. cHRM alone does not count, and a wrong cHRM makes gAMA not count. */
function readGamma({ gAMA, cHRM }: ColourChunks, pixels: PixelSpace): Buffer | undefined {
  const body = bodyOf(gAMA);
  if (body?.length !== 4) return undefined;
  const gamma = body.readUInt32BE(0);
  if (gamma === 0) return undefined;
  const primaries = readPrimaries(cHRM);
  if (primaries === undefined && Math.abs(gamma / USUAL_GAMMA - 1) <= USUAL_GAMMA_TOLERANCE) return undefined;
  const profile = rgbProfile(primaries ?? SRGB_PRIMARIES, UNIT / gamma);
  return profile !== undefined && pixels === 'grey' ? greyProfile(UNIT / gamma) : profile;
}

function readPrimaries(chunk: Buffer | undefined): Primaries | undefined {
  const body = bodyOf(chunk);
  if (body?.length !== 32) return undefined;
  const at = (i: number): readonly [number, number] => [
    body.readUInt32BE(8 * i) / UNIT,
    body.readUInt32BE(8 * i + 4) / UNIT,
  ];
  return { white: at(0), red: at(1), green: at(2), blue: at(3) };
}

function iccp(profile: Buffer): Buffer {
  const name = Buffer.from('icc\0\0', 'latin1');
  return pngChunk('iCCP', Buffer.concat([name, deflateSync(profile, { level: 1 })]));
}
