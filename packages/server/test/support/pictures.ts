/**
 * The pictures of the tests: valid ones, made with sharp, and hostile ones, made byte by byte. The same call
 * always makes the same bytes.
 */
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';

export interface PictureOptions {
  readonly width?: number;
  readonly height?: number;
  /** Another number gives another picture of the same kind. */
  readonly seed?: number;
}

/** RGB pixels that resemble a photograph: soft gradients, edges and grain. */
export function photoPixels({ width = 320, height = 240, seed = 1 }: PictureOptions = {}): Buffer {
  const pixels = Buffer.alloc(width * height * 3);
  const random = createRandom(seed);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = (y * width + x) * 3;
      const edge = (Math.floor((x + seed * 7) / 40) + Math.floor(y / 40)) % 2 === 0 ? 24 : 0;
      pixels[at] = clamp((x / width) * 200 + edge + random() * 12);
      pixels[at + 1] = clamp((y / height) * 200 + edge + random() * 12);
      pixels[at + 2] = clamp(128 + 80 * Math.sin((x + y + seed * 31) / 50) + random() * 12);
    }
  }
  return pixels;
}

/** A picture that resembles a photograph. The caller encodes it. */
export function photo(options: PictureOptions = {}): Sharp {
  const { width = 320, height = 240 } = options;
  return sharp(photoPixels(options), { raw: { width, height, channels: 3 } });
}

export async function jpeg(options: PictureOptions = {}): Promise<Buffer> {
  return photo(options).jpeg({ quality: 90 }).toBuffer();
}

export async function png(options: PictureOptions = {}): Promise<Buffer> {
  return photo(options).png().toBuffer();
}

export async function webp(options: PictureOptions = {}): Promise<Buffer> {
  return photo(options).webp().toBuffer();
}

/** A picture of one colour. `alpha` is the opacity of every pixel, from 0 to 1. Absent: no alpha channel. */
export function flat(width: number, height: number, colour: string, alpha?: number): Sharp {
  const image = sharp({ create: { width, height, channels: 3, background: colour } });
  return alpha === undefined ? image : image.ensureAlpha(alpha);
}

/** A picture with an alpha channel, opaque except for one pixel at this place. */
export function oneTransparentPixel(width: number, height: number, x: number, y: number): Sharp {
  const pixels = Buffer.alloc(width * height * 4, 255);
  pixels[(y * width + x) * 4 + 3] = 254;
  return sharp(pixels, { raw: { width, height, channels: 4 } });
}

/** The colours of the quarters of an upright `quad`: top left, top right, bottom left, bottom right. */
export const QUARTERS = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 255],
] as const;

const QUAD = { width: 120, height: 80 };

/** For each EXIF orientation: the place of a stored pixel in the upright picture. */
const UPRIGHT: Readonly<Record<number, (x: number, y: number) => readonly [number, number]>> = {
  1: (x, y) => [x, y],
  2: (x, y) => [QUAD.width - 1 - x, y],
  3: (x, y) => [QUAD.width - 1 - x, QUAD.height - 1 - y],
  4: (x, y) => [x, QUAD.height - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y) => [QUAD.width - 1 - y, x],
  7: (x, y) => [QUAD.width - 1 - y, QUAD.height - 1 - x],
  8: (x, y) => [y, QUAD.height - 1 - x],
};

/**
 * Four coloured quarters, 120 x 80 pixels when upright, stored in this orientation. PNG and WebP are
 * lossless.
 */
export async function quad(orientation: number, format: 'jpeg' | 'png' | 'webp' = 'jpeg'): Promise<Buffer> {
  const upright = UPRIGHT[orientation];
  if (upright === undefined) throw new RangeError(`orientation must be from 1 to 8, not ${orientation}`);
  const width = orientation >= 5 ? QUAD.height : QUAD.width;
  const height = orientation >= 5 ? QUAD.width : QUAD.height;
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [across, down] = upright(x, y);
      const quarter = (down < QUAD.height / 2 ? 0 : 2) + (across < QUAD.width / 2 ? 0 : 1);
      pixels.set(QUARTERS[quarter] ?? QUARTERS[0], (y * width + x) * 3);
    }
  }
  const stored = sharp(pixels, { raw: { width, height, channels: 3 } }).withMetadata({ orientation });
  switch (format) {
    case 'jpeg':
      return stored.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
    case 'png':
      return stored.png().toBuffer();
    case 'webp':
      return stored.webp({ lossless: true }).toBuffer();
  }
}

/** Texts in the metadata of `withPrivateMetadata`. They must not be in any rendition. */
export const PRIVATE_MARKERS = ['48/1', 'Secret Author', 'SN-4711', 'xmp-secret-marker'] as const;

/** A picture with GPS, author and software in EXIF, with XMP and with a colour profile. */
export async function withPrivateMetadata(format: 'jpeg' | 'png' | 'webp', orientation = 1): Promise<Buffer> {
  return (orientation === 1 ? photo() : photo().withMetadata({ orientation }))
    .withExif({
      IFD0: { Artist: 'Secret Author', Software: 'SN-4711' },
      IFD3: {
        GPSLatitudeRef: 'N',
        GPSLatitude: '48/1 8/1 0/1',
        GPSLongitudeRef: 'E',
        GPSLongitude: '11/1 0/1 0/1',
      },
    })
    .withXmp(
      '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><a>xmp-secret-marker</a></x:xmpmeta><?xpacket end="w"?>',
    )
    .withIccProfile('p3')
    .toFormat(format)
    .toBuffer();
}

/** An animated WebP. Every frame has another colour. Delays are 40, 50, 60, … ms. */
export async function animation(
  frames: number,
  width = 60,
  height = 40,
): Promise<{ bytes: Buffer; delays: number[] }> {
  const pixels = Buffer.alloc(width * height * frames * 3);
  for (let frame = 0; frame < frames; frame += 1) {
    const colour = [(frame * 83) % 256, (frame * 151 + 60) % 256, (frame * 211 + 120) % 256];
    pixels.fill(Buffer.from(colour), frame * width * height * 3, (frame + 1) * width * height * 3);
  }
  const delays = Array.from({ length: frames }, (_, frame) => 40 + frame * 10);
  const bytes = await sharp(pixels, {
    raw: { width, height: height * frames, channels: 3, pageHeight: height },
  })
    .webp({ delay: delays, loop: 3 })
    .toBuffer();
  return { bytes, delays };
}

// ---- made byte by byte ----

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export function pngChunk(type: string, body: Uint8Array): Buffer {
  const whole = Buffer.alloc(12 + body.length);
  whole.writeUInt32BE(body.length, 0);
  whole.write(type, 4, 'latin1');
  whole.set(body, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, 8 + body.length)), 8 + body.length);
  return whole;
}

export function pngHeader(width: number, height: number, depth = 8, colour = 2, interlace = 0): Buffer {
  const body = Buffer.alloc(13);
  body.writeUInt32BE(width, 0);
  body.writeUInt32BE(height, 4);
  body.set([depth, colour, 0, 0, interlace], 8);
  return pngChunk('IHDR', body);
}

/** A PNG of exactly these chunks and the end chunk. */
export function pngOf(...chunks: readonly Buffer[]): Buffer {
  return Buffer.concat([PNG_SIGNATURE, ...chunks, pngChunk('IEND', Buffer.alloc(0))]);
}

/** Adds chunks to a PNG after its header. */
export function withPngChunks(file: Buffer, ...chunks: readonly Buffer[]): Buffer {
  return Buffer.concat([file.subarray(0, 33), ...chunks, file.subarray(33)]);
}

/** A black RGB PNG of any size. It compresses to a few bytes for each row. */
export function blackPng(width: number, height: number): Buffer {
  return pngOf(
    pngHeader(width, height),
    pngChunk('IDAT', deflateSync(Buffer.alloc((width * 3 + 1) * height), { level: 9 })),
  );
}

/**
 * The seven passes of an interlaced PNG: left and top of the first pixel, then the distances across and down.
 */
export const INTERLACED_PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** A small PNG with compressed text: each of `chunks` chunks inflates to `megabytes`. */
export async function textBomb(chunks: number, megabytes: number): Promise<Buffer> {
  const text = Buffer.concat([
    Buffer.from('Comment\0\0', 'latin1'),
    deflateSync(Buffer.alloc(megabytes * 1_000_000, 0x61), { level: 9 }),
  ]);
  const small = await photo({ width: 64, height: 64 }).png().toBuffer();
  return withPngChunks(small, ...Array.from({ length: chunks }, () => pngChunk('zTXt', text)));
}

/** A small PNG with a well-formed colour profile that inflates to `megabytes`. */
export async function profileBomb(megabytes: number): Promise<Buffer> {
  const body = Buffer.concat([
    Buffer.from('icc\0\0', 'latin1'),
    deflateSync(Buffer.alloc(megabytes * 1_000_000), { level: 9 }),
  ]);
  return withPngChunks(await photo({ width: 64, height: 64 }).png().toBuffer(), pngChunk('iCCP', body));
}

/** The offset of the first marker of this kind in a JPEG. Throws if there is none. */
export function jpegMarker(file: Buffer, marker: number): number {
  for (let at = 2; at < file.length; at += 2 + file.readUInt16BE(at + 2)) {
    if (file[at + 1] === marker) return at;
    if (file[at + 1] === 0xda) break;
  }
  throw new Error(`the JPEG has no marker ${marker.toString(16)}`);
}

/** A progressive JPEG whose last scan is repeated `more` times. */
export async function manyScans(more: number): Promise<Buffer> {
  const file = await photo().jpeg({ progressive: true }).toBuffer();
  let last = -1;
  for (let at = file.indexOf(0xff); at >= 0; at = file.indexOf(0xff, at + 1))
    if (file[at + 1] === 0xda) last = at;
  const scan = file.subarray(last, file.length - 2);
  return Buffer.concat([
    file.subarray(0, last),
    ...Array.from({ length: more }, () => scan),
    file.subarray(last),
  ]);
}

/** A JPEG whose header claims this size. libjpeg believes it. */
export async function jpegClaimingSize(width: number, height: number): Promise<Buffer> {
  const file = await jpeg();
  const at = jpegMarker(file, 0xc0);
  file.writeUInt16BE(height, at + 5);
  file.writeUInt16BE(width, at + 7);
  return file;
}

export function webpChunk(type: string, body: Uint8Array): Buffer {
  const whole = Buffer.alloc(8 + body.length + (body.length % 2));
  whole.write(type, 0, 'latin1');
  whole.writeUInt32LE(body.length, 4);
  whole.set(body, 8);
  return whole;
}

export function webpOf(...chunks: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from('WEBP', 'latin1'), ...chunks]);
  const head = Buffer.alloc(8);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
}

/** An extended header (VP8X), which animations have. */
export function webpHeader(width: number, height: number, flags: number): Buffer {
  const body = Buffer.alloc(10);
  body.writeUInt8(flags, 0);
  body.writeUIntLE(width - 1, 4, 3);
  body.writeUIntLE(height - 1, 7, 3);
  return webpChunk('VP8X', body);
}

/** A valid animation on a canvas of any size. Each frame has one pixel. */
export async function frameFlood(frames: number, width = 1, height = 1): Promise<Buffer> {
  const pixel = await flat(1, 1, '#f00').webp({ lossless: true }).toBuffer();
  const frame = Buffer.alloc(16);
  frame.writeUIntLE(100, 12, 3);
  const body = Buffer.concat([frame, pixel.subarray(12)]);
  return webpOf(
    webpHeader(width, height, 0x02),
    webpChunk('ANIM', Buffer.alloc(6)),
    ...Array.from({ length: frames }, () => webpChunk('ANMF', body)),
  );
}

/** Files of formats that are not accepted, by name. `signature` is only the start of a PNG. */
export async function otherFormats(): Promise<Readonly<Record<string, Buffer>>> {
  const small = photo({ width: 32, height: 32 });
  return {
    gif: await small.clone().gif().toBuffer(),
    tiff: await small.clone().tiff().toBuffer(),
    avif: await small.clone().avif({ effort: 0 }).toBuffer(),
    svg: Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    ),
    pdf: Buffer.from('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n'),
    html: Buffer.from('<!doctype html><script>alert(1)</script>'),
    empty: Buffer.alloc(0),
    signature: PNG_SIGNATURE,
  };
}

/** A generator of numbers from 0 to below 1. The same seed gives the same numbers. */
export function createRandom(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function clamp(value: number): number {
  return Math.max(0, Math.min(255, Math.round(value)));
}
