/**
 * The header walk of WebP: copies the chunks that the pixels need. It does not check the bitstreams: libwebp
 * does that when it decodes.
 */
import { orientationTiff, readOrientation } from './exif.ts';
import { profileForPixels } from './icc.ts';
import { checkBudget, checkSize, MAX_PROFILE_BYTES, type PictureFacts, Refusal } from './limits.ts';

const MAX_CHUNKS = 20_000;

/** Bytes of the type and the length. */
const CHUNK_HEADER = 8;
const FRAME_HEADER = 16;

const FLAG_ICC = 0x20;
const FLAG_ALPHA = 0x10;
const FLAG_EXIF = 0x08;
const FLAG_ANIMATION = 0x02;

/** Bytes that libvips and libwebp hold for one pixel, as measured. They decode a still picture at once. */
const STILL_BYTES = 7.5;
/**
 * Bytes for one pixel of an animation: of the canvas with one frame on it, and of each frame. The larger of
 * the two counts.
 */
const CANVAS_BYTES = 8;
const FRAME_BYTES = 4;

interface Chunk {
  readonly type: string;
  readonly body: Buffer;
}

interface Bitstream {
  readonly width: number;
  readonly height: number;
  readonly alpha: boolean;
}

/**
 * @param file that starts with `RIFF????WEBP`
 * @throws Refusal
 */
export function walkWebp(file: Buffer): { bytes: Buffer; facts: PictureFacts } {
  if (file.length < 12) throw incompleteFile();
  const end = 8 + file.readUInt32LE(4);
  // Some encoders leave out the last padding byte. Bytes after the end are dropped.
  if (end > file.length + 1) throw incompleteFile();
  const chunks = readChunks(file.subarray(12, Math.min(end, file.length)));
  const first = chunks[0];
  if (first === undefined) throw incompleteFile();
  if (first.type === 'VP8X') return walkExtended(first.body, chunks.slice(1));
  const { width, height, alpha } = readBitstream(first);
  checkStill(width, height);
  return {
    bytes: riff([chunk(first.type, first.body)]),
    facts: { width, height, frames: 1, orientation: 1, alpha, cmyk: false, ownColour: false },
  };
}

function walkExtended(header: Buffer, chunks: readonly Chunk[]): { bytes: Buffer; facts: PictureFacts } {
  if (header.length < 10) throw incompleteFile();
  const flags = header.readUInt8(0);
  const width = 1 + header.readUIntLE(4, 3);
  const height = 1 + header.readUIntLE(7, 3);
  const embedded = chunks.find(({ type, body }) => type === 'ICCP' && body.length <= MAX_PROFILE_BYTES);
  const profile = embedded && profileForPixels(embedded.body, 'rgb');
  const animated = (flags & FLAG_ANIMATION) !== 0;
  const picture = animated ? walkFrames(chunks, width, height) : walkStill(chunks, width, height);
  const exif = animated ? undefined : chunks.find(({ type }) => type === 'EXIF');
  const orientation = exif === undefined ? 1 : readOrientation(exif.body);
  const alpha = picture.alpha || (flags & FLAG_ALPHA) !== 0;

  const extended = Buffer.alloc(10);
  extended.writeUInt8(
    (profile === undefined ? 0 : FLAG_ICC) |
      (alpha ? FLAG_ALPHA : 0) |
      (orientation === 1 ? 0 : FLAG_EXIF) |
      (animated ? FLAG_ANIMATION : 0),
  );
  header.copy(extended, 4, 4, 10);
  const output = [chunk('VP8X', extended)];
  if (profile !== undefined) output.push(chunk('ICCP', profile));
  output.push(...picture.chunks);
  if (orientation !== 1) output.push(chunk('EXIF', orientationTiff(orientation)));
  return {
    bytes: riff(output),
    facts: { width, height, frames: picture.frames, orientation, alpha, cmyk: false, ownColour: false },
  };
}

/** The chunks that the pixels need, to be written into the new file. */
interface PixelChunks {
  readonly chunks: readonly Buffer[];
  readonly frames: number;
  readonly alpha: boolean;
}

function walkStill(chunks: readonly Chunk[], width: number, height: number): PixelChunks {
  checkStill(width, height);
  const bitstream = chunks.find(isBitstream);
  if (bitstream === undefined) throw incompleteFile();
  const read = readBitstream(bitstream);
  if (read.width !== width || read.height !== height) {
    throw new Refusal(
      `the WebP canvas is ${width} x ${height} pixels, but the picture in it is ${read.width} x ${read.height}: the sizes must be equal`,
    );
  }
  const alpha = bitstream.type === 'VP8 ' ? chunks.find(({ type }) => type === 'ALPH') : undefined;
  const output = [chunk(bitstream.type, bitstream.body)];
  if (alpha !== undefined) output.unshift(chunk('ALPH', alpha.body));
  return { chunks: output, frames: 1, alpha: read.alpha || alpha !== undefined };
}

function walkFrames(chunks: readonly Chunk[], width: number, height: number): PixelChunks {
  const frames = chunks.filter(({ type }) => type === 'ANMF');
  if (frames.length === 0) throw incompleteFile();
  checkSize(width, height, frames.length);
  checkBudget(width * height * Math.max(CANVAS_BYTES, FRAME_BYTES * frames.length), 'an animation');
  const animation = chunks.find(({ type, body }) => type === 'ANIM' && body.length >= 6);
  const output = [chunk('ANIM', animation?.body.subarray(0, 6) ?? Buffer.alloc(6))];
  let alpha = false;
  for (const { body } of frames) {
    const frame = walkFrame(body, width, height);
    alpha ||= frame.alpha;
    output.push(chunk('ANMF', frame.body));
  }
  return { chunks: output, frames: frames.length, alpha };
}

function walkFrame(
  body: Buffer,
  canvasWidth: number,
  canvasHeight: number,
): { body: Buffer; alpha: boolean } {
  if (body.length < FRAME_HEADER) throw incompleteFile();
  const left = 2 * body.readUIntLE(0, 3);
  const top = 2 * body.readUIntLE(3, 3);
  const width = 1 + body.readUIntLE(6, 3);
  const height = 1 + body.readUIntLE(9, 3);
  const covers = left === 0 && top === 0 && width === canvasWidth && height === canvasHeight;
  const parts = readChunks(body.subarray(FRAME_HEADER));
  const bitstream = parts.find(isBitstream);
  if (bitstream === undefined) throw incompleteFile();
  const read = readBitstream(bitstream);
  if (
    left + width > canvasWidth ||
    top + height > canvasHeight ||
    read.width !== width ||
    read.height !== height
  ) {
    throw new Refusal('a WebP frame is outside of the canvas, or its size is not the size in its header');
  }
  const alpha = bitstream.type === 'VP8 ' ? parts.find(({ type }) => type === 'ALPH') : undefined;
  const output = [body.subarray(0, FRAME_HEADER)];
  if (alpha !== undefined) output.push(chunk('ALPH', alpha.body));
  output.push(chunk(bitstream.type, bitstream.body));
  // Where a frame does not cover the canvas, the transparent canvas may be visible.
  return { body: Buffer.concat(output), alpha: read.alpha || alpha !== undefined || !covers };
}

/**
 * The file with the alpha flag in its header if a part of the canvas is transparent. The encoder sets it only
 * if a frame itself has alpha. Viewers that trust the flag would show the uncovered canvas opaque.
 * @param file animation that libwebp wrote
 */
export function withAlphaFlag(file: Buffer): Buffer {
  const [header, ...chunks] = readChunks(file.subarray(12));
  if (header?.type !== 'VP8X' || header.body.length < 10) return file;
  const flags = header.body.readUInt8(0);
  if ((flags & FLAG_ALPHA) !== 0 || (flags & FLAG_ANIMATION) === 0) return file;
  const width = 1 + header.body.readUIntLE(4, 3);
  const height = 1 + header.body.readUIntLE(7, 3);
  const frames = chunks.filter(({ type, body }) => type === 'ANMF' && body.length >= FRAME_HEADER);
  const shows = frames.some(({ body }, i) => {
    const covers = 1 + body.readUIntLE(6, 3) === width && 1 + body.readUIntLE(9, 3) === height;
    // The canvas is transparent before the first frame, and where a frame is cleared after its time.
    const before = frames[i - 1];
    return !covers && (before === undefined || (before.body.readUInt8(15) & 1) !== 0);
  });
  if (!shows) return file;
  const marked = Buffer.from(file);
  marked.writeUInt8(flags | FLAG_ALPHA, 12 + CHUNK_HEADER);
  return marked;
}

function checkStill(width: number, height: number): void {
  checkSize(width, height, 1);
  checkBudget(width * height * STILL_BYTES, 'a WebP of that size');
}

/** Splits a list of chunks. The last one may be without its padding byte. */
function readChunks(list: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 0; list.length - at >= CHUNK_HEADER; ) {
    if (chunks.length === MAX_CHUNKS) throw new Refusal(`the file has more than ${MAX_CHUNKS} WebP chunks`);
    const type = list.toString('latin1', at, at + 4);
    const length = list.readUInt32LE(at + 4);
    const start = at + CHUNK_HEADER;
    if (start + length > list.length) throw incompleteFile();
    chunks.push({ type, body: list.subarray(start, start + length) });
    at = start + length + (length % 2);
  }
  return chunks;
}

/** True if the pixels of a still file are stored without loss. @param file that passed the header walk */
export function isLosslessWebp(file: Buffer): boolean {
  return readChunks(file.subarray(12)).some(({ type }) => type === 'VP8L');
}

function isBitstream({ type }: Chunk): boolean {
  return type === 'VP8 ' || type === 'VP8L';
}

function readBitstream({ type, body }: Chunk): Bitstream {
  if (type === 'VP8 ') {
    // A key frame has a tag of three bytes with the lowest bit clear, the start code, and two sides of 14
    // bits.
    if (body.length < 10 || (body.readUInt8(0) & 1) !== 0 || body.readUIntBE(3, 3) !== 0x9d012a)
      throw incompleteFile();
    return { width: body.readUInt16LE(6) & 0x3fff, height: body.readUInt16LE(8) & 0x3fff, alpha: false };
  }
  if (type === 'VP8L') {
    if (body.length < 5 || body.readUInt8(0) !== 0x2f) throw incompleteFile();
    const bits = body.readUInt32LE(1);
    return {
      width: 1 + (bits & 0x3fff),
      height: 1 + ((bits >>> 14) & 0x3fff),
      alpha: ((bits >>> 28) & 1) === 1,
    };
  }
  throw incompleteFile();
}

function chunk(type: string, body: Buffer): Buffer {
  const whole = Buffer.alloc(CHUNK_HEADER + body.length + (body.length % 2));
  whole.write(type, 0, 'latin1');
  whole.writeUInt32LE(body.length, 4);
  body.copy(whole, CHUNK_HEADER);
  return whole;
}

function riff(chunks: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from('WEBP', 'latin1'), ...chunks]);
  const head = Buffer.alloc(8);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
}

function incompleteFile(): Refusal {
  return new Refusal('the WebP file is incomplete or damaged');
}
