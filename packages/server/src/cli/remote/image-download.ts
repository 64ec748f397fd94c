/**
 * Owns how the picture of an image is got from a server: its original, or, where the server does not give that, the largest
 * rendition at its public link; and what is known about which of them it is. Refuses to know where it goes.
 */
import type { Image } from '@vitrine/client';
import { AppError } from '../../errors.ts';
import type { ImageFormat } from '../../image.ts';
import { sniffFormat, walkPicture } from '../../imaging/formats/walk.ts';
import { type Connection, readWhole } from './connection.ts';

export interface Picture {
  readonly bytes: Buffer;
  readonly format: ImageFormat;
  /**
   * The bytes that were uploaded; or the same picture encoded anew, without its metadata; or that, at the most pixels that
   * a public link shows, and so perhaps with fewer than the original.
   */
  readonly kind: 'original' | 're-encoded' | 'downscaled';
}

export const KINDS = ['original', 're-encoded', 'downscaled'] as const;

/** No side of a rendition is longer, in pixels. */
const MAX_RENDITION_SIDE = 2_048;

/** The pictures of one account. */
export class Pictures {
  readonly #connection: Connection;
  #givesOriginals = true;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The best that there is. @throws AppError `invalid-image` or `too-large`; what the client throws. */
  async get(image: Image): Promise<Picture> {
    const original = await this.original(image);
    if (original) return original;
    const bytes = await this.#rendition(image.publicID);
    return { bytes, format: formatOf(bytes), kind: kindOf(bytes) };
  }

  /** The original; undefined if the server does not give it. @throws as `get`. */
  async original({ imageID }: Image): Promise<Picture | undefined> {
    const bytes = this.#givesOriginals ? await this.#connection.original(imageID) : undefined;
    // The image was listed: if there is no original of it, there is none of any.
    this.#givesOriginals &&= bytes !== undefined;
    return bytes && { bytes, format: formatOf(bytes), kind: 'original' };
  }

  async #rendition(publicID: string): Promise<Buffer> {
    // Its own size; servers that do not know how to ask for that show it as wide as they can.
    for (const size of ['0x0', `${MAX_RENDITION_SIDE}x0`]) {
      try {
        const asked = { publicID, size, quality: 95 };
        const { result } = await this.#connection.vitrine.images.getPublic(asked, {
          acceptHeaderOverride: '*/*',
        });
        return await readWhole(result);
      } catch (error) {
        if (size !== '0x0' || !isRefusedSize(error)) throw error;
      }
    }
    throw new Error('no size was asked for');
  }
}

function formatOf(bytes: Buffer): ImageFormat {
  const format = sniffFormat(bytes);
  if (format) return format;
  throw new AppError('invalid-image', 'what the server gave is no PNG, JPEG or WebP picture');
}

function isRefusedSize(error: unknown): boolean {
  return [400, 422].includes((error as { status?: number }).status ?? 0);
}

function kindOf(bytes: Buffer): 're-encoded' | 'downscaled' {
  try {
    const { width, height } = walkPicture(bytes).facts;
    return Math.max(width, height) >= MAX_RENDITION_SIDE ? 'downscaled' : 're-encoded';
  } catch (error) {
    throw new AppError('invalid-image', `what the server gave is refused: ${(error as Error).message}`);
  }
}
