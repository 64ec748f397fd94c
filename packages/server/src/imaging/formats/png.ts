/**
 * The header walk of PNG: copies the chunks that the pixels need. It does not check their checksums and
 * pixels: libpng does that when it decodes.
 */
import { orientationTiff, readOrientation } from './exif.ts';
import { checkBudget, checkSize, type PictureFacts, Refusal } from './limits.ts';
import { CHUNK_OVERHEAD, isIntact, PNG_SIGNATURE, pngChunk } from './png-chunk.ts';
import { type ColourChunks, collectColour, colourProfile } from './png-colour.ts';

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
  const colour: ColourChunks = {};
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
      // Apple's variant of PNG, which no browser shows.
      if (type === 'CgBI') {
        throw new Refusal(
          'the PNG file was changed by Xcode for an iOS app: send the file from before the build',
        );
      }
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
        chunks.push(hasRows ? whole : withFullWindow(whole));
        hasRows = true;
        break;
      case 'PLTE':
        if (hasRows || hasPalette) break;
        hasPalette = true;
        chunks.push(wholeColours(whole));
        break;
      case 'tRNS':
        // Browsers show such a picture without its transparency.
        if (hasRows || hasTransparency || !isIntact(whole)) break;
        hasTransparency = true;
        chunks.push(whole);
        break;
      case 'eXIf':
        // libpng allows this chunk after the rows too. The first intact one counts, as in browsers.
        if (exif === undefined && isIntact(whole)) exif = body;
        break;
      default:
        // The pixels need no text, time and animation chunks, and no unknown ones. An unknown critical chunk
        // is dropped too: it does not change the picture, but libpng would refuse it.
        if (!hasRows) collectColour(colour, type, whole, hasPalette);
        break;
    }
  }
  if (header === undefined || !hasRows) throw incompleteFile();
  const orientation = exif === undefined ? 1 : readOrientation(exif);
  if (orientation !== 1) chunks.splice(2, 0, pngChunk('eXIf', orientationTiff(orientation)));
  // libpng requires the profile before the palette.
  const profile = colourProfile(colour, isGrey(header) ? 'grey' : 'rgb');
  if (profile !== undefined) chunks.splice(2, 0, profile);
  chunks.push(IEND);

  const alpha = header.colour === 4 || header.colour === 6 || hasTransparency;
  const { width, height } = header;
  if (header.interlaced) checkBudget(width * height * decodedBytes(header, alpha), 'interlaced');
  return {
    bytes: Buffer.concat(chunks),
    facts: {
      width,
      height,
      frames: 1,
      orientation,
      alpha,
      cmyk: false,
      ownColour: profile !== undefined && (header.depth === 16 || isGrey(header)),
    },
  };
}

/**
 * The first chunk of rows, with the largest window of zlib in its header. Some encoders write one that is too
 * small: libpng refuses it, and browsers show the picture.
 */
function withFullWindow(whole: Buffer): Buffer {
  const body = whole.subarray(8, -4);
  const method = body[0] ?? 0;
  if (body.length < 2 || (method & 15) !== 8 || method >= 0x78 || !isIntact(whole)) return whole;
  const larger = Buffer.from(body);
  // The largest window, with the check bits that belong to it.
  larger.writeUInt16BE(0x7801, 0);
  return pngChunk('IDAT', larger);
}

/** The palette without the rest of a colour at its end. libpng refuses such a rest. */
function wholeColours(whole: Buffer): Buffer {
  const body = whole.subarray(8, -4);
  const rest = body.length % 3;
  return rest === 0 || !isIntact(whole) ? whole : pngChunk('PLTE', body.subarray(0, body.length - rest));
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

function isGrey({ colour }: Header): boolean {
  return colour === 0 || colour === 4;
}

/** Bytes that libvips holds for one pixel. */
function decodedBytes(header: Header, alpha: boolean): number {
  return ((isGrey(header) ? 1 : 3) + (alpha ? 1 : 0)) * (header.depth === 16 ? 2 : 1);
}

function incompleteFile(): Refusal {
  return new Refusal('the PNG file is incomplete or damaged');
}
