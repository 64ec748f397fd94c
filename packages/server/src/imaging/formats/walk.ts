/**
 * Owns the header walk: which of the three formats the bytes are, by their content alone, and the way from untrusted
 * bytes to a small honest file. It runs before any decoder sees a byte, because the decoders' own limits do not
 * see compressed text, scans or frames. Pure functions over a Buffer. Refuses to know sharp and pixels.
 */
import { IMAGE_FORMAT_NAMES, type ImageFormat } from '../../image.ts';
import { walkJpeg } from './jpeg.ts';
import { Refusal, type Walked } from './limits.ts';
import { PNG_SIGNATURE, walkPng } from './png.ts';
import { walkWebp } from './webp.ts';

const WALKS: Readonly<Record<ImageFormat, (file: Buffer) => Omit<Walked, 'format'>>> = {
  png: walkPng,
  jpeg: walkJpeg,
  webp: walkWebp,
};

/** The format that the first bytes say, or undefined for any that is not accepted. */
export function sniffFormat(file: Buffer): ImageFormat | undefined {
  if (file.length >= 8 && file.compare(PNG_SIGNATURE, 0, 8, 0, 8) === 0) return 'png';
  if (file.length >= 3 && file.readUIntBE(0, 3) === 0xffd8ff) return 'jpeg';
  if (
    file.length >= 12 &&
    file.toString('latin1', 0, 4) === 'RIFF' &&
    file.toString('latin1', 8, 12) === 'WEBP'
  ) {
    return 'webp';
  }
  return undefined;
}

/**
 * Walks a file that may hold anything. The result is within all limits of limits.ts and holds nothing but what
 * its pixels need; whether the pixels decode is not known yet. Throws a Refusal with the reason, and nothing else.
 */
export function walkPicture(file: Buffer): Walked {
  const format = sniffFormat(file);
  if (format === undefined) throw new Refusal(`it is not a ${IMAGE_FORMAT_NAMES} picture`);
  return { format, ...WALKS[format](file) };
}
