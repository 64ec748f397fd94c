/**
 * The refusals of the library: each outcome that a client can cause, with the text of its answer.
 */
import { AppError } from '../errors.ts';
import type { Image } from '../image.ts';
import type { ImageUsage } from './usage.ts';

/** The account already has an image with these bytes: code `duplicate`, answered with 409. */
export class DuplicateImageError extends AppError {
  readonly existing: Image;

  constructor(existing: Image) {
    super('duplicate', `the account already has this image as ${existing.imageID}`);
    this.existing = existing;
  }
}

/** The account does not allow disabling an image in use: code `in-use`, answered with 409. */
export class ImageInUseError extends AppError {
  readonly usage: ImageUsage;

  constructor(usage: ImageUsage) {
    const { products, options, lineItems } = usage.totals;
    super(
      'in-use',
      `the account does not allow disabling images in use: ` +
        `${products} products, ${options} options and ${lineItems} line items show this image`,
    );
    this.usage = usage;
  }
}

export function unknownImage(): AppError {
  return new AppError('not-found', 'image not found');
}

export function disabledImage(): AppError {
  return new AppError('conflict', 'the image is disabled and cannot be changed');
}

export function reusedIdempotencyKey(): AppError {
  return new AppError(
    'conflict',
    'X-Idempotency-Key was already used for an upload of another image or metadata',
  );
}

export function imageQuotaExceeded(limit: number): AppError {
  return new AppError(
    'quota-exceeded',
    `image quota exceeded: limit of ${limit} images that are not disabled`,
  );
}

export function byteQuotaExceeded(limit: number): AppError {
  return new AppError(
    'quota-exceeded',
    `byte quota exceeded: limit ${limit} bytes of images that are not disabled`,
  );
}
