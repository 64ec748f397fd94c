/**
 * Owns what the audit trail tells: who did what to which thing, and when. Refuses to know where it is kept, and that
 * an address came out of an HTTP request.
 */
import type { Digest } from '../image.ts';

/**
 * Who a change is put down to. Every method of the store that changes something takes one, so that forgetting it does
 * not compile.
 */
export type Actor =
  | {
      readonly kind: 'key';
      readonly keyID: string;
      /** The access token that was made with the key, if it was not the key's own secret that was shown. */
      readonly tokenID?: string;
      readonly requestID: string;
      /** The address of the client, as far as proxies are believed. */
      readonly address: string;
    }
  /** Someone at the command line of the machine, by the name the system knows them by. */
  | { readonly kind: 'operator'; readonly name: string }
  /** The server itself, at its start. */
  | { readonly kind: 'server' };

/** The actor of a change. Without one, what was asked for can only be read. */
export function knownActor(by: Actor | undefined): Actor {
  if (by === undefined) throw new TypeError('what was asked for without an actor is only read');
  return by;
}

/** What can be told. The part before the dot is the kind of thing that it happened to. */
export const AUDIT_ACTIONS = [
  'image.upload',
  'image.replace',
  /** Alt text or focal point. */
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
  /** The key of the server's configuration got another secret, or its rights back. */
  'key.replace',
  'key.rotate',
  'key.revoke',
  'token.create',
  'token.refresh',
  'token.revoke',
  /** A refresh token was shown a second time, and everything that came of it ended. */
  'token.reuse',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** One change, as it is told to the store together with the change. */
export interface NewAuditEntry {
  readonly on: Date;
  readonly by: Actor;
  readonly action: AuditAction;
  /** The ID of what it happened to. */
  readonly subjectID: string;
  /** For images: the digest of the original before and after. Absent where there was, or is, none. */
  readonly before?: Digest;
  readonly after?: Digest;
  /** What else is worth knowing. Never a secret, nor its digest. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** One line of the trail. */
export interface AuditEntry extends NewAuditEntry {
  /** The account it concerns; absent: the server as a whole. */
  readonly accountID?: string;
  /** 1 for the first line of its account, 2 for the second, without gaps. */
  readonly sequence: number;
}
