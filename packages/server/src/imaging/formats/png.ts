/**
 * The header walk of PNG: copies the chunks that the pixels need. It does not check their checksums and
 * pixels: libpng does that when it decodes.
 */
import { inflateSync } from 'node:zlib';
import { orientationTiff, readOrientation } from './exif.ts';
import { checkBudget, checkSize, MAX_PROFILE_BYTES, type PictureFacts, Refusal } from './limits.ts';
import { CHUNK_OVERHEAD, isIntact, PNG_SIGNATURE, pngChunk } from './png-chunk.ts';

const MAX_CHUNKS = 20_000;

const IEND = pngChunk('IEND', Buffer.alloc(0));

/** Bit depths by colour type, as the PNG specification allows them. */
const BIT_DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  readonly interlaced: boolean;
}

/**
 * @param file that starts with the signature
 * @throws Refusal
 */
export function walkPng(file: Buffer): { bytes: Buffer; facts: PictureFacts } {
  const chunks: Buffer[] = [PNG_SIGNATURE];
  let header: Header | undefined;
  let exif: Buffer | undefined;
  let hasPalette = false;
  let hasTransparency = false;
  let hasRows = false;
  let hasProfile = false;
  let profile: Buffer | undefined;
  let count = 0;

  for (let at = PNG_SIGNATURE.length; at < file.length; ) {
    count += 1;
    if (count > MAX_CHUNKS) throw new Refusal(`the file has more than ${MAX_CHUNKS} PNG chunks`);
    if (file.length - at < CHUNK_OVERHEAD) throw incompleteFile();
    const length = file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    const end = at + CHUNK_OVERHEAD + length;
    if (end > file.length) throw incompleteFile();
    const whole = file.subarray(at, end);
    const body = file.subarray(at + 8, end - 4);
    at = end;

    if (header === undefined) {
      if (type !== 'IHDR') throw new Refusal('the PNG header is missing');
      header = readHeader(body);
      chunks.push(whole);
      continue;
    }
    if (type === 'IEND') break;
    switch (type) {
      case 'IHDR':
        throw new Refusal('the file has more than one PNG header');
      case 'IDAT':
        // The profile must come before the rows.
        if (!hasRows && profile !== undefined) chunks.push(profile);
        hasRows = true;
        chunks.push(whole);
        break;
      case 'PLTE':
        if (hasRows || hasPalette) break;
        hasPalette = true;
        // libpng requires the profile before the palette.
        if (profile !== undefined) chunks.push(profile);
        profile = undefined;
        chunks.push(whole);
        break;
      case 'tRNS':
        if (hasRows || hasTransparency) break;
        hasTransparency = true;
        chunks.push(whole);
        break;
      case 'iCCP':
        // Only the first is read: thousands fit into a file, and each takes a millisecond to inflate. A
        // damaged one is dropped.
        if (!hasRows && !hasPalette && !hasProfile && isIntact(whole) && isSmallProfile(body))
          profile = whole;
        hasProfile = true;
        break;
      case 'eXIf':
        // libpng allows this chunk after the rows too. The first intact one counts, as in browsers.
        if (exif === undefined && isIntact(whole)) exif = body;
        break;
      default:
        // The pixels need no text, time, gamma and animation chunks, and no unknown ones. An unknown critical
        // chunk is dropped too: it does not change the picture, but libpng would refuse it.
        break;
    }
  }
  if (header === undefined || !hasRows) throw incompleteFile();
  const orientation = exif === undefined ? 1 : readOrientation(exif);
  if (orientation !== 1) chunks.splice(2, 0, pngChunk('eXIf', orientationTiff(orientation)));
  chunks.push(IEND);

  const alpha = header.colour === 4 || header.colour === 6 || hasTransparency;
  const { width, height } = header;
  if (header.interlaced) checkBudget(width * height * decodedBytes(header, alpha), 'interlaced');
  return {
    bytes: Buffer.concat(chunks),
    facts: { width, height, frames: 1, orientation, alpha, cmyk: false },
  };
}

function readHeader(body: Buffer): Header {
  if (body.length !== 13) throw new Refusal('the PNG header is damaged');
  const width = body.readUInt32BE(0);
  const height = body.readUInt32BE(4);
  checkSize(width, height, 1);
  const depth = body.readUInt8(8);
  const colour = body.readUInt8(9);
  const interlace = body.readUInt8(12);
  if (BIT_DEPTHS[colour]?.includes(depth) !== true || interlace > 1) {
    throw new Refusal(
      `the PNG header is damaged: colour type ${colour}, ${depth} bits, interlace method ${interlace}`,
    );
  }
  return { width, height, depth, colour, interlaced: interlace === 1 };
}

/** Bytes that libvips holds for one pixel. */
function decodedBytes(header: Header, alpha: boolean): number {
  const colours = header.colour === 0 || header.colour === 4 ? 1 : 3;
  return (colours + (alpha ? 1 : 0)) * (header.depth === 16 ? 2 : 1);
}

/** True if the profile inflates to at most the limit. libpng has no limit of its own. */
function isSmallProfile(body: Buffer): boolean {
  const name = body.indexOf(0);
  if (name < 1 || name > 79 || body[name + 1] !== 0) return false;
  try {
    inflateSync(body.subarray(name + 2), { maxOutputLength: MAX_PROFILE_BYTES });
    return true;
  } catch {
    return false;
  }
}

function incompleteFile(): Refusal {
  return new Refusal('the PNG file is incomplete or damaged');
}
