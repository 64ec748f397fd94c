/**
 * What the image library on this machine is and can do, without a single picture: for whoever asks what is wrong here.
 * Refuses to decode anything: workers do.
 */
import sharp from 'sharp';

export interface ImagingVersions {
  readonly sharp: string;
  readonly libvips: string;
  /** Of the formats that Vitrine reads and writes, those that this build cannot. */
  readonly lacking: readonly string[];
}

export function imagingVersions(): ImagingVersions {
  const { jpeg, png, webp, heif } = sharp.format;
  const wanted: [string, boolean][] = [
    ...Object.entries({ JPEG: jpeg, PNG: png, WebP: webp }).map(([name, format]): [string, boolean] => {
      return [name, format.input.buffer && format.output.buffer];
    }),
    ['AVIF', heif.output.buffer],
  ];
  return {
    sharp: sharp.versions.sharp ?? 'unknown',
    libvips: sharp.versions.vips,
    lacking: wanted.filter(([, able]) => !able).map(([name]) => name),
  };
}
