/**
 * Examples for the OpenAPI document: their form, the placeholders that they share, and the examples of
 * responses that many operations share. A test sends them to a server and compares its answers with them.
 */

/** A request body or a response body. */
export interface Example {
  /** The name in `components.examples`. */
  readonly name: string;
  /** What the example shows, in a few words. */
  readonly summary: string;
  readonly value: unknown;
}

/** The examples of one operation. Parameters have theirs in `PARAMETER_EXAMPLES`. */
export interface OperationExamples {
  /** The reference page fills its form with the first one. So it has no ID, if that is possible. */
  readonly request?: readonly Example[];
  /** Bodies by status, for the responses that are not shared. */
  readonly responses: Readonly<Record<number, readonly Example[]>>;
}

/** By operation ID. */
export type Examples = Readonly<Record<string, OperationExamples>>;

export const example = (name: string, summary: string, value: unknown): Example => ({ name, summary, value });

/** Placeholders for values that differ on each server. They have their form, but look invented. */
export const PLACEHOLDERS = {
  accountID: '10000000-0000-4000-8000-000000000001',
  imageID: '20000000-0000-4000-8000-000000000001',
  publicID: 'brass-desk-lamp-00001',
  productID: '30000000-0000-4000-8000-000000000001',
  lineItemsID: '40000000-0000-4000-8000-000000000001',
  keyID: '50000000-0000-4000-8000-000000000001',
  serverKeyID: '50000000-0000-4000-8000-000000000002',
  publicKey: `vitrine_pk_${opaque('public-key', 22)}`,
  serverPublicKey: `vitrine_pk_${opaque('server-key', 22)}`,
  secretKey: `vitrine_sk_${opaque('secret', 43)}`,
  serverSecretKey: `vitrine_sk_${opaque('server-secret', 43)}`,
  newSecretKey: `vitrine_sk_${opaque('new-secret', 43)}`,
  newServerSecretKey: `vitrine_sk_${opaque('new-server-secret', 43)}`,
  accessToken: `vitrine_at_${opaque('access', 43)}`,
  refreshToken: `vitrine_rt_${opaque('refresh', 43)}`,
  adminKeyID: '50000000-0000-4000-8000-000000000009',
  requestID: '60000000-0000-4000-8000-000000000001',
  otherRequestID: '60000000-0000-4000-8000-000000000002',
} as const;

/** The base of public links in the examples. */
export const EXAMPLE_BASE_URL = 'https://vitrine.example.com';

/** Values by parameter name, the same in all operations. */
export const PARAMETER_EXAMPLES: Readonly<Record<string, string | number>> = {
  accountID: PLACEHOLDERS.accountID,
  imageID: PLACEHOLDERS.imageID,
  publicID: PLACEHOLDERS.publicID,
  productID: PLACEHOLDERS.productID,
  lineItemsID: PLACEHOLDERS.lineItemsID,
  keyID: PLACEHOLDERS.keyID,
  search: 'lamp',
  tag: 'brass',
  minWidth: 800,
  minHeight: 600,
  title: 'lamp',
  category: 'lighting',
  size: '800x600',
  quality: 80,
  dpr: 2,
  'x-moov-version': 'v2026.10.00',
  'x-idempotency-key': 'import-2026-03-brass-desk-lamp',
  'if-none-match': 'W/"of-an-earlier-response"',
  'if-match': '"of-an-earlier-response"',
};

const error = (name: string, summary: string, text: string): Example =>
  example(name, summary, { error: text });

/** By the name in `components.responses`. */
export const SHARED_RESPONSE_EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  BadRequest: [error('BadRequest', 'A parameter out of its range', 'count must be a whole number from 1')],
  Unauthorized: [error('Unauthorized', 'A wrong secret', 'the credentials are not valid')],
  Forbidden: [
    error('Forbidden', 'A key of another account', 'the credentials have no rights on this account'),
  ],
  NotFound: [error('NotFound', 'An unknown image', 'image not found')],
  RequestTimeout: [
    error('RequestTimeout', 'A body that stops', 'no byte of the request body came for 60 seconds'),
  ],
  Conflict: [
    error('Conflict', 'A change of a disabled image', 'the image is disabled and cannot be changed'),
  ],
  ContentTooLarge: [
    error('ContentTooLarge', 'A file over the limit', 'image is larger than 16777216 bytes (16 MiB)'),
  ],
  UnsupportedMediaType: [
    error(
      'UnsupportedMediaType',
      'A body of another type',
      'Content-Type must be application/json, but Content-Type is text/plain',
    ),
  ],
  TooManyRequests: [
    error(
      'TooManyRequests',
      'A key over its limit',
      'too many requests by this key: at most 2 a second, and 4 at once',
    ),
  ],
  InternalServerError: [
    error(
      'InternalServerError',
      'A defect of the server',
      'internal error; quote the x-request-id of this response when you report it',
    ),
  ],
  ServiceUnavailable: [
    error('ServiceUnavailable', 'A rendition that cannot be made', 'the image cannot be rendered now'),
  ],
  InsufficientStorage: [error('InsufficientStorage', 'A full disk', 'The storage is full')],
};

/** A text of random characters, as it looks in an example. */
function opaque(word: string, length: number): string {
  return `example-${word}-`.repeat(length).slice(0, length);
}
