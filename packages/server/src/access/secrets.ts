/**
 * Owns how secrets are made, recognised and compared. Random secrets of 256 bits need no slow hash: there is nothing to
 * guess. Refuses to know whose they are and where their digests are kept.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

// The beginnings mark our secrets for leak scanners, and tell people which is which.
const PUBLIC_PREFIX = 'vitrine_pk_';
const SECRET_PREFIX = 'vitrine_sk_';
const TOKEN_PREFIX = { access: 'vitrine_at_', refresh: 'vitrine_rt_' } as const;

/** What a secret is compared with where there is none, so that it takes as long. */
const NO_DIGEST = Buffer.alloc(32);

/** A key has at most as many secrets at once; so many comparisons are made whatever there is. */
const COMPARISONS = 2;

/** A new public key: not secret, but not to be guessed either. */
export function newPublicKey(): string {
  return PUBLIC_PREFIX + randomBytes(16).toString('base64url');
}

export function newSecretKey(): string {
  return SECRET_PREFIX + randomBytes(32).toString('base64url');
}

export function newToken(kind: 'access' | 'refresh'): string {
  return TOKEN_PREFIX[kind] + randomBytes(32).toString('base64url');
}

/** SHA-256, as 64 lower-case hexadecimal digits. */
export function digestOf(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

/** The first of these with the secret's digest. Takes as long whether one, another or none has it. */
export function matching<T extends { readonly digest: string }>(
  secret: string,
  candidates: readonly T[],
): T | undefined {
  const given = Buffer.from(digestOf(secret), 'hex');
  let found: T | undefined;
  for (let index = 0; index < COMPARISONS; index += 1) {
    const candidate = candidates[index];
    const equal = timingSafeEqual(given, candidate ? Buffer.from(candidate.digest, 'hex') : NO_DIGEST);
    if (equal && candidate && found === undefined) found = candidate;
  }
  return found;
}
