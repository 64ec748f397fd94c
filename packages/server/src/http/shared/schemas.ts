/**
 * The one source of the wire contract: TypeBox schemas from which come validation, the handlers' types,
 * `docs/openapi.json` and, through it, the client's types. Refuses to know entities: the routes map.
 */
import { Type } from 'typebox';
import { FORMATS, IMAGE_FORMAT_NAMES, MAX_ALT_TEXT_LENGTH, OUTPUT_FORMATS } from '../../image.ts';
import { FITS, POSITIONS } from '../../imaging/plan.ts';
import { DEFAULT_SIZE, MAX_SIDE, SIZE_PATTERN, writeSize } from '../../imaging/size.ts';
import { MAX_SEARCH_LENGTH } from './paging.ts';
import { VERSIONS } from './version.ts';

export const DateTime = (description: string) => Type.String({ format: 'date-time', description });

const AltText = Type.String({
  description: `Alternative text for the image, at most ${MAX_ALT_TEXT_LENGTH} characters.`,
});

const FocalPoint = Type.Object(
  {
    x: Type.Number({ minimum: 0, maximum: 1, description: 'Share of the width: 0 is left, 1 right.' }),
    y: Type.Number({ minimum: 0, maximum: 1, description: 'Share of the height: 0 is top, 1 bottom.' }),
  },
  { description: 'What crops with `position=focal` keep.' },
);

const imageMetadata = {
  imageID: Type.String({ format: 'uuid', description: 'Identifies the image within its account.' }),
  publicID: Type.String({
    pattern: '^[A-Za-z0-9_-]{21}$',
    description: 'Identifies the image at its public link.',
  }),
  altText: Type.Optional(AltText),
  focalPoint: Type.Optional(FocalPoint),
  link: Type.String({
    format: 'uri',
    description: 'The public URL of the image. Takes an optional `size={width}x{height}`.',
  }),
  createdOn: DateTime('When the image was uploaded.'),
  updatedOn: DateTime('When the image or its metadata was last changed.'),
  disabledOn: Type.Optional(DateTime('When the image was disabled; absent while it is not.')),
};

export const ImageMetadata = Type.Object(imageMetadata, {
  $id: 'ImageMetadata',
  description: 'The record of an image.',
});

export const GenericError = Type.Object(
  { error: Type.String({ description: 'What is wrong, in a sentence.' }) },
  { $id: 'GenericError', description: 'Why a request failed.' },
);

const asOptional = Object.fromEntries(
  Object.entries(imageMetadata).map(([name, schema]) => [name, Type.Optional(schema)]),
);

export const DuplicateImageError = Type.Object(
  { error: Type.String({ description: 'What is wrong, in a sentence.' }), ...asOptional },
  {
    $id: 'DuplicateImageError',
    description:
      'Why an upload conflicts. From v2026.10.00 on, and if the account has the image already, with the metadata of that image.',
  },
);

export const ImageMetadataValidationError = Type.Object(
  {
    altText: Type.Optional(Type.String({ description: 'What is wrong with the alt text.' })),
    focalPoint: Type.Optional(Type.String({ description: 'What is wrong with the focal point.' })),
  },
  { $id: 'ImageMetadataValidationError', description: 'Why metadata is refused, by field.' },
);

export const ImageRequestValidationError = Type.Object(
  {
    image: Type.Optional(Type.String({ description: 'What is wrong with the image.' })),
    metadata: Type.Optional(Type.Ref('ImageMetadataValidationError')),
  },
  { $id: 'ImageRequestValidationError', description: 'Why an upload is refused, by part of the form.' },
);

export const ImageMetadataRequest = Type.Object(
  {
    altText: Type.Optional(Type.Union([AltText, Type.Null()])),
    focalPoint: Type.Optional(Type.Union([FocalPoint, Type.Null()])),
  },
  {
    $id: 'ImageMetadataRequest',
    description:
      'Metadata to store with an image. Without altText it has none; without focalPoint it keeps the one it has, and null takes it away.',
  },
);

export const ImageRequest = Type.Object(
  {
    image: Type.String({
      format: 'binary',
      description: `A ${IMAGE_FORMAT_NAMES} file of at most 16 MiB. Its type is decided by its bytes.`,
    }),
    metadata: Type.Optional(Type.Ref('ImageMetadataRequest')),
  },
  { $id: 'ImageRequest', description: 'An image file and, optionally, its metadata as JSON text.' },
);

/** Every schema with a name of its own in the document. */
export const NAMED_SCHEMAS = [
  ImageMetadata,
  GenericError,
  DuplicateImageError,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  ImageMetadataRequest,
  ImageRequest,
];

export const AccountParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
});
export const ImageParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
  imageID: Type.String({ description: 'The image, a UUID.' }),
});
export const PublicParams = Type.Object({
  publicID: Type.String({ description: 'The public ID of the image, 21 characters.' }),
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

const choice = <Value extends string>(values: readonly Value[], description: string) =>
  Type.Optional(Type.Unsafe<Value>({ type: 'string', enum: [...values], description }));

const TRUTHS = ['true', 'false'] as const;

export const ImageListQuery = Type.Object({
  ...ListQuery.properties,
  disabled: choice(TRUTHS, 'true: only disabled images. false: only images that are not.'),
  unused: choice(TRUTHS, 'true: only images that nothing shows (see usage). false: only images in use.'),
  altText: choice(['missing'] as const, 'missing: only images without alternative text.'),
  search: Type.Optional(
    Type.String({
      maxLength: MAX_SEARCH_LENGTH,
      description:
        'Only images with this in their alternative text, in whatever case. No character is special.',
    }),
  ),
});

export const DeliveryQuery = Type.Object({
  size: Type.Optional(
    Type.String({
      pattern: SIZE_PATTERN,
      default: writeSize(DEFAULT_SIZE),
      description: `WxH in pixels, each capped at ${MAX_SIDE}. If one is 0, the image is scaled in proportion to the other. 0x0 is the size of the image itself, bounded by ${MAX_SIDE}.`,
    }),
  ),
  fit: choice(FITS, 'cover (default): exactly the size, cropped. contain: within the size, not cropped.'),
  position: choice(
    POSITIONS,
    'Which part a crop keeps; focal: around the focal point of the image. Default: center.',
  ),
  format: choice(OUTPUT_FORMATS, 'The format, whatever the Accept header says.'),
  quality: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      description: 'Encoder quality. PNG is lossless and ignores it.',
    }),
  ),
  dpr: Type.Optional(
    Type.Number({
      minimum: 1,
      maximum: 3,
      description: 'Device pixels for each pixel of the size. Default: 1.',
    }),
  ),
});

export const VersionHeader = Type.Object({
  'x-moov-version': Type.Optional(
    Type.String({
      description: `The API version: vYYYY.MM.BB, dev or latest. Supported: ${VERSIONS.join(', ')}. Default: ${VERSIONS[0]}.`,
    }),
  ),
});

export const DeliveryHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: 'Entity tags of what the client has; answered with 304 if one is current.' }),
  ),
});

export const UploadHeaders = Type.Object({
  ...VersionHeader.properties,
  'x-idempotency-key': Type.Optional(
    Type.String({
      description: 'Makes a retry of this upload safe: for 24 hours it gets the first answer.',
      maxLength: 255,
    }),
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

export const RESPONSES = {
  list: {
    200: described('A page of images, newest first.', Type.Array(Type.Ref('ImageMetadata')), {
      'X-Total-Count': { description: 'How many images the account has.', type: 'integer' },
      Link: { description: 'The next page, as rel="next", if there is one.', type: 'string' },
    }),
    ...COMMON_RESPONSES,
  },
  upload: {
    201: described('The image was added.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    409: described('The account has the image already.', Type.Ref('DuplicateImageError')),
    422: described('The image or its metadata is refused.', Type.Ref('ImageRequestValidationError')),
  },
  get: { 200: described('The image.', Type.Ref('ImageMetadata')), ...COMMON_RESPONSES },
  update: {
    200: described('The image was replaced.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    422: described('The image or its metadata is refused.', Type.Ref('ImageRequestValidationError')),
  },
  updateMetadata: {
    200: described('The metadata was replaced.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    422: described('The metadata is refused.', Type.Ref('ImageMetadataValidationError')),
  },
  delivery: {
    200: {
      description: 'The image in the size asked for, in a format that Accept allows.',
      headers: {
        ETag: { description: 'Weak entity tag.', type: 'string' },
        'Cache-Control': { type: 'string' },
        'Last-Modified': { type: 'string' },
      },
      content: Object.fromEntries(
        OUTPUT_FORMATS.map((format) => [
          FORMATS[format].mediaType,
          { schema: { type: 'string', format: 'binary' } },
        ]),
      ),
    },
    304: described('The image has not changed.'),
    400: COMMON_RESPONSES[400],
    404: COMMON_RESPONSES[404],
    429: COMMON_RESPONSES[429],
    500: COMMON_RESPONSES[500],
    503: COMMON_RESPONSES[503],
  },
  ping: { 200: described('The credentials work.', Type.Object({})), ...COMMON_RESPONSES },
} as const;
