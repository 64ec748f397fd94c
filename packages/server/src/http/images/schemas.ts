/**
 * The wire contract of the image library. The schemas give the types of the handlers, `docs/openapi.json` and
 * the types of the client. Routes convert entities to these shapes.
 */
import { Type } from 'typebox';
import {
  IMAGE_FORMAT_NAMES,
  IMAGE_FORMATS,
  type ImageFormat,
  MAX_ALT_TEXT_LENGTH,
  MAX_FILE_NAME_LENGTH,
  MAX_TAG_LENGTH,
  MAX_TAGS,
  VISIBILITIES,
  type Visibility,
} from '../../image.ts';
import { IMAGE_SORTS } from '../../images/records.ts';
import { MAX_SEARCH_LENGTH } from '../shared/paging.ts';
import {
  COMMON_RESPONSES,
  choice,
  DateTime,
  describeResponse,
  ListQuery,
  VersionHeader,
  WRITE_RESPONSES,
} from '../shared/schemas.ts';

const AltText = Type.String({
  description: `Alternative text for the image, at most ${MAX_ALT_TEXT_LENGTH} characters.`,
});

const FocalPoint = Type.Object(
  {
    x: Type.Number({ minimum: 0, maximum: 1, description: 'Share of the width: 0 is left, 1 right.' }),
    y: Type.Number({ minimum: 0, maximum: 1, description: 'Share of the height: 0 is top, 1 bottom.' }),
  },
  { description: 'The point that crops with `position=focal` keep.' },
);

const FileName = Type.String({
  description: `The name of the uploaded file without folders, at most ${MAX_FILE_NAME_LENGTH} characters.`,
});

const Tags = Type.Array(Type.String(), {
  description: `At most ${MAX_TAGS} tags of 1 to ${MAX_TAG_LENGTH} characters. Case does not matter in comparisons.`,
});

const VisibilityField = Type.Unsafe<Visibility>({
  type: 'string',
  enum: VISIBILITIES,
  description: 'public: the link of the image works for everybody.',
});

const imageMetadata = {
  imageID: Type.String({ format: 'uuid', description: 'Identifies the image within its account.' }),
  publicID: Type.String({
    pattern: '^[A-Za-z0-9_-]{21}$',
    description: 'Identifies the image at its public link.',
  }),
  altText: Type.Optional(AltText),
  focalPoint: Type.Optional(FocalPoint),
  fileName: Type.Optional(FileName),
  tags: Tags,
  link: Type.String({
    format: 'uri',
    description: 'The public URL of the image. Takes an optional `size={width}x{height}`.',
  }),
  width: Type.Integer({ minimum: 1, description: 'Width of the upright picture, in pixels.' }),
  height: Type.Integer({ minimum: 1, description: 'Height of the upright picture, in pixels.' }),
  format: Type.Unsafe<ImageFormat>({
    type: 'string',
    enum: IMAGE_FORMATS,
    description: 'The format of the original.',
  }),
  bytes: Type.Integer({ minimum: 1, description: 'Size of the original, in bytes.' }),
  version: Type.Integer({
    minimum: 1,
    description: 'The number of the current picture of this link, from 1.',
  }),
  placeholder: Type.Optional(
    Type.String({
      description: 'A ThumbHash in base64, for a blurred preview. Absent until the picture is analysed.',
    }),
  ),
  color: Type.Optional(
    Type.String({
      pattern: '^#[0-9a-f]{6}$',
      description: 'The average colour. Absent until the picture is analysed.',
    }),
  ),
  visibility: VisibilityField,
  createdOn: DateTime('When the image was uploaded.'),
  updatedOn: DateTime('When the image or its metadata was last changed.'),
  disabledOn: Type.Optional(DateTime('When the image was disabled. Absent for other images.')),
};

export const ImageMetadata = Type.Object(imageMetadata, {
  $id: 'ImageMetadata',
  description: 'The record of an image.',
});

const optionalMetadata = Object.fromEntries(
  Object.entries(imageMetadata).map(([name, schema]) => [name, Type.Optional(schema)]),
);

export const DuplicateImageError = Type.Object(
  { error: Type.String({ description: 'What is wrong, in a sentence.' }), ...optionalMetadata },
  {
    $id: 'DuplicateImageError',
    description:
      'Why an upload conflicts. From v2026.10.00 on, a duplicate also has the metadata of the existing image.',
  },
);

export const ImageMetadataValidationError = Type.Object(
  {
    altText: Type.Optional(Type.String({ description: 'What is wrong with the alt text.' })),
    focalPoint: Type.Optional(Type.String({ description: 'What is wrong with the focal point.' })),
    tags: Type.Optional(Type.String({ description: 'What is wrong with the tags.' })),
    fileName: Type.Optional(Type.String({ description: 'What is wrong with the file name.' })),
    visibility: Type.Optional(Type.String({ description: 'What is wrong with the visibility.' })),
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
    tags: Type.Optional(Type.Union([Tags, Type.Null()])),
    fileName: Type.Optional(Type.Union([FileName, Type.Null()])),
    visibility: Type.Optional(VisibilityField),
  },
  {
    $id: 'ImageMetadataRequest',
    description:
      'Metadata to store with an image. It replaces the earlier metadata: an absent or null altText, focalPoint or tags is cleared. An absent fileName or visibility stays as it is. A null fileName is cleared.',
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
  {
    $id: 'ImageRequest',
    description:
      'An image file and, optionally, its metadata as JSON text. Instead of the metadata part, a form may have a part for each field: altText (or metadata[altText]), fileName, visibility. The focal point is focalPoint[x] and focalPoint[y]. Each tag is a part tags[]. Two different values of one field get 422.',
  },
);

/** The schemas with names of their own in the document. */
export const IMAGE_SCHEMAS = [
  ImageMetadata,
  DuplicateImageError,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  ImageMetadataRequest,
  ImageRequest,
];

export const ImageParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
  imageID: Type.String({ description: 'The image, a UUID.' }),
});

const BOOLEANS = ['true', 'false'] as const;

export const ImageListQuery = Type.Object({
  ...ListQuery.properties,
  search: Type.Optional(
    Type.String({
      maxLength: MAX_SEARCH_LENGTH,
      description:
        'Only images with this text in their alternative text, file name or one of their tags. Case and accents do not matter. No character is special.',
    }),
  ),
  tag: Type.Optional(
    Type.String({
      maxLength: MAX_TAG_LENGTH,
      description: 'Only images with this tag. Case does not matter.',
    }),
  ),
  format: choice(IMAGE_FORMATS, 'Only images whose original has this format.'),
  minWidth: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Only images that are at least this wide, in pixels.' }),
  ),
  minHeight: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Only images that are at least this high, in pixels.' }),
  ),
  disabled: choice(BOOLEANS, 'true: only disabled images. false: only images that are not.'),
  unused: choice(BOOLEANS, 'true: only images without a use (see usage). false: only images in use.'),
  altText: choice(['missing'] as const, 'missing: only images without alternative text.'),
  visibility: choice(['public', 'private'] as const, 'Only images with this visibility.'),
  withdrawn: choice(
    BOOLEANS,
    'true: only withdrawn images. false: only images that are not. This version withdraws no images.',
  ),
  sort: choice(
    IMAGE_SORTS,
    'The order. createdOn is the order of upload. fileName ignores case and accents, and images without a name are last. A minus reverses the order. Default: -createdOn.',
  ),
});

export const UploadHeaders = Type.Object({
  ...VersionHeader.properties,
  'x-idempotency-key': Type.Optional(
    Type.String({
      description: 'Makes a retry of this upload safe. For 24 hours, a retry gets the first answer.',
      maxLength: 255,
    }),
  ),
});

export const IMAGE_RESPONSES = {
  list: {
    200: describeResponse('A page of images.', Type.Array(Type.Ref('ImageMetadata')), {
      'X-Total-Count': { description: 'How many images match, on all pages.', type: 'integer' },
      Link: { description: 'The next page, as rel="next", if there is one.', type: 'string' },
    }),
    ...COMMON_RESPONSES,
  },
  upload: {
    201: describeResponse('The image was added.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    409: describeResponse('The account has the image already.', Type.Ref('DuplicateImageError')),
    422: describeResponse('The image or its metadata is refused.', Type.Ref('ImageRequestValidationError')),
  },
  get: { 200: describeResponse('The image.', Type.Ref('ImageMetadata')), ...COMMON_RESPONSES },
  update: {
    200: describeResponse('The image was replaced.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    422: describeResponse('The image or its metadata is refused.', Type.Ref('ImageRequestValidationError')),
  },
  updateMetadata: {
    200: describeResponse('The metadata was replaced.', Type.Ref('ImageMetadata')),
    ...WRITE_RESPONSES,
    422: describeResponse('The metadata is refused.', Type.Ref('ImageMetadataValidationError')),
  },
} as const;
