/**
 * Owns the header walk of PNG: from untrusted bytes to a file with only the chunks that its pixels need.
 * Refuses to know the other formats, and sharp; the checksums and the pixels are libpng's to judge.
 */
import { crc32, inflateSync } from 'node:zlib';
import { orientationTiff, readOrientation } from './exif.ts';
import { checkBudget, checkSize, MAX_PROFILE_BYTES, type PictureFacts, Refusal } from './limits.ts';

export const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

const MAX_CHUNKS = 20_000;

/** Type, length and checksum. */
const CHUNK_OVERHEAD = 12;

const IEND = chunk('IEND', Buffer.alloc(0));

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

/** Walks a file that starts with the signature. Throws a Refusal. */
export function walkPng(file: Buffer): { bytes: Buffer; facts: PictureFacts } {
  const kept: Buffer[] = [PNG_SIGNATURE];
  let header: Header | undefined;
  let orientation = 1;
  let palette = false;
  let transparency = false;
  let data = false;
  let profiled = false;
  let profile: Buffer | undefined;
  let count = 0;

  for (let at = PNG_SIGNATURE.length; at < file.length; ) {
    count += 1;
    if (count > MAX_CHUNKS) throw new Refusal(`it has more than ${MAX_CHUNKS} PNG chunks`);
    if (file.length - at < CHUNK_OVERHEAD) throw cutShort();
    const length = file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    const end = at + CHUNK_OVERHEAD + length;
    if (end > file.length) throw cutShort();
    const whole = file.subarray(at, end);
    const body = file.subarray(at + 8, end - 4);
    at = end;

    if (header === undefined) {
      if (type !== 'IHDR') throw new Refusal('its PNG header is missing');
      header = readHeader(body);
      kept.push(whole);
      continue;
    }
    if (type === 'IEND') break;
    switch (type) {
      case 'IHDR':
        throw new Refusal('it has more than one PNG header');
      case 'IDAT':
        // Rows come after everything that says how to read them.
        if (!data && profile !== undefined) kept.push(profile);
        data = true;
        kept.push(whole);
        break;
      case 'PLTE':
        if (data || palette) break;
        palette = true;
        // libpng wants the profile ahead of the palette.
        if (profile !== undefined) kept.push(profile);
        profile = undefined;
        kept.push(whole);
        break;
      case 'tRNS':
        if (data || transparency) break;
        transparency = true;
        kept.push(whole);
        break;
      case 'iCCP':
        // Only the first is looked at, whatever it is: thousands fit into a file, and each takes a millisecond to inflate.
        if (!data && !palette && !profiled && isIntact(whole) && isSmallProfile(body)) profile = whole;
        profiled = true;
        break;
      case 'eXIf':
        // Also behind the rows, where libpng allows it. The first that turns the picture counts.
        if (orientation === 1 && isIntact(whole)) orientation = readOrientation(body);
        break;
      default:
        // Text, time, gamma, animation, and what nobody knows: no pixel needs it. An unknown critical chunk
        // does not make the picture another one, and libpng would refuse it.
        break;
    }
  }
  if (header === undefined || !data) throw cutShort();
  if (orientation !== 1) kept.splice(2, 0, chunk('eXIf', orientationTiff(orientation)));
  kept.push(IEND);

  const alpha = header.colour === 4 || header.colour === 6 || transparency;
  const { width, height } = header;
  if (header.interlaced) checkBudget(width * height * decodedBytes(header, alpha), 'interlaced');
  return { bytes: Buffer.concat(kept), facts: { width, height, frames: 1, orientation, alpha, cmyk: false } };
}

function readHeader(body: Buffer): Header {
  if (body.length !== 13) throw new Refusal('its PNG header is damaged');
  const width = body.readUInt32BE(0);
  const height = body.readUInt32BE(4);
  checkSize(width, height, 1);
  const depth = body.readUInt8(8);
  const colour = body.readUInt8(9);
  const interlace = body.readUInt8(12);
  if (BIT_DEPTHS[colour]?.includes(depth) !== true || interlace > 1) {
    throw new Refusal(
      `its PNG header is damaged: colour type ${colour}, ${depth} bits, interlace method ${interlace}`,
    );
  }
  return { width, height, depth, colour, interlaced: interlace === 1 };
}

/** Bytes of one pixel as libvips holds it. */
function decodedBytes(header: Header, alpha: boolean): number {
  const colours = header.colour === 0 || header.colour === 4 ? 1 : 3;
  return (colours + (alpha ? 1 : 0)) * (header.depth === 16 ? 2 : 1);
}

/** Whether the checksum holds. A chunk that is not needed is dropped rather than refused with the picture. */
function isIntact(whole: Buffer): boolean {
  return crc32(whole.subarray(4, whole.length - 4)) === whole.readUInt32BE(whole.length - 4);
}

/** Whether the profile inflates, to no more than the limit: libpng would inflate any of them. */
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

function chunk(type: string, body: Buffer): Buffer {
  const whole = Buffer.alloc(CHUNK_OVERHEAD + body.length);
  whole.writeUInt32BE(body.length, 0);
  whole.write(type, 4, 'latin1');
  body.copy(whole, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, whole.length - 4)), whole.length - 4);
  return whole;
}

function cutShort(): Refusal {
  return new Refusal('the PNG file is cut short or damaged');
}
