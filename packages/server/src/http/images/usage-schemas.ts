/**
 * The wire contract of where an image is used, as schemas.ts is of the rest.
 */
import { Type } from 'typebox';
import { MAX_USES_TOLD } from '../../images/usage.ts';
import { COMMON_RESPONSES, DateTime, describeResponse } from '../shared/schemas.ts';

const UUID = (description: string) => Type.String({ format: 'uuid', description });
const Place = (what: string) =>
  Type.Object(
    {
      index: Type.Integer({ minimum: 0, description: 'Where it stands in its list.' }),
      name: Type.String({ description: 'What it is called.' }),
    },
    { description: what },
  );
const productUse = {
  productID: UUID('The product.'),
  title: Type.String({ description: 'What the product is called.' }),
};
const Total = (what: string) => Type.Integer({ minimum: 0, description: `How many ${what}.` });

const ImageUsage = Type.Object(
  {
    imageID: UUID('The image.'),
    inUse: Type.Boolean({ description: 'True if anything shows the image.' }),
    products: Type.Array(Type.Object(productUse), {
      description: 'Products that show the image themselves.',
    }),
    options: Type.Array(
      Type.Object({ ...productUse, optionGroup: Place('The option group.'), option: Place('The option.') }),
      { description: 'Options of products that show the image.' },
    ),
    lineItems: Type.Array(
      Type.Object({
        lineItemsID: UUID('The set of line items.'),
        createdOn: DateTime('When the set was written.'),
        item: Place('The line item.'),
        option: Type.Optional(Place('The option of the item, if it is that which shows the image.')),
      }),
      { description: 'Line items, and options of line items, that show the image.' },
    ),
    totals: Type.Object(
      { products: Total('products'), options: Total('options'), lineItems: Total('line items') },
      { description: `How many there are in all: each list tells of the newest ${MAX_USES_TOLD} at most.` },
    ),
  },
  {
    $id: 'ImageUsage',
    description: 'What shows an image: products that are not disabled, their options, and line items.',
  },
);

const ImageInUseError = Type.Object(
  {
    error: Type.String({ description: 'What is wrong, in a sentence.' }),
    usage: Type.Optional(Type.Ref('ImageUsage')),
  },
  {
    $id: 'ImageInUseError',
    description:
      'Why an image is not disabled. With its usage if the account refuses to disable images in use.',
  },
);

export const USAGE_SCHEMAS = [ImageUsage, ImageInUseError];

export const DisableQuery = Type.Object({
  dryRun: Type.Optional(
    Type.Unsafe<'true' | 'false'>({
      type: 'string',
      enum: ['true', 'false'],
      description: 'true: changes nothing, and answers with where the image is used. Default: false.',
    }),
  ),
});

export const USAGE_RESPONSES = {
  usage: { 200: describeResponse('Where the image is used.', Type.Ref('ImageUsage')), ...COMMON_RESPONSES },
  disable: {
    200: describeResponse('With dryRun=true: where the image is used.', Type.Ref('ImageUsage')),
    204: describeResponse('The image is disabled.'),
    ...COMMON_RESPONSES,
    409: describeResponse('The account refuses to disable images in use.', Type.Ref('ImageInUseError')),
  },
  enable: {
    200: describeResponse('The image is not disabled.', Type.Ref('ImageMetadata')),
    ...COMMON_RESPONSES,
  },
} as const;
