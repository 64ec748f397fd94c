/**
 * Small valid pictures, as many different ones as a test wants.
 */
import sharp from 'sharp';

/** A JPEG of 64x48 pixels in one colour; another number is another picture, the same is the same bytes. */
export function picture(number: number): Promise<Buffer> {
  const background = { r: number & 255, g: (number >> 8) & 255, b: 120 };
  // The number is in the height as well: neighbouring colours can come out alike.
  return sharp({ create: { width: 64, height: 48 + (number % 16), channels: 3, background } })
    .jpeg()
    .withExif({ IFD0: { ImageDescription: `picture ${number}` } })
    .toBuffer();
}
