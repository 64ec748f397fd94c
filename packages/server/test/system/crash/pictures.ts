/**
 * Any number of cheap pictures with unique bytes, each with a number. A few are encoded, and all others are
 * copies with the number in a comment. Consecutive numbers have different colours.
 */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { pngChunk, withPngChunks } from '../../support/pictures.ts';

export interface TestPicture {
  readonly number: number;
  readonly bytes: Buffer;
  readonly digest: string;
  /** The mean red, green and blue of its pixels. */
  readonly colour: readonly [number, number, number];
}

export interface PictureSet {
  get(number: number): TestPicture;
}

const COLOURS = [
  [200, 40, 40],
  [40, 180, 60],
  [50, 60, 210],
  [210, 190, 40],
  [150, 60, 190],
] as const;

const SHAPES = [
  { width: 64, height: 48, format: 'jpeg' },
  { width: 500, height: 400, format: 'jpeg' },
  { width: 160, height: 200, format: 'png' },
  // Large enough for a rung.
  { width: 1400, height: 900, format: 'jpeg' },
] as const;

const GRAIN = 12;

/** Encodes the pictures that all others are copies of. */
export async function createPictureSet(): Promise<PictureSet> {
  const templates = await Promise.all(
    SHAPES.flatMap((shape) =>
      COLOURS.map(async (colour) => {
        const { width, height, format } = shape;
        const clamp = (value: number) => Math.max(0, Math.min(255, value));
        const pixels = Buffer.alloc(width * height * 3);
        for (let at = 0; at < pixels.length; at += 1) {
          // Not random, so that each run has the same bytes.
          const grain = ((Math.imul(at + 1, 2_654_435_761) >>> 16) % (2 * GRAIN + 1)) - GRAIN;
          pixels[at] = clamp((colour[at % 3] ?? 0) + grain);
        }
        const picture = sharp(pixels, { raw: { width, height, channels: 3 } });
        const bytes = await (format === 'png' ? picture.png() : picture.jpeg()).toBuffer();
        return { bytes, colour, format };
      }),
    ),
  );
  return {
    get(number) {
      const template = templates[number % templates.length];
      if (template === undefined) throw new RangeError(`no picture ${number}`);
      // The semicolon ends the number. In a PNG a checksum follows, which may look like another digit.
      const text = Buffer.from(`number ${number};`);
      const bytes =
        template.format === 'png'
          ? withPngChunks(template.bytes, pngChunk('tEXt', Buffer.concat([Buffer.from('n\0'), text])))
          : addComment(template.bytes, text);
      const digest = createHash('sha256').update(bytes).digest('hex');
      return { number, bytes, digest, colour: template.colour };
    },
  };
}

/** Adds a comment after the first marker of a JPEG. */
function addComment(file: Buffer, text: Buffer): Buffer {
  const head = Buffer.from([0xff, 0xfe, 0, text.length + 2]);
  return Buffer.concat([file.subarray(0, 2), head, text, file.subarray(2)]);
}
