/**
 * The values of Cache-Control in answers. Only renditions have a configurable value
 * (`VITRINE_CACHE_CONTROL`).
 */
import { AppError } from '../../errors.ts';

/** Errors, probes, metrics and every answer that needs credentials. */
export const NO_STORE = 'no-store';

/** Static files of the dashboard and the API reference. */
export const STATIC_FILE = 'public, max-age=3600';

/**
 * The 404 of a public link. It is short, so that an image uploaded a moment later appears soon. It still lets
 * caches absorb a flood of guesses.
 */
const MISSING_IMAGE = 'public, max-age=60';

/** The value for a failed request to a public link. */
export function publicErrorPolicy(error: unknown): string {
  return error instanceof AppError && error.code === 'not-found' ? MISSING_IMAGE : NO_STORE;
}
