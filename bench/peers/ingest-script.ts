/**
 * The work of an upload without a server: SHA-256, one full decode, rungs of 2048 and 1024, the default rendition in
 * two formats. Each is made from the one before it, as no one decodes 24 megapixels twice who need not.
 */
import { createHash } from 'node:crypto';
import sharp, { type Sharp } from 'sharp';
import { answerQuestions } from './script.ts';

async function pixels(picture: Sharp): Promise<Sharp> {
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
}

/** Answers with the milliseconds of the work alone: handing the file over is no part of it. */
answerQuestions<{ readonly file: Uint8Array }>(async ({ file }) => {
  const begun = performance.now();
  const digest = createHash('sha256').update(file).digest('hex');
  const whole = await pixels(sharp(file, { failOn: 'warning' }).autoOrient().toColourspace('srgb'));
  const inside = (side: number) => ({ width: side, height: side, fit: 'inside' as const });
  const large = await pixels(whole.resize(inside(2_048)));
  const small = await pixels(large.clone().resize(inside(1_024)));
  const square = await pixels(small.clone().resize(400, 400, { fit: 'cover' }));
  const rung = { quality: 95, chromaSubsampling: '4:4:4' };
  const made = await Promise.all([
    large.jpeg(rung).toBuffer(),
    small.jpeg(rung).toBuffer(),
    square.clone().webp({ quality: 80 }).toBuffer(),
    square.clone().jpeg({ quality: 82 }).toBuffer(),
  ]);
  return { milliseconds: performance.now() - begun, digest, lengths: made.map((bytes) => bytes.length) };
});
