/**
 * Small valid pictures, all different.
 */
import sharp from 'sharp';

/** A JPEG in one colour, 64 pixels wide and 48 to 63 high. The same number always gives the same bytes. */
export function picture(number: number): Promise<Buffer> {
  const background = { r: number & 255, g: (number >> 8) & 255, b: 120 };
  // Neighbouring colours can give the same bytes, so the height depends on the number too.
  return sharp({ create: { width: 64, height: 48 + (number % 16), channels: 3, background } })
    .jpeg()
    .withExif({ IFD0: { ImageDescription: `picture ${number}` } })
    .toBuffer();
}
