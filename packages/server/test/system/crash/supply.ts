/**
 * As many different pictures as a run wants, each of them by its number: a few that are really encoded, small and with a
 * ladder, each copied with a number in it that no pixel shows. So bytes are unique and cheap, and colours tell pictures
 * apart.
 */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { pngChunk, withPngChunks } from '../../support/pictures.ts';

export interface SuppliedPicture {
  readonly number: number;
  readonly bytes: Buffer;
  readonly digest: string;
  /** Red, green and blue of its pixels, on average. */
  readonly colour: readonly [number, number, number];
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

export interface Supply {
  picture(number: number): SuppliedPicture;
}

/** Encodes the pictures that all others are copies of. */
export async function createSupply(): Promise<Supply> {
  const templates = await Promise.all(
    SHAPES.flatMap((shape) =>
      COLOURS.map(async (colour) => {
        const { width, height, format } = shape;
        const channel = (mean: number) => Math.max(0, Math.min(255, mean));
        const pixels = Buffer.alloc(width * height * 3);
        for (let at = 0; at < pixels.length; at += 1) {
          // The same grain each time: a run can be repeated.
          const grain = ((Math.imul(at + 1, 2_654_435_761) >>> 16) % (2 * GRAIN + 1)) - GRAIN;
          pixels[at] = channel((colour[at % 3] ?? 0) + grain);
        }
        const picture = sharp(pixels, { raw: { width, height, channels: 3 } });
        const bytes = await (format === 'png' ? picture.png() : picture.jpeg()).toBuffer();
        return { bytes, colour, format };
      }),
    ),
  );
  return {
    picture(number) {
      const template = templates[number % templates.length];
      if (template === undefined) throw new RangeError(`no picture ${number}`);
      // With an end: what follows it in a PNG is a checksum, which may look like one more digit.
      const text = Buffer.from(`number ${number};`);
      const bytes =
        template.format === 'png'
          ? withPngChunks(template.bytes, pngChunk('tEXt', Buffer.concat([Buffer.from('n\0'), text])))
          : withComment(template.bytes, text);
      const digest = createHash('sha256').update(bytes).digest('hex');
      return { number, bytes, digest, colour: template.colour };
    },
  };
}

/** A JPEG with a comment behind its first marker. */
function withComment(file: Buffer, text: Buffer): Buffer {
  const head = Buffer.from([0xff, 0xfe, 0, text.length + 2]);
  return Buffer.concat([file.subarray(0, 2), head, text, file.subarray(2)]);
}
