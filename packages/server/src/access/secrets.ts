/**
 * Generates public keys, secret keys and tokens, and compares secrets by their digests.
 * A plain SHA-256 is enough: a random secret of 256 bits cannot be guessed, so a slow hash adds nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

// With these prefixes, leak scanners find our secrets and people see the kind of a secret.
const PUBLIC_PREFIX = 'vitrine_pk_';
const SECRET_PREFIX = 'vitrine_sk_';
const TOKEN_PREFIX = { access: 'vitrine_at_', refresh: 'vitrine_rt_' } as const;

/** Stands for a missing digest, so that the comparison takes the same time. */
const NO_DIGEST = Buffer.alloc(32);

/** The number of comparisons, always the same. A key has at most two secrets. */
const COMPARISONS = 2;

/** A new public key. It is not secret, but its 128 random bits make it hard to guess. */
export function generatePublicKey(): string {
  return PUBLIC_PREFIX + randomBytes(16).toString('base64url');
}

export function generateSecretKey(): string {
  return SECRET_PREFIX + randomBytes(32).toString('base64url');
}

export function generateToken(kind: 'access' | 'refresh'): string {
  return TOKEN_PREFIX[kind] + randomBytes(32).toString('base64url');
}

/** SHA-256, as 64 lower-case hexadecimal digits. */
export function digestOf(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

/**
 * The first candidate with the digest of the secret. The time does not depend on which candidate matches, if
 * any.
 */
export function findBySecret<T extends { readonly digest: string }>(
  secret: string,
  candidates: readonly T[],
): T | undefined {
  const digest = Buffer.from(digestOf(secret), 'hex');
  let match: T | undefined;
  for (let index = 0; index < COMPARISONS; index += 1) {
    const candidate = candidates[index];
    const isEqual = timingSafeEqual(digest, candidate ? Buffer.from(candidate.digest, 'hex') : NO_DIGEST);
    if (isEqual && candidate && match === undefined) match = candidate;
  }
  return match;
}
