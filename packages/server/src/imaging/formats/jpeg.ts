/**
 * The header walk of JPEG: copies the segments that the pixels need. It does not check tables and
 * entropy-coded data: libjpeg does that when it decodes.
 */
import { hasJpegPrefix, orientationTiff, readOrientation } from './exif.ts';
import { type PixelSpace, profileForPixels } from './icc.ts';
import { checkBudget, checkSize, MAX_PROFILE_BYTES, type PictureFacts, Refusal } from './limits.ts';

/** Encoders write about 10 scans. A scan costs 0.2 ms for each megapixel, and 2 770 scans fit into 640 kB. */
const MAX_SCANS = 64;

const MAX_SEGMENTS = 2_000;

const SOI = Buffer.from([0xff, 0xd8]);
const EOI = Buffer.from([0xff, 0xd9]);

/** JFIF of version 1.1 without a density and without a thumbnail. It says that the colours are YCbCr. */
const JFIF = Buffer.from([0xff, 0xe0, 0, 16, ...Buffer.from('JFIF\0'), 1, 1, 0, 0, 1, 0, 1, 0, 0]);

const M_SOI = 0xd8;
const M_EOI = 0xd9;
const M_SOS = 0xda;
const M_APP0 = 0xe0;
const M_APP1 = 0xe1;
const M_APP2 = 0xe2;
const M_APP14 = 0xee;

/**
 * Huffman tables, quantisation tables and restart intervals. Not the number of lines (DNL): libjpeg skips
 * it.
 */
const TABLES: ReadonlySet<number> = new Set([0xc4, 0xdb, 0xdd]);

const PROFILE_NAME = Buffer.from('ICC_PROFILE\0', 'latin1');

/** Bytes of a profile in one segment. */
const MAX_PROFILE_PART = 65_519;

/** By the number of components. */
const PIXELS: Readonly<Record<number, PixelSpace>> = { 1: 'grey', 3: 'rgb', 4: 'cmyk' };

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly progressive: boolean;
  /** Bytes of the coefficients of one pixel, for all components, with subsampling. */
  readonly coefficientBytes: number;
}

/**
 * @param file that starts with SOI
 * @throws Refusal
 */
export function walkJpeg(file: Buffer): { bytes: Buffer; facts: PictureFacts } {
  const parts: Buffer[] = [SOI];
  let frame: Frame | undefined;
  let exif: Buffer | undefined;
  const profileParts: Buffer[] = [];
  let hasJfif = false;
  let adobeTransform: number | undefined;
  let isBuffered = false;
  let segments = 0;
  let scans = 0;
  let hasEnd = false;

  for (let at = SOI.length; ; ) {
    const next = findMarker(file, at);
    // A missing end marker is not added: without it the decoder notices that scans are missing.
    if (next === undefined) break;
    const { marker } = next;
    if (marker === M_EOI) {
      hasEnd = true;
      break;
    }
    if (marker === M_SOI) throw new Refusal('the file has a second JPEG start marker');
    segments += 1;
    if (segments > MAX_SEGMENTS) throw new Refusal(`the file has more than ${MAX_SEGMENTS} JPEG segments`);
    const start = next.at;
    if (start + 4 > file.length) throw incompleteFile();
    const length = file.readUInt16BE(start + 2);
    let end = start + 2 + length;
    if (length < 2 || end > file.length) throw incompleteFile();
    const body = file.subarray(start + 4, end);

    if (isFrame(marker)) {
      if (frame !== undefined) throw new Refusal('the file has more than one JPEG frame header');
      frame = readFrame(marker, body);
      parts.push(file.subarray(start, end));
    } else if (marker === M_SOS) {
      if (frame === undefined) throw new Refusal('the JPEG frame header is missing');
      scans += 1;
      if (scans > MAX_SCANS) throw new Refusal(`the file has more than ${MAX_SCANS} JPEG scans`);
      if (frame.progressive || body[0] !== frame.components) isBuffered = true;
      const data = end;
      end = endOfScan(file, data);
      parts.push(scanHeader(file.subarray(start, data), frame), file.subarray(data, end));
    } else if (TABLES.has(marker)) {
      parts.push(file.subarray(start, end));
    } else if (marker === M_APP0 && !hasJfif && isJfif(body)) {
      hasJfif = true;
      parts.push(JFIF);
    } else if (marker === M_APP1 && scans === 0 && hasJpegPrefix(body) && body.length > 6) {
      // The first block counts, as in browsers. A later one may be of an embedded or edited picture.
      exif ??= body.subarray(6);
    } else if (marker === M_APP2 && scans === 0 && body.subarray(0, 12).equals(PROFILE_NAME)) {
      profileParts.push(body.subarray(12));
    } else if (marker === M_APP14 && scans === 0 && isAdobe(body)) {
      // libjpeg lets the last one before the pixels count.
      adobeTransform = body.readUInt8(11);
    }
    at = end;
  }
  if (frame === undefined || scans === 0) throw incompleteFile();
  const profile = joinProfile(profileParts);
  const usable = profile && profileForPixels(profile, PIXELS[frame.components] ?? 'rgb');
  if (usable !== undefined) parts.splice(hasJfif ? 2 : 1, 0, ...profileSegments(usable));
  const orientation = exif === undefined ? 1 : readOrientation(exif);
  if (orientation !== 1) parts.splice(hasJfif ? 2 : 1, 0, exifSegment(orientation));
  if (adobeTransform !== undefined) parts.splice(1, 0, adobeSegment(adobeTransform, frame.components));
  if (hasEnd) parts.push(EOI);

  const { width, height, components } = frame;
  if (isBuffered) checkBudget(width * height * frame.coefficientBytes, 'a JPEG in several scans');
  return {
    bytes: Buffer.concat(parts),
    facts: {
      width,
      height,
      frames: 1,
      orientation,
      alpha: false,
      cmyk: components === 4,
      ownColour: components === 1 && usable !== undefined,
    },
  };
}

/**
 * Copies of the file without padding between the data of a scan and the next marker, also a restart marker.
 * No copy if there is no padding. libjpeg warns of padding as it warns of damage. Of the copies it warns
 * only if data is missing, so padding cannot hide damage.
 *
 * The last byte of the data itself may look like padding. So the first copy keeps single bytes.
 * @param file that passed the header walk
 */
export function* withoutPadding(file: Buffer): Generator<Buffer> {
  const given: Buffer[] = [];
  for (const findEnd of [endOfData(2, 0), endOfData(1, 0), endOfData(0, 2), endOfData(0, 1)]) {
    const copy = trimScans(file, findEnd);
    if (copy === undefined || given.some((other) => other.equals(copy))) continue;
    given.push(copy);
    yield copy;
  }
}

type FindEnd = (file: Buffer, start: number, end: number) => number;

/** Finds the end of data before at least this number of zeros, or of bytes of ones. 0: not looked for. */
function endOfData(minZeros: number, minOnes: number): FindEnd {
  return (file, start, end) => {
    let at = end;
    if (minZeros > 0) {
      while (at > start && file[at - 1] === 0 && file[at - 2] !== 0xff) at -= 1;
      return end - at >= minZeros ? at : end;
    }
    // A byte of ones is written as 0xff and 0.
    while (at - 2 >= start && file[at - 1] === 0 && file[at - 2] === 0xff) at -= 2;
    return end - at >= 2 * minOnes ? at : end;
  };
}

function trimScans(file: Buffer, findEnd: FindEnd): Buffer | undefined {
  const parts: Buffer[] = [];
  let copied = 0;
  let dataStart: number | undefined;
  for (let at = SOI.length; ; ) {
    const next = file.indexOf(0xff, at);
    const marker = next < 0 ? undefined : file[next + 1];
    if (marker === undefined) break;
    if (marker === 0x00 || marker === 0xff) {
      at = next + (marker === 0x00 ? 2 : 1);
      continue;
    }
    const end = dataStart === undefined ? next : findEnd(file, dataStart, next);
    if (end < next) {
      parts.push(file.subarray(copied, end));
      copied = next;
    }
    const isRestart = marker >= 0xd0 && marker <= 0xd7;
    const hasLength = !isRestart && marker !== M_EOI && marker !== 0x01 && next + 4 <= file.length;
    at = next + 2 + (hasLength ? file.readUInt16BE(next + 2) : 0);
    dataStart = isRestart || marker === M_SOS ? at : undefined;
  }
  return copied === 0 ? undefined : Buffer.concat([...parts, file.subarray(copied)]);
}

/** The next marker at or after `at`. Skips fill bytes and bytes outside of segments. */
function findMarker(file: Buffer, at: number): { at: number; marker: number } | undefined {
  for (let i = file.indexOf(0xff, at); i >= 0; i = file.indexOf(0xff, i + 1)) {
    const marker = file[i + 1];
    if (marker === undefined) return undefined;
    if (marker === 0xff || marker === 0x00) continue;
    // Restart markers and TEM have no length, and no meaning between segments.
    if ((marker >= 0xd0 && marker <= 0xd7) || marker === 0x01) continue;
    return { at: i, marker };
  }
  return undefined;
}

/** The end of the entropy-coded data that starts at `at`: the next marker outside of it. */
function endOfScan(file: Buffer, at: number): number {
  for (let i = file.indexOf(0xff, at); i >= 0; i = file.indexOf(0xff, i + 1)) {
    const next = file[i + 1];
    if (next === undefined) return i;
    if (next === 0x00 || next === 0xff || (next >= 0xd0 && next <= 0xd7)) continue;
    return i;
  }
  return file.length;
}

/** True for SOF0 to SOF15. DHT, JPG and DAC are in the same range. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, body: Buffer): Frame {
  if (marker > 0xc2) {
    throw new Refusal(
      `the file uses the JPEG process SOF${marker - 0xc0}: only baseline, extended and progressive Huffman are accepted`,
    );
  }
  if (body.length < 6) throw incompleteFile();
  const precision = body.readUInt8(0);
  const height = body.readUInt16BE(1);
  const width = body.readUInt16BE(3);
  const components = body.readUInt8(5);
  if (precision !== 8)
    throw new Refusal(`the file has ${precision} bits per JPEG sample: only 8 are accepted`);
  if (components !== 1 && components !== 3 && components !== 4) {
    throw new Refusal(`the file has ${components} JPEG components: only 1, 3 and 4 are accepted`);
  }
  if (body.length < 6 + 3 * components) throw incompleteFile();
  checkSize(width, height, 1);
  const areas: number[] = [];
  let widest = 1;
  let tallest = 1;
  for (let i = 0; i < components; i += 1) {
    const sampling = body.readUInt8(6 + 3 * i + 1);
    const across = sampling >> 4;
    const down = sampling & 15;
    if (across < 1 || across > 4 || down < 1 || down > 4)
      throw new Refusal('the JPEG frame header is damaged');
    widest = Math.max(widest, across);
    tallest = Math.max(tallest, down);
    areas.push(across * down);
  }
  const sum = areas.reduce((total, area) => total + area, 0);
  return {
    width,
    height,
    components,
    progressive: marker === 0xc2,
    coefficientBytes: components === 1 ? 2 : (2 * sum) / (widest * tallest),
  };
}

/**
 * The header of a scan. In a frame that is not progressive, a scan has all coefficients in full precision.
 * Some cameras write zeros for these limits: libjpeg warns, and decodes the same pixels.
 */
function scanHeader(segment: Buffer, { progressive }: Frame): Buffer {
  if (progressive || segment.length < 5) return segment;
  const limits = 5 + 2 * segment.readUInt8(4);
  if (segment.length !== limits + 3) return segment;
  const header = Buffer.from(segment);
  header.set([0, 63, 0], limits);
  return header;
}

/** libjpeg ignores a shorter segment. */
function isAdobe(body: Buffer): boolean {
  return body.length >= 12 && body.toString('latin1', 0, 5) === 'Adobe';
}

/** The segment that says whether colours are YCbCr. libjpeg reads unknown codes as if they were. */
function adobeSegment(transform: number, components: number): Buffer {
  const known = transform === 0 ? 0 : components === 4 ? 2 : 1;
  return Buffer.from([0xff, M_APP14, 0, 14, ...Buffer.from('Adobe'), 0, 100, 0, 0, 0, 0, known]);
}

/** libjpeg ignores a shorter segment. */
function isJfif(body: Buffer): boolean {
  return body.length >= 14 && body.toString('latin1', 0, 5) === 'JFIF\0';
}

/**
 * The profile of these parts, which start with their number and their count. Undefined if a part is missing,
 * given twice or of another count: browsers ignore such a profile.
 */
function joinProfile(parts: readonly Buffer[]): Buffer | undefined {
  const bodies = parts.toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
  const isWhole = bodies.every((part, i) => part.length > 2 && part[0] === i + 1 && part[1] === parts.length);
  if (parts.length === 0 || !isWhole) return undefined;
  const profile = Buffer.concat(bodies.map((part) => part.subarray(2)));
  return profile.length <= MAX_PROFILE_BYTES ? profile : undefined;
}

function profileSegments(profile: Buffer): Buffer[] {
  const count = Math.ceil(profile.length / MAX_PROFILE_PART);
  return Array.from({ length: count }, (_, i) => {
    const part = profile.subarray(i * MAX_PROFILE_PART, (i + 1) * MAX_PROFILE_PART);
    const head = Buffer.from([0xff, M_APP2, 0, 0, ...PROFILE_NAME, i + 1, count]);
    head.writeUInt16BE(head.length - 2 + part.length, 2);
    return Buffer.concat([head, part]);
  });
}

function exifSegment(orientation: number): Buffer {
  const tiff = orientationTiff(orientation);
  const head = Buffer.from([0xff, M_APP1, 0, 2 + 6 + tiff.length, 0x45, 0x78, 0x69, 0x66, 0, 0]);
  return Buffer.concat([head, tiff]);
}

function incompleteFile(): Refusal {
  return new Refusal('the JPEG file is incomplete or damaged');
}
