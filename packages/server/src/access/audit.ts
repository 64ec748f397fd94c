/**
 * The entries of the audit trail: the actor, the action, the subject and the time of each change.
 */
import type { Digest } from '../image.ts';

/**
 * The author of a change. Every method of the store that changes something has a parameter for it, so a
 * forgotten actor does not compile.
 */
export type Actor =
  | {
      readonly kind: 'key';
      readonly keyID: string;
      /** The access token of the request. Absent if the request used the secret key. */
      readonly tokenID?: string;
      readonly requestID: string;
      /** The address of the client. Headers of trusted proxies are taken into account. */
      readonly address: string;
    }
  /** A person at the command line, with the user name of the operating system. */
  | { readonly kind: 'operator'; readonly name: string }
  /** The server itself, during its start. */
  | { readonly kind: 'server' };

/**
 * The actor of a change.
 * @throws TypeError without one: then the caller has a read-only object and must not change anything.
 */
export function requireActor(by: Actor | undefined): Actor {
  if (by === undefined) throw new TypeError('a change requires an actor: this object is read-only');
  return by;
}

/** Every action in the audit trail. The part before the dot is the kind of the subject. */
export const AUDIT_ACTIONS = [
  'image.upload',
  'image.replace',
  /** A change of the alt text or the focal point. */
  'image.describe',
  'image.disable',
  'image.enable',
  'product.create',
  'product.change',
  'product.disable',
  'line-items.create',
  'account.create',
  'account.change',
  'account.suspend',
  'account.resume',
  'key.create',
  /** The start of the server gave the bootstrap key another secret or restored its rights. */
  'key.replace',
  'key.rotate',
  'key.revoke',
  'token.create',
  'token.refresh',
  'token.revoke',
  /** A refresh token was used a second time, so all tokens of its family ended. */
  'token.reuse',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** A change to record. The store writes it in the transaction of the change. */
export interface NewAuditEntry {
  readonly on: Date;
  readonly by: Actor;
  readonly action: AuditAction;
  /** The ID of the changed image, product, set of line items, account, key or token. */
  readonly subjectID: string;
  /**
   * For images: the digest of the original before and after the change. Absent if there was, or is, no
   * original.
   */
  readonly before?: Digest;
  readonly after?: Digest;
  /** More facts about the change. They never contain a secret or the digest of a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** One recorded change. */
export interface AuditEntry extends NewAuditEntry {
  /** The account of the change. Absent: the change affects the server as a whole. */
  readonly accountID?: string;
  /** Counts the entries of one account: 1, 2, 3, without gaps. */
  readonly sequence: number;
}
