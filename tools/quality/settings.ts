/**
 * The encoder settings that are compared: the first release, this server, and imgproxy.
 */
import type { Analysis, OutputFormat } from '../../packages/server/src/image.ts';
import { DEFAULT_QUALITY, type Plan } from '../../packages/server/src/imaging/plan.ts';
import {
  encode,
  encodeGraphic,
  type UnscaledOriginal,
} from '../../packages/server/src/imaging/worker/encode.ts';
import { openPixels, type Pixels } from '../../packages/server/src/imaging/worker/pixels.ts';

export type Content = Analysis['content'];

/** Formats that are compared. */
export type Format = Exclude<OutputFormat, 'avif'>;

/** What a rendition is made of. `original`: absent if the pixels are scaled. */
export interface Job {
  readonly pixels: Pixels;
  readonly content: Content;
  readonly format: Format;
  readonly original?: UnscaledOriginal;
}

/** WebP as imgproxy makes it, apart from the quality. */
export function imgproxyWebp(pixels: Pixels, quality: number): Promise<Buffer> {
  return openPixels(pixels).webp({ quality, effort: 4 }).toBuffer();
}

/** The settings of the first release, the same for all pictures. */
export function asFirstRelease({ pixels, format }: Job): Promise<Buffer> {
  const image = openPixels(pixels);
  switch (format) {
    case 'webp':
      return image.webp({ quality: 80, effort: 2 }).toBuffer();
    case 'png':
      return image.png({ compressionLevel: 6, adaptiveFiltering: true }).toBuffer();
    case 'jpeg':
      return image.jpeg({ quality: 82 }).toBuffer();
  }
}

/** The settings of this server. */
export function asServer({ pixels, content, format, original }: Job): Promise<Buffer> {
  const { width, height } = pixels;
  const plan: Plan = {
    width,
    height,
    fit: 'fill',
    position: 'center',
    format,
    quality: DEFAULT_QUALITY[format],
    animated: false,
    flatten: false,
    content,
  };
  return content === 'graphic'
    ? encodeGraphic(pixels, plan, original)
    : encode(openPixels(pixels), plan).toBuffer();
}
