/**
 * The schemas of the usage of an image, and the responses that contain it.
 */
import { Type } from 'typebox';
import { MAX_LISTED_USES } from '../../images/usage.ts';
import { COMMON_RESPONSES, DateTime, describeResponse } from '../shared/schemas.ts';

const UUID = (description: string) => Type.String({ format: 'uuid', description });
const Place = (description: string) =>
  Type.Object(
    {
      index: Type.Integer({ minimum: 0, description: 'The index in its list, from 0.' }),
      name: Type.String({ description: 'The name.' }),
    },
    { description },
  );
const productUse = {
  productID: UUID('The ID of the product.'),
  title: Type.String({ description: 'The title of the product.' }),
};
const Total = (subject: string) => Type.Integer({ minimum: 0, description: `The number of all ${subject}.` });

const ImageUsage = Type.Object(
  {
    imageID: UUID('The ID of the image.'),
    inUse: Type.Boolean({ description: 'True if a product, an option or a line item shows the image.' }),
    products: Type.Array(Type.Object(productUse), {
      description: 'Products that show the image in their own list of images.',
    }),
    options: Type.Array(
      Type.Object({ ...productUse, optionGroup: Place('The option group.'), option: Place('The option.') }),
      { description: 'Options of products that show the image.' },
    ),
    lineItems: Type.Array(
      Type.Object({
        lineItemsID: UUID('The ID of the set of line items.'),
        createdOn: DateTime('When the set was created.'),
        item: Place('The line item.'),
        option: Type.Optional(Place('The option of the item. Absent if the item itself shows the image.')),
      }),
      { description: 'Line items, and options of line items, that show the image.' },
    ),
    totals: Type.Object(
      { products: Total('products'), options: Total('options'), lineItems: Total('line items') },
      { description: `The numbers of all uses. Each list contains only the newest ${MAX_LISTED_USES}.` },
    ),
  },
  {
    $id: 'ImageUsage',
    description: 'The products, options and line items that show an image. Disabled products do not count.',
  },
);

const ImageInUseError = Type.Object(
  {
    error: Type.String({ description: 'What is wrong, as a sentence.' }),
    usage: Type.Optional(Type.Ref('ImageUsage')),
  },
  {
    $id: 'ImageInUseError',
    description:
      'Why an image was not disabled. Contains its usage if the account does not allow disabling images in use.',
  },
);

export const USAGE_SCHEMAS = [ImageUsage, ImageInUseError];

export const DisableQuery = Type.Object({
  dryRun: Type.Optional(
    Type.Unsafe<'true' | 'false'>({
      type: 'string',
      enum: ['true', 'false'],
      description: 'true: changes nothing and returns the usage of the image. Default: false.',
    }),
  ),
});

export const USAGE_RESPONSES = {
  usage: { 200: describeResponse('The usage of the image.', Type.Ref('ImageUsage')), ...COMMON_RESPONSES },
  disable: {
    200: describeResponse('With dryRun=true: the usage of the image.', Type.Ref('ImageUsage')),
    204: describeResponse('The image is disabled.'),
    ...COMMON_RESPONSES,
    409: describeResponse(
      'The image is in use, and the account does not allow disabling images in use.',
      Type.Ref('ImageInUseError'),
    ),
  },
  enable: {
    200: describeResponse('The image is enabled.', Type.Ref('ImageMetadata')),
    ...COMMON_RESPONSES,
  },
} as const;
