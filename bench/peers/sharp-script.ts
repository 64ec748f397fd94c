/**
 * The simplest way to make a thumbnail: one sharp call on the original.
 */
import sharp from 'sharp';
import { answerQuestions } from './script.ts';

interface Question {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly format: 'jpeg' | 'png' | 'webp';
  readonly quality: number | undefined;
}

answerQuestions<Question>(({ path, width, height, format, quality }) =>
  sharp(path)
    .autoOrient()
    .resize(width, height, { fit: 'cover' })
    .toFormat(format, format !== 'png' && quality !== undefined ? { quality } : {})
    .toBuffer(),
);
