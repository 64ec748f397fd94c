/**
 * The parts of the wire contract that all capabilities share. The schemas give validation, the types of the
 * handlers, `docs/openapi.json` and the types of the client. Routes convert entities to these shapes.
 */
import { Type } from 'typebox';
import { DEFAULT_PAGE, MAX_PAGE } from './paging.ts';
import { DEFAULT_VERSION, VERSIONS } from './version.ts';

export const DateTime = (description: string) => Type.String({ format: 'date-time', description });

export const GenericError = Type.Object(
  { error: Type.String({ description: 'What is wrong, in a sentence.' }) },
  { $id: 'GenericError', description: 'Why a request failed.' },
);

/** The schemas with names of their own in the document. */
export const SHARED_SCHEMAS = [GenericError];

export const AccountParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
});
export const ListQuery = Type.Object({
  skip: Type.Optional(
    Type.Integer({ minimum: 0, default: 0, description: 'The number of elements to skip.' }),
  ),
  count: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: DEFAULT_PAGE,
      description: `The most elements to return. Above ${MAX_PAGE} means ${MAX_PAGE}.`,
    }),
  ),
});

/** An optional parameter with a fixed set of values. */
export const choice = <Value extends string>(values: readonly Value[], description: string) =>
  Type.Optional(Type.Unsafe<Value>({ type: 'string', enum: [...values], description }));

export const VersionHeader = Type.Object({
  'x-moov-version': Type.Optional(
    Type.String({
      description: `The API version: vYYYY.MM.BB, dev or latest. Supported: ${VERSIONS.join(', ')}. Default: ${DEFAULT_VERSION}.`,
    }),
  ),
});

export const ConditionalHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description: 'Entity tags of the states that the client has. The answer is 304 if one is current.',
    }),
  ),
});

/** A response of a route. Without a schema it has no body. */
export const describeResponse = (
  description: string,
  schema?: object,
  headers?: object,
  type = 'application/json',
) => ({
  description,
  ...(headers && { headers }),
  // With the type `null`, the document has no `content`.
  ...(schema ? { content: { [type]: { schema } } } : { type: 'null' }),
});

const headerOf = (type: 'integer' | 'string', description: string) => ({ description, schema: { type } });

const RETRY_AFTER = {
  'Retry-After': headerOf('integer', 'Seconds after which a retry makes sense.'),
};
const RATE_LIMIT = {
  'RateLimit-Policy': headerOf('string', 'The limits: q requests in w seconds.'),
  RateLimit: headerOf('string', 'The rest of the limits: r requests for the next t seconds.'),
};

const errorResponse = (description: string, headers?: typeof RETRY_AFTER & Partial<typeof RATE_LIMIT>) => ({
  description,
  ...(headers && { headers }),
  content: { 'application/json': { schema: { $ref: '#/components/schemas/GenericError' } } },
});

/** Responses that many operations share, in the form of `components.responses` in the OpenAPI document. */
export const SHARED_RESPONSES = {
  BadRequest: errorResponse('The request is malformed.'),
  Unauthorized: errorResponse('Credentials are missing or not valid.'),
  Forbidden: errorResponse('The credentials do not allow this.'),
  NotFound: errorResponse('The target or the API version does not exist.'),
  RequestTimeout: errorResponse('The body came too slowly.'),
  Conflict: errorResponse('The state of the target does not allow it.'),
  ContentTooLarge: errorResponse('The body or the image is too large.'),
  UnsupportedMediaType: errorResponse('The body is of a type or encoding that is not accepted.'),
  TooManyRequests: errorResponse('Too many requests, or too many failed authentications.', {
    ...RETRY_AFTER,
    ...RATE_LIMIT,
  }),
  InternalServerError: errorResponse('An internal error.'),
  ServiceUnavailable: errorResponse(
    'The request cannot be served now. Retry after the seconds in Retry-After.',
    RETRY_AFTER,
  ),
  InsufficientStorage: errorResponse('The storage is full.'),
} as const;

/**
 * A reference to a shared response. It needs a description: the generator would look for one among the
 * schemas.
 */
const sharedResponse = (name: keyof typeof SHARED_RESPONSES) => ({
  $ref: `#/components/responses/${name}`,
  description: SHARED_RESPONSES[name].description,
});

/** The responses of every authenticated operation. */
export const COMMON_RESPONSES = {
  400: sharedResponse('BadRequest'),
  401: sharedResponse('Unauthorized'),
  403: sharedResponse('Forbidden'),
  404: sharedResponse('NotFound'),
  429: sharedResponse('TooManyRequests'),
  500: sharedResponse('InternalServerError'),
  503: sharedResponse('ServiceUnavailable'),
} as const;

/** The responses of the body rules: of every operation except GET and HEAD. */
export const BODY_RESPONSES = {
  408: sharedResponse('RequestTimeout'),
  413: sharedResponse('ContentTooLarge'),
  415: sharedResponse('UnsupportedMediaType'),
  507: sharedResponse('InsufficientStorage'),
} as const;

/** The responses of every operation that changes something. */
export const WRITE_RESPONSES = {
  ...COMMON_RESPONSES,
  ...BODY_RESPONSES,
  409: sharedResponse('Conflict'),
} as const;
