/**
 * The bare work of an upload, without a server: SHA-256, one full decode, rungs of 2048 and 1024, and the
 * default rendition in two formats. Each picture is made from the previous one, so that the original is
 * decoded only once.
 */
import { createHash } from 'node:crypto';
import sharp, { type Sharp } from 'sharp';
import { answerQuestions } from './script.ts';

/** Renders a picture to raw pixels, so that later steps do not repeat its work. */
async function renderPixels(picture: Sharp): Promise<Sharp> {
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
}

/** Returns the milliseconds of the work, without the transfer of the file to this process. */
answerQuestions<{ readonly file: Uint8Array }>(async ({ file }) => {
  const start = performance.now();
  const digest = createHash('sha256').update(file).digest('hex');
  const whole = await renderPixels(sharp(file, { failOn: 'warning' }).autoOrient().toColourspace('srgb'));
  const inside = (side: number) => ({ width: side, height: side, fit: 'inside' as const });
  const large = await renderPixels(whole.resize(inside(2_048)));
  const small = await renderPixels(large.clone().resize(inside(1_024)));
  const square = await renderPixels(small.clone().resize(400, 400, { fit: 'cover' }));
  const rung = { quality: 95, chromaSubsampling: '4:4:4' };
  const outputs = await Promise.all([
    large.jpeg(rung).toBuffer(),
    small.jpeg(rung).toBuffer(),
    square.clone().webp({ quality: 80 }).toBuffer(),
    square.clone().jpeg({ quality: 82 }).toBuffer(),
  ]);
  const milliseconds = performance.now() - start;
  return { milliseconds, digest, lengths: outputs.map((bytes) => bytes.length) };
});
