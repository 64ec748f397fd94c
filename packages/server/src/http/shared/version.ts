/**
 * The API versions, and the choice of the one that answers a request.
 */
import { AppError } from '../../errors.ts';

/**
 * Supported versions, oldest first.
 */
export const VERSIONS = [
  'v2024.01.00',
  'v2025.01.00',
  'v2025.04.00',
  'v2025.07.00',
  'v2026.01.00',
  'v2026.04.00',
  'v2026.07.00',
  'v2026.10.00',
] as const;

export type Version = (typeof VERSIONS)[number];

const OLDEST: Version = 'v2024.01.00';
const NEWEST: Version = 'v2026.10.00';
const WELL_FORMED = /^v\d{4}\.\d{2}\.\d{2}$/;

/** The version without the header, and with a malformed one. */
export const DEFAULT_VERSION: Version = OLDEST;

/**
 * The version that answers a request with this `X-Moov-Version`.
 * @throws AppError `not-found` if it is not of the form `vYYYY.MM.BB`, `dev` or `latest`.
 */
export function resolveVersion(header: string | undefined): Version {
  if (header === undefined) return DEFAULT_VERSION;
  if (header === 'dev' || header === 'latest') return NEWEST;
  if (!WELL_FORMED.test(header)) {
    throw new AppError('not-found', 'X-Moov-Version must be of the form vYYYY.MM.BB, or dev, or latest');
  }
  // The digits have fixed places, so texts sort like versions.
  return VERSIONS.findLast((version) => version <= header) ?? OLDEST;
}

/** True if the 409 of a duplicate upload carries the existing image: from v2026.10.00 on. */
export function duplicateNamesExisting(version: Version): boolean {
  return version >= 'v2026.10.00';
}
