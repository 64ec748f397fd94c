/**
 * Downloads the picture of an image: the original, or the largest rendition if the server does not give
 * originals. The kind of the picture says which.
 */
import type { Image } from '@vitrine/client';
import { AppError } from '../../errors.ts';
import { IMAGE_FORMAT_NAMES, type ImageFormat } from '../../image.ts';
import { sniffFormat, walkPicture } from '../../imaging/formats/walk.ts';
import { MAX_SIDE, writeSize } from '../../imaging/size.ts';
import { type Connection, readBytes } from './connection.ts';

export const PICTURE_KINDS = ['original', 're-encoded', 'downscaled'] as const;

export interface Picture {
  readonly bytes: Buffer;
  readonly format: ImageFormat;
  /**
   * The uploaded bytes are `original`. A rendition at full size, without metadata, is `re-encoded`. A
   * rendition at the largest size of a public link is `downscaled`: its original may be larger.
   */
  readonly kind: (typeof PICTURE_KINDS)[number];
}

/** Downloads the pictures of one account. */
export class PictureDownloader {
  readonly #connection: Connection;
  #hasOriginals = true;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * The best available picture.
   * @throws AppError `invalid-image` or `too-large`; the errors of the client.
   */
  async download(image: Image): Promise<Picture> {
    const original = await this.downloadOriginal(image);
    if (original) return original;
    const bytes = await this.#downloadRendition(image.publicID);
    return { bytes, format: formatOf(bytes), kind: kindOfRendition(bytes) };
  }

  /** The original; undefined if the server does not give originals. @throws as `download`. */
  async downloadOriginal({ imageID }: Image): Promise<Picture | undefined> {
    const bytes = this.#hasOriginals ? await this.#connection.downloadOriginal(imageID) : undefined;
    // The server listed the image. If it does not give this original, it gives none, and the next image skips
    // the request.
    this.#hasOriginals &&= bytes !== undefined;
    return bytes && { bytes, format: formatOf(bytes), kind: 'original' };
  }

  async #downloadRendition(publicID: string): Promise<Buffer> {
    // 0x0 is the size of the original. Servers that reject it give the largest width.
    for (const size of ['0x0', writeSize({ width: MAX_SIDE, height: 0 })]) {
      try {
        const request = { publicID, size, quality: 95 };
        const { result } = await this.#connection.vitrine.images.getPublic(request, {
          acceptHeaderOverride: '*/*',
        });
        return await readBytes(result);
      } catch (error) {
        if (size !== '0x0' || !isRejectedSize(error)) throw error;
      }
    }
    throw new Error('unreachable: the second size returns or throws');
  }
}

function formatOf(bytes: Buffer): ImageFormat {
  const format = sniffFormat(bytes);
  if (format) return format;
  throw new AppError('invalid-image', `the server sent a file that is not ${IMAGE_FORMAT_NAMES}`);
}

function isRejectedSize(error: unknown): boolean {
  return [400, 422].includes((error as { status?: number }).status ?? 0);
}

function kindOfRendition(bytes: Buffer): 're-encoded' | 'downscaled' {
  try {
    const { width, height } = walkPicture(bytes).facts;
    return Math.max(width, height) >= MAX_SIDE ? 'downscaled' : 're-encoded';
  } catch (error) {
    throw new AppError('invalid-image', `the server sent an invalid picture: ${(error as Error).message}`);
  }
}
