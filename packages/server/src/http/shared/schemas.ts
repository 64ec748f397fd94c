/**
 * The one source of the wire contract: TypeBox schemas from which come validation, the handlers' types,
 * `docs/openapi.json` and, through it, the client's types. Refuses to know entities: the routes map.
 */
import { Type } from 'typebox';
import { VERSIONS } from './version.ts';

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
  skip: Type.Optional(Type.Integer({ minimum: 0, default: 0, description: 'How many to pass over.' })),
  count: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 20,
      description: 'How many to return at most. Above 200 means 200.',
    }),
  ),
});

export const choice = <Value extends string>(values: readonly Value[], description: string) =>
  Type.Optional(Type.Unsafe<Value>({ type: 'string', enum: [...values], description }));

export const VersionHeader = Type.Object({
  'x-moov-version': Type.Optional(
    Type.String({
      description: `The API version: vYYYY.MM.BB, dev or latest. Supported: ${VERSIONS.join(', ')}. Default: ${VERSIONS[0]}.`,
    }),
  ),
});

export const ConditionalHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: 'Entity tags of what the client has; answered with 304 if one is current.' }),
  ),
});

export const described = (
  description: string,
  schema?: object,
  headers?: object,
  type = 'application/json',
) => ({
  description,
  ...(headers && { headers }),
  // `null`: the answer has no body, and the document no `content`.
  ...(schema ? { content: { [type]: { schema } } } : { type: 'null' }),
});

const header = (type: 'integer' | 'string', description: string) => ({ description, schema: { type } });

const RETRY_AFTER = {
  'Retry-After': header('integer', 'Seconds after which trying again makes sense.'),
};
const RATE_LIMIT = {
  'RateLimit-Policy': header('string', 'The limits: q requests in w seconds.'),
  RateLimit: header('string', 'What is left of them: r requests for the next t seconds.'),
};

const errorAnswer = (description: string, headers?: typeof RETRY_AFTER & Partial<typeof RATE_LIMIT>) => ({
  description,
  ...(headers && { headers }),
  content: { 'application/json': { schema: { $ref: '#/components/schemas/GenericError' } } },
});

/** Answers that many operations share, as the OpenAPI document has them in `components.responses`. */
export const SHARED_RESPONSES = {
  BadRequest: errorAnswer('The request is malformed.'),
  Unauthorized: errorAnswer('Credentials are missing or not valid.'),
  Forbidden: errorAnswer('The credentials do not allow this.'),
  NotFound: errorAnswer('There is no such thing, or no such version.'),
  RequestTimeout: errorAnswer('The body came too slowly.'),
  Conflict: errorAnswer('The state of the target does not allow it.'),
  ContentTooLarge: errorAnswer('The body or the image is too large.'),
  UnsupportedMediaType: errorAnswer('The body is of a type or encoding that is not accepted.'),
  TooManyRequests: errorAnswer('Too many requests, or failed attempts to authenticate.', {
    ...RETRY_AFTER,
    ...RATE_LIMIT,
  }),
  InternalServerError: errorAnswer('An internal error.'),
  ServiceUnavailable: errorAnswer(
    'Cannot be served now; try again after the seconds in Retry-After.',
    RETRY_AFTER,
  ),
  InsufficientStorage: errorAnswer('The storage is full.'),
} as const;

/** Refers to a shared answer. Without the description, the generator looks for one among the schemas. */
const shared = (name: keyof typeof SHARED_RESPONSES) => ({
  $ref: `#/components/responses/${name}`,
  description: SHARED_RESPONSES[name].description,
});

/** The responses that any authenticated operation may give. */
export const COMMON_RESPONSES = {
  400: shared('BadRequest'),
  401: shared('Unauthorized'),
  403: shared('Forbidden'),
  404: shared('NotFound'),
  429: shared('TooManyRequests'),
  500: shared('InternalServerError'),
  503: shared('ServiceUnavailable'),
} as const;

/** What any operation may answer that changes something, and to which a body can therefore be sent. */
export const BODY_RESPONSES = {
  408: shared('RequestTimeout'),
  413: shared('ContentTooLarge'),
  415: shared('UnsupportedMediaType'),
  507: shared('InsufficientStorage'),
} as const;

export const WRITE_RESPONSES = {
  ...COMMON_RESPONSES,
  ...BODY_RESPONSES,
  409: shared('Conflict'),
} as const;
