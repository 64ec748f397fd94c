/**
 * The wire contract of line items, made of the same parts as that of products.
 */
import { Type } from 'typebox';
import { MAX_IMAGES_A_LIST } from '../../catalog/assignment.ts';
import {
  MAX_IMAGES_A_SET,
  MAX_LINE_ITEM_OPTIONS,
  MAX_LINE_ITEMS,
  MAX_QUANTITY,
} from '../../catalog/line-items.ts';
import { MAX_NAME_LENGTH } from '../../validation/json.ts';
import { COMMON_RESPONSES, DateTime, describeResponse, WRITE_RESPONSES } from '../shared/schemas.ts';
import {
  accountID,
  byIndex,
  images,
  list,
  Name,
  pages,
  paging,
  Reason,
  refs,
  shown,
  UUID,
} from './product-schemas.ts';

/** A page of line items has at most this many sets, as each may show hundreds of images. */
export const MAX_SETS_A_PAGE = 50;

const LineItemImageMetadata = Type.Object(shown, {
  $id: 'LineItemImageMetadata',
  description: 'An image that a line item or an option shows.',
});

const lineItem = { name: Name('What the item is called.'), basePrice: refs('AmountDecimal') };
const Quantity = Type.Integer({ minimum: 1, maximum: MAX_QUANTITY, description: 'How many.' });
const lineItemOption = {
  name: Name('What the option is called.'),
  quantity: Quantity,
  priceModifier: Type.Optional(refs('AmountDecimal')),
  group: Type.Optional(Type.String({ maxLength: MAX_NAME_LENGTH, description: 'Puts options together.' })),
};
const imageIDs = Type.Optional(
  list(UUID('An image of the account that is not disabled.'), MAX_IMAGES_A_LIST, 'Images to show.'),
);
const productID = Type.Optional(
  UUID('A product of the account that is not disabled. Its images are added, less the disabled ones.'),
);
const CreateLineItemOption = Type.Object(
  { ...lineItemOption, imageIDs },
  { $id: 'CreateLineItemOption', description: 'An option of a line item.' },
);
const CreateLineItem = Type.Object(
  {
    ...lineItem,
    quantity: Quantity,
    options: Type.Optional(
      list(refs('CreateLineItemOption'), MAX_LINE_ITEM_OPTIONS, 'What was chosen with the item.'),
    ),
    imageIDs,
    productID,
  },
  { $id: 'CreateLineItem', description: 'A line item.' },
);
const lineItemsOf = (name: string) =>
  Type.Array(refs(name), { minItems: 1, maxItems: MAX_LINE_ITEMS, description: 'In their order.' });
const CreateLineItems = Type.Object(
  { items: lineItemsOf('CreateLineItem') },
  {
    $id: 'CreateLineItems',
    description: `A set of line items. It shows at most ${MAX_IMAGES_A_SET} images, those of products included.`,
  },
);
const LineItemOption = Type.Object(
  { ...lineItemOption, images: images('LineItemImageMetadata') },
  { $id: 'LineItemOption', description: 'An option of a line item.' },
);
const LineItem = Type.Object(
  {
    ...lineItem,
    quantity: Quantity,
    options: Type.Optional(Type.Array(refs('LineItemOption'))),
    images: Type.Optional(Type.Array(refs('LineItemImageMetadata'))),
    productID: Type.Optional(UUID('The product that was named.')),
  },
  { $id: 'LineItem', description: 'A line item, with the images it shows.' },
);
const LineItems = Type.Object(
  {
    lineItemsID: UUID('Identifies the set within its account.'),
    items: lineItemsOf('LineItem'),
    createdOn: DateTime('When the set was written. It never changes.'),
  },
  { $id: 'LineItems', description: 'A set of line items.' },
);
const LineItemOptionError = Type.Object(
  {
    name: Reason('the name, or the list'),
    quantity: Reason('the quantity'),
    priceModifier: Type.Optional(refs('AmountDecimalValidationError')),
    group: Reason('the group'),
    imageIDs: byIndex(Type.String(), 'images'),
  },
  { $id: 'LineItemOptionValidationError', description: 'Why an option is refused, by field.' },
);
const LineItemError = Type.Object(
  {
    name: Reason('the name, or the list'),
    basePrice: Type.Optional(refs('AmountDecimalValidationError')),
    quantity: Reason('the quantity'),
    options: byIndex(refs('LineItemOptionValidationError'), 'options'),
    imageIDs: byIndex(Type.String(), 'images'),
    productID: Reason('the product'),
  },
  { $id: 'LineItemValidationError', description: 'Why a line item is refused, by field.' },
);
const LineItemsError = Type.Object(
  { items: byIndex(refs('LineItemValidationError'), 'line items') },
  { $id: 'LineItemsValidationError', description: 'Why a set of line items is refused, in its shape.' },
);

/** Every schema of line items with a name of its own in the document. */
export const LINE_ITEM_SCHEMAS = [
  LineItemImageMetadata,
  CreateLineItemOption,
  CreateLineItem,
  CreateLineItems,
  LineItemOption,
  LineItem,
  LineItems,
  LineItemOptionError,
  LineItemError,
  LineItemsError,
];

export const LineItemsParams = Type.Object({
  accountID,
  lineItemsID: Type.String({ description: 'The set of line items, a UUID.' }),
});

export const LineItemsListQuery = Type.Object(paging('sets of line items', MAX_SETS_A_PAGE));

export const LINE_ITEMS_RESPONSES = {
  create: {
    201: describeResponse('The set was written.', refs('LineItems')),
    ...WRITE_RESPONSES,
    422: describeResponse('The set is refused.', refs('LineItemsValidationError')),
  },
  list: { 200: pages('A page of sets, newest first.', 'LineItems'), ...COMMON_RESPONSES },
  get: { 200: describeResponse('The set.', refs('LineItems')), ...COMMON_RESPONSES },
} as const;
