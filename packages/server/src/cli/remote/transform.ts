/**
 * The options that select a rendition: those of the public links.
 */
import type { GetPublicImageRequest, ImageURLOptions } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { OUTPUT_FORMATS } from '../../image.ts';
import { FITS, POSITIONS } from '../../imaging/plan.ts';
import { DEFAULT_SIZE, writeSize } from '../../imaging/size.ts';
import type { ClientOptions } from './connection.ts';

export interface TransformOptions extends ClientOptions {
  readonly size?: string;
  readonly fit?: string;
  readonly position?: string;
  readonly format?: string;
  readonly quality?: string;
  readonly dpr?: string;
}

const CHOICES: Readonly<Record<'fit' | 'position' | 'format', readonly string[]>> = {
  fit: FITS,
  position: POSITIONS,
  format: OUTPUT_FORMATS,
};

export function addTransformOptions(command: Command): Command {
  return command
    .option(
      '--size <WxH>',
      `width and height in pixels, such as 800x600; 0 keeps the proportion (default: ${writeSize(DEFAULT_SIZE)})`,
    )
    .option(
      '--fit <cover|contain>',
      'cover: fill the size and crop; contain: stay within the size (default: cover)',
    )
    .option(
      '--position <where>',
      `part that cropping keeps: ${CHOICES.position.join(', ')} (default: center)`,
    )
    .option(
      '--format <name>',
      `format: ${CHOICES.format.join(', ')} (default: the browser and the server choose)`,
    )
    .option('--quality <1..100>', 'quality of lossy formats (default: chosen by the server)')
    .option('--dpr <1..3>', 'device pixel ratio: multiplies the size (default: 1)');
}

/** The parameters of a link. @throws AppError `invalid-request` if an option is not valid. */
export async function readTransform(
  options: TransformOptions,
): Promise<Omit<GetPublicImageRequest, 'publicID' | 'ifNoneMatch'>> {
  const { size, fit, position, format, quality, dpr } = options;
  for (const [option, choices] of Object.entries(CHOICES)) {
    const value = options[option as keyof typeof CHOICES];
    if (value !== undefined && !choices.includes(value)) {
      throw new AppError('invalid-request', `--${option} must be one of ${choices.join(', ')}`);
    }
  }
  const numbers = {
    ...(quality !== undefined && { quality: Number(quality) }),
    ...(dpr !== undefined && { dpr: Number(dpr) }),
  };
  const { imageURL } = await import('@vitrine/client');
  const transform = { size, fit, position, format, ...numbers } as ImageURLOptions;
  try {
    imageURL('/', transform);
  } catch (error) {
    // The message begins with the name of the parameter, which is also that of the option.
    throw new AppError('invalid-request', `--${(error as Error).message}`);
  }
  return transform as Omit<GetPublicImageRequest, 'publicID' | 'ifNoneMatch'>;
}
