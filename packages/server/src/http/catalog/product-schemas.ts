/**
 * The wire contract of products, as schemas.ts is of images: the shapes of the published API, from
 * which come `docs/openapi.json` and the client's types. What is required and within limits is not checked by these
 * but read by the entities, which find everything that is wrong at once; a test holds the two together.
 */
import { type TSchema, Type } from 'typebox';
import { MAX_IMAGES_A_LIST } from '../../catalog/assignment.ts';
import { MAX_IMAGES_A_PRODUCT, MAX_OPTION_GROUPS, MAX_OPTIONS } from '../../catalog/product.ts';
import { MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH } from '../../validation/json.ts';
import { MAX_SEARCH_LENGTH } from '../shared/paging.ts';
import { COMMON_RESPONSES, DateTime, describeResponse, WRITE_RESPONSES } from '../shared/schemas.ts';

export const Name = (description: string) =>
  Type.String({ maxLength: MAX_NAME_LENGTH, minLength: 1, description: `${description} One line.` });
const Description = Type.Optional(
  Type.String({ maxLength: MAX_DESCRIPTION_LENGTH, description: 'Markdown. HTML is refused.' }),
);
export const list = (element: TSchema, max: number, description: string) =>
  Type.Array(element, { maxItems: max, description });
export const UUID = (description: string) => Type.String({ format: 'uuid', description });
export const Reason = (what: string) =>
  Type.Optional(Type.String({ description: `What is wrong with ${what}.` }));
/** Elements of a list that are wrong, by their index. */
export const byIndex = (element: TSchema, what: string) =>
  Type.Optional(
    Type.Record(Type.String(), element, { description: `What is wrong with the ${what}, by index.` }),
  );
export const refs = (name: string) => Type.Ref(name);

const Amount = Type.Object(
  {
    currency: Type.String({ pattern: '^[A-Z]{3}$', description: 'An ISO 4217 code.' }),
    valueDecimal: Type.String({
      pattern: '^-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,9})?$',
      description: 'A decimal number, at most 18 digits before the point and 9 after it. Kept as written.',
    }),
  },
  { $id: 'AmountDecimal', description: 'An exact amount of money.' },
);

const AssignProductImage = Type.Object(
  { imageID: UUID('An image of the account that is not disabled.') },
  { $id: 'AssignProductImage', description: 'An image to assign to a product or an option.' },
);

export const shown = {
  imageID: UUID('Identifies the image within its account.'),
  altText: Type.Optional(Type.String({ description: 'Alternative text for the image, as it is now.' })),
  link: Type.String({ format: 'uri', description: 'The public URL of the image.' }),
  publicID: Type.String({ description: 'Identifies the image at its public link.' }),
};
const ProductImageMetadata = Type.Object(shown, {
  $id: 'ProductImageMetadata',
  description: 'An image that a product or an option shows.',
});
const Select = (description: string) => Type.Integer({ minimum: 0, maximum: MAX_OPTIONS, description });
const group = {
  name: Name('What the group is called.'),
  description: Description,
  minSelect: Select('How many options must be chosen. 0: none need be.'),
  maxSelect: Select('How many options may be chosen; not less than minSelect, not more than there are.'),
};
const option = {
  name: Name('What the option is called.'),
  description: Description,
  priceModifier: Type.Optional(refs('AmountDecimal')),
};
const product = {
  title: Name('What the product is called.'),
  description: Description,
  basePrice: refs('AmountDecimal'),
};
export const images = (name: string) =>
  Type.Optional(list(refs(name), MAX_IMAGES_A_LIST, 'In the order in which they are shown.'));
const groups = (name: string) =>
  Type.Optional(list(refs(name), MAX_OPTION_GROUPS, 'What can be chosen, as size or colour.'));
const options = (name: string) =>
  Type.Array(refs(name), {
    minItems: 1,
    maxItems: MAX_OPTIONS,
    description: 'What there is to choose from.',
  });

const CreateProductOption = Type.Object(
  { ...option, images: images('AssignProductImage') },
  { $id: 'CreateProductOption', description: 'An option. Its price modifier has the currency of basePrice.' },
);
const CreateProductOptionGroup = Type.Object(
  { ...group, options: options('CreateProductOption') },
  { $id: 'CreateProductOptionGroup', description: 'A group of options.' },
);
const ProductRequest = Type.Object(
  {
    ...product,
    images: images('AssignProductImage'),
    optionGroups: groups('CreateProductOptionGroup'),
    categoryID: Type.Optional(Type.String({ description: 'Refused: this server has no product taxonomy.' })),
  },
  {
    $id: 'ProductRequest',
    description: `What a product is to be. At most ${MAX_IMAGES_A_PRODUCT} images, those of options included.`,
  },
);

const ProductOption = Type.Object(
  { ...option, images: images('ProductImageMetadata') },
  { $id: 'ProductOption', description: 'An option.' },
);
const ProductOptionGroup = Type.Object(
  { ...group, options: options('ProductOption') },
  { $id: 'ProductOptionGroup', description: 'A group of options.' },
);
const Product = Type.Object(
  {
    productID: UUID('Identifies the product within its account.'),
    ...product,
    images: images('ProductImageMetadata'),
    optionGroups: groups('ProductOptionGroup'),
    createdOn: DateTime('When the product was added.'),
    updatedOn: DateTime('When the product was last changed.'),
    disabledOn: Type.Optional(DateTime('When the product was disabled; absent while it is not.')),
  },
  { $id: 'Product', description: 'A product of the catalogue.' },
);

const AmountError = Type.Object(
  { currency: Reason('the currency'), valueDecimal: Reason('the value') },
  { $id: 'AmountDecimalValidationError', description: 'Why an amount is refused, by field.' },
);
const AssignProductImageError = Type.Object(
  { imageID: Reason('the image') },
  { $id: 'AssignProductImageValidationError', description: 'Why an image cannot be assigned.' },
);
const ProductOptionError = Type.Object(
  {
    name: Reason('the name, or the list'),
    description: Reason('the description'),
    priceModifier: Type.Optional(refs('AmountDecimalValidationError')),
    images: byIndex(refs('AssignProductImageValidationError'), 'images'),
  },
  { $id: 'ProductOptionValidationError', description: 'Why an option is refused, by field.' },
);
const ProductOptionGroupError = Type.Object(
  {
    name: Reason('the name, or the list'),
    description: Reason('the description'),
    minSelect: Reason('minSelect'),
    maxSelect: Reason('maxSelect'),
    options: byIndex(refs('ProductOptionValidationError'), 'options'),
  },
  { $id: 'ProductOptionGroupValidationError', description: 'Why an option group is refused, by field.' },
);
const ProductRequestError = Type.Object(
  {
    title: Reason('the title'),
    description: Reason('the description'),
    basePrice: Type.Optional(refs('AmountDecimalValidationError')),
    images: byIndex(refs('AssignProductImageValidationError'), 'images'),
    optionGroups: byIndex(refs('ProductOptionGroupValidationError'), 'option groups'),
    categoryID: Reason('the category'),
  },
  { $id: 'ProductRequestValidationError', description: 'Why a product is refused, in its shape.' },
);

/** Every schema of the catalogue with a name of its own in the document. */
export const PRODUCT_SCHEMAS = [
  Amount,
  AssignProductImage,
  ProductImageMetadata,
  CreateProductOption,
  CreateProductOptionGroup,
  ProductRequest,
  ProductOption,
  ProductOptionGroup,
  Product,
  AmountError,
  AssignProductImageError,
  ProductOptionError,
  ProductOptionGroupError,
  ProductRequestError,
];

export const accountID = Type.String({ description: 'The account, a UUID.' });
export const ProductParams = Type.Object({
  accountID,
  productID: Type.String({ description: 'The product, a UUID.' }),
});
export const paging = (what: string, max: number) => ({
  skip: Type.Optional(
    Type.Integer({ minimum: 0, default: 0, description: `How many ${what} to pass over.` }),
  ),
  count: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 20,
      description: `How many ${what} to return at most. Above ${max} means ${max}.`,
    }),
  ),
});
export const ProductListQuery = Type.Object({
  title: Type.Optional(
    Type.String({
      maxLength: MAX_SEARCH_LENGTH,
      description: 'Only products with this in their title, in whatever case. No character is special.',
    }),
  ),
  category: Type.Optional(
    Type.String({
      description: 'Only products of this category: none, as this server has no product taxonomy.',
    }),
  ),
  ...paging('products', 200),
});
export const pages = (description: string, name: string) =>
  describeResponse(description, Type.Array(refs(name)), {
    'X-Total-Count': { description: 'How many there are in all.', type: 'integer' },
    Link: { description: 'The next page, as rel="next", if there is one.', type: 'string' },
  });
const refusedProduct = describeResponse('The product is refused.', refs('ProductRequestValidationError'));

export const PRODUCT_RESPONSES = {
  create: {
    201: describeResponse('The product was added.', refs('Product')),
    ...WRITE_RESPONSES,
    422: refusedProduct,
  },
  list: { 200: pages('A page of products, newest first.', 'Product'), ...COMMON_RESPONSES },
  get: { 200: describeResponse('The product.', refs('Product')), ...COMMON_RESPONSES },
  update: {
    200: describeResponse('The product was changed.', refs('Product')),
    ...WRITE_RESPONSES,
    409: describeResponse('The product is disabled.', refs('GenericError')),
    422: refusedProduct,
  },
  disable: { 204: describeResponse('The product is disabled.'), ...COMMON_RESPONSES },
} as const;
