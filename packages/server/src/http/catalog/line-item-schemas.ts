/**
 * The schemas of line items. They share parts with the schemas of products.
 */
import { Type } from 'typebox';
import { MAX_IMAGES_PER_LIST } from '../../catalog/assignment.ts';
import {
  MAX_IMAGES_PER_SET,
  MAX_LINE_ITEM_OPTIONS,
  MAX_LINE_ITEMS,
  MAX_QUANTITY,
} from '../../catalog/line-items.ts';
import { MAX_NAME_LENGTH } from '../../validation/json.ts';
import { DEFAULT_PAGE, type PageSizes } from '../shared/paging.ts';
import { COMMON_RESPONSES, DateTime, describeResponse, WRITE_RESPONSES } from '../shared/schemas.ts';
import {
  accountID,
  ErrorText,
  errorsByIndex,
  imageList,
  list,
  Name,
  pageOf,
  pageQuery,
  ref,
  shownImage,
  UUID,
} from './product-schemas.ts';

/** The sets on a page. They are few because each set may show hundreds of images. */
export const SET_PAGE_SIZES: PageSizes = { max: 50, default: DEFAULT_PAGE };

const LineItemImageMetadata = Type.Object(shownImage, {
  $id: 'LineItemImageMetadata',
  description: 'An image of a line item or of an option.',
});

const lineItem = { name: Name('The name of the item.'), basePrice: ref('AmountDecimal') };
const Quantity = Type.Integer({ minimum: 1, maximum: MAX_QUANTITY, description: 'The quantity.' });
const lineItemOption = {
  name: Name('The name of the option.'),
  quantity: Quantity,
  priceModifier: Type.Optional(ref('AmountDecimal')),
  group: Type.Optional(
    Type.String({ maxLength: MAX_NAME_LENGTH, description: 'Options with the same group belong together.' }),
  ),
};
const imageIDs = Type.Optional(
  list(
    UUID('An enabled image of the account.'),
    MAX_IMAGES_PER_LIST,
    'The images of the item or the option.',
  ),
);
const productID = Type.Optional(
  UUID('An enabled product of the account. Its enabled images are added to the item.'),
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
      list(ref('CreateLineItemOption'), MAX_LINE_ITEM_OPTIONS, 'The chosen options of the item.'),
    ),
    imageIDs,
    productID,
  },
  { $id: 'CreateLineItem', description: 'A line item.' },
);
const lineItemsOf = (name: string) =>
  Type.Array(ref(name), { minItems: 1, maxItems: MAX_LINE_ITEMS, description: 'The items, in order.' });
const CreateLineItems = Type.Object(
  { items: lineItemsOf('CreateLineItem') },
  {
    $id: 'CreateLineItems',
    description: `A set of line items. It shows at most ${MAX_IMAGES_PER_SET} images, including the images of its products.`,
  },
);
const LineItemOption = Type.Object(
  { ...lineItemOption, images: imageList('LineItemImageMetadata') },
  { $id: 'LineItemOption', description: 'An option of a line item.' },
);
const LineItem = Type.Object(
  {
    ...lineItem,
    quantity: Quantity,
    options: Type.Optional(Type.Array(ref('LineItemOption'))),
    images: Type.Optional(Type.Array(ref('LineItemImageMetadata'))),
    productID: Type.Optional(UUID('The product of the item.')),
  },
  { $id: 'LineItem', description: 'A line item with its images.' },
);
const LineItems = Type.Object(
  {
    lineItemsID: UUID('Identifies the set within its account.'),
    items: lineItemsOf('LineItem'),
    createdOn: DateTime('When the set was created.'),
  },
  { $id: 'LineItems', description: 'A set of line items. A set never changes.' },
);
const LineItemOptionError = Type.Object(
  {
    name: ErrorText('the name, or of the whole list'),
    quantity: ErrorText('the quantity'),
    priceModifier: Type.Optional(ref('AmountDecimalValidationError')),
    group: ErrorText('the group'),
    imageIDs: errorsByIndex(Type.String(), 'images'),
  },
  { $id: 'LineItemOptionValidationError', description: 'The errors of an option, by field.' },
);
const LineItemError = Type.Object(
  {
    name: ErrorText('the name, or of the whole list'),
    basePrice: Type.Optional(ref('AmountDecimalValidationError')),
    quantity: ErrorText('the quantity'),
    options: errorsByIndex(ref('LineItemOptionValidationError'), 'options'),
    imageIDs: errorsByIndex(Type.String(), 'images'),
    productID: ErrorText('the product'),
  },
  { $id: 'LineItemValidationError', description: 'The errors of a line item, by field.' },
);
const LineItemsError = Type.Object(
  { items: errorsByIndex(ref('LineItemValidationError'), 'line items') },
  { $id: 'LineItemsValidationError', description: 'The errors of a set, in the shape of the request.' },
);

/** The schemas that become named components of the OpenAPI document. */
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

export const LineItemsListQuery = Type.Object(pageQuery('sets of line items', SET_PAGE_SIZES));

export const LINE_ITEMS_RESPONSES = {
  create: {
    201: describeResponse('The set was created.', ref('LineItems')),
    ...WRITE_RESPONSES,
    422: describeResponse('The set is not valid.', ref('LineItemsValidationError')),
  },
  list: { 200: pageOf('A page of sets, newest first.', 'LineItems'), ...COMMON_RESPONSES },
  get: { 200: describeResponse('The set.', ref('LineItems')), ...COMMON_RESPONSES },
} as const;
