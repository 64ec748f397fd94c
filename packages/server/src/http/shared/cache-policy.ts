/**
 * The values of Cache-Control in answers. Only renditions have a configurable value
 * (`VITRINE_CACHE_CONTROL`).
 */
import type { RecordState } from '../../delivery/public-images.ts';
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

/** The most seconds for which caches keep an answer whose record is not confirmed. */
const UNCONFIRMED_MAX_AGE = 5;

/** The values of a rendition. */
export type RenditionPolicy = Readonly<Record<RecordState, string>>;

/**
 * The values for a configured Cache-Control. A picture that may have been replaced is kept briefly, and never
 * shown stale. Other directives stay: what is private or not stored remains so.
 */
export function renditionPolicy(configured: string): RenditionPolicy {
  const directives = configured.split(',').flatMap((text) => {
    const directive = text.trim();
    const [name = '', value = ''] = directive
      .toLowerCase()
      .split('=')
      .map((part) => part.trim());
    if (['stale-while-revalidate', 'stale-if-error', 'immutable'].includes(name)) return [];
    if (name !== 'max-age' && name !== 's-maxage') return [directive];
    const seconds = Number(value.replaceAll('"', ''));
    return [`${name}=${seconds >= 0 ? Math.min(seconds, UNCONFIRMED_MAX_AGE) : UNCONFIRMED_MAX_AGE}`];
  });
  // Without a number, a cache estimates one.
  const isLimited = directives.some((text) => /^(max-age=|no-store$|no-cache$)/i.test(text));
  if (!isLimited) directives.push(`max-age=${UNCONFIRMED_MAX_AGE}`);
  return { confirmed: configured, unconfirmed: directives.filter(Boolean).join(', ') };
}
