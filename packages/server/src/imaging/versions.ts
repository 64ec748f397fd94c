/**
 * The versions of sharp and libvips on this machine, and the formats that they lack. For `vitrine doctor`:
 * the server itself never decodes a picture in its own process.
 */
import sharp from 'sharp';
import { isImageFormat, OUTPUT_FORMATS, type OutputFormat } from '../image.ts';

export interface ImagingVersions {
  readonly sharp: string;
  readonly libvips: string;
  /** The formats that this build cannot write, or cannot read although originals may have them. */
  readonly missingFormats: readonly OutputFormat[];
}

export function imagingVersions(): ImagingVersions {
  const { jpeg, png, webp, heif } = sharp.format;
  const builds = { jpeg, png, webp, avif: heif };
  const isMissing = (format: OutputFormat): boolean => {
    const { input, output } = builds[format];
    return !output.buffer || (isImageFormat(format) && !input.buffer);
  };
  return {
    sharp: sharp.versions.sharp ?? 'unknown',
    libvips: sharp.versions.vips,
    missingFormats: OUTPUT_FORMATS.filter(isMissing),
  };
}
