/**
 * The wire contract of the public link: its parameters and responses.
 */
import { Type } from 'typebox';
import { FORMATS, OUTPUT_FORMATS } from '../../image.ts';
import { FITS, POSITIONS } from '../../imaging/plan.ts';
import { DEFAULT_SIZE, MAX_DPR, MAX_SIDE, MIN_DPR, SIZE_PATTERN, writeSize } from '../../imaging/size.ts';
import { COMMON_RESPONSES, choice, describeResponse } from '../shared/schemas.ts';

export const PublicParams = Type.Object({
  publicID: Type.String({ description: 'The public ID of the image, 21 characters.' }),
});

export const DeliveryQuery = Type.Object({
  size: Type.Optional(
    Type.String({
      pattern: SIZE_PATTERN,
      default: writeSize(DEFAULT_SIZE),
      description: `WxH in pixels, each capped at ${MAX_SIDE}. If one is 0, the image is scaled in proportion to the other. If the scaled side would be longer than ${MAX_SIDE}, both shrink in proportion: 800x0 of an image of 1080x12000 is 184x2048. 0x0 is the size of the image itself, bounded by ${MAX_SIDE} in the same way.`,
    }),
  ),
  fit: choice(FITS, 'cover (default): exactly the size, cropped. contain: within the size, not cropped.'),
  position: choice(
    POSITIONS,
    'The part that a crop keeps. focal: the part around the focal point of the image. Default: center.',
  ),
  format: choice(OUTPUT_FORMATS, 'The format. It overrides the Accept header.'),
  quality: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      description: 'Encoder quality. PNG is lossless and ignores it.',
    }),
  ),
  dpr: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      description: `Device pixels for each pixel of the size, as \`window.devicePixelRatio\` of a browser. A decimal number with any number of digits. Below ${MIN_DPR} it counts as ${MIN_DPR}, above ${MAX_DPR} as ${MAX_DPR}. If a side would be longer than ${MAX_SIDE}, both sides shrink in proportion. Default: 1.`,
    }),
  ),
});

export const DELIVERY_RESPONSES = {
  200: {
    description: 'The image in the requested size, in a format that Accept allows.',
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
  304: describeResponse('The image has not changed.'),
  400: COMMON_RESPONSES[400],
  404: COMMON_RESPONSES[404],
  429: COMMON_RESPONSES[429],
  500: COMMON_RESPONSES[500],
  503: COMMON_RESPONSES[503],
} as const;
