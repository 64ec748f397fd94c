/**
 * The schemas of products, with the shapes of the published API. The OpenAPI document and the types of the
 * client come from them. They do not validate requests: `parseProduct` does, because it finds all errors at
 * once. A test checks that both accept the same requests.
 */
import { type TSchema, Type } from 'typebox';
import { MAX_IMAGES_PER_LIST } from '../../catalog/assignment.ts';
import { MAX_IMAGES_PER_PRODUCT, MAX_OPTION_GROUPS, MAX_OPTIONS } from '../../catalog/product.ts';
import { MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH } from '../../validation/json.ts';
import { MAX_PAGE, MAX_SEARCH_LENGTH, type PageSizes } from '../shared/paging.ts';
import { COMMON_RESPONSES, DateTime, describeResponse, WRITE_RESPONSES } from '../shared/schemas.ts';

/** A product is small, so a page without a count is as long as possible. */
export const PRODUCT_PAGE_SIZES: PageSizes = { max: MAX_PAGE, default: MAX_PAGE };

export const Name = (description: string) =>
  Type.String({ maxLength: MAX_NAME_LENGTH, minLength: 1, description: `${description} One line.` });
const Description = Type.Optional(
  Type.String({ maxLength: MAX_DESCRIPTION_LENGTH, description: 'Markdown without HTML.' }),
);
export const list = (element: TSchema, max: number, description: string) =>
  Type.Array(element, { maxItems: max, description });
export const UUID = (description: string) => Type.String({ format: 'uuid', description });
export const ErrorText = (subject: string) =>
  Type.Optional(Type.String({ description: `The error of ${subject}.` }));
/** The errors of list elements, by index. */
export const errorsByIndex = (element: TSchema, subject: string) =>
  Type.Optional(
    Type.Record(Type.String(), element, { description: `The errors of the ${subject}, by index.` }),
  );
export const ref = (name: string) => Type.Ref(name);

const Amount = Type.Object(
  {
    currency: Type.String({ pattern: '^[A-Z]{3}$', description: 'An ISO 4217 code.' }),
    valueDecimal: Type.String({
      pattern: '^-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,9})?$',
      description:
        'A decimal number with at most 18 digits before the point and 9 after it. It is stored exactly as written.',
    }),
  },
  { $id: 'AmountDecimal', description: 'An exact amount of money.' },
);

const AssignProductImage = Type.Object(
  { imageID: UUID('An enabled image of the account.') },
  { $id: 'AssignProductImage', description: 'An image to assign to a product or an option.' },
);

export const shownImage = {
  imageID: UUID('Identifies the image within its account.'),
  altText: Type.Optional(Type.String({ description: 'The current alternative text of the image.' })),
  link: Type.String({ format: 'uri', description: 'The public URL of the image.' }),
  publicID: Type.String({ description: 'Identifies the image in its public link.' }),
};
const ProductImageMetadata = Type.Object(shownImage, {
  $id: 'ProductImageMetadata',
  description: 'An image of a product or of an option.',
});
const Select = (description: string) => Type.Integer({ minimum: 0, maximum: MAX_OPTIONS, description });
const group = {
  name: Name('The name of the group.'),
  description: Description,
  minSelect: Select('The fewest options that must be chosen. 0: the choice is optional.'),
  maxSelect: Select('The most options that may be chosen: from minSelect to the number of options.'),
};
const option = {
  name: Name('The name of the option.'),
  description: Description,
  priceModifier: Type.Optional(ref('AmountDecimal')),
};
const product = {
  title: Name('The title of the product.'),
  description: Description,
  basePrice: ref('AmountDecimal'),
};
export const imageList = (name: string) =>
  Type.Optional(list(ref(name), MAX_IMAGES_PER_LIST, 'The images, in display order.'));
const groupList = (name: string) =>
  Type.Optional(list(ref(name), MAX_OPTION_GROUPS, 'Groups of options, such as size or colour.'));
const optionList = (name: string) =>
  Type.Array(ref(name), {
    minItems: 1,
    maxItems: MAX_OPTIONS,
    description: 'The options of the group.',
  });

const CreateProductOption = Type.Object(
  { ...option, images: imageList('AssignProductImage') },
  {
    $id: 'CreateProductOption',
    description: 'An option. Its price modifier must have the currency of basePrice.',
  },
);
const CreateProductOptionGroup = Type.Object(
  { ...group, options: optionList('CreateProductOption') },
  { $id: 'CreateProductOptionGroup', description: 'A group of options.' },
);
const ProductRequest = Type.Object(
  {
    ...product,
    images: imageList('AssignProductImage'),
    optionGroups: groupList('CreateProductOptionGroup'),
    isTaxable: Type.Optional(
      Type.Boolean({
        description:
          'Whether a sale of the product may include tax. Absent: true for a new product, unchanged for an update.',
      }),
    ),
    categoryID: Type.Optional(
      Type.String({
        description:
          'One of the categories of `GET /product-categories`. An update without it removes the category.',
      }),
    ),
  },
  {
    $id: 'ProductRequest',
    description: `A product to store. It has at most ${MAX_IMAGES_PER_PRODUCT} images, including the images of its options.`,
  },
);

const ProductOption = Type.Object(
  { ...option, images: imageList('ProductImageMetadata') },
  { $id: 'ProductOption', description: 'An option of a product.' },
);
const ProductOptionGroup = Type.Object(
  { ...group, options: optionList('ProductOption') },
  { $id: 'ProductOptionGroup', description: 'A group of options.' },
);
const ProductCategory = Type.Object(
  {
    categoryID: Type.String({ description: 'Identifies the category.' }),
    name: Type.String({ description: 'The short name of the category.' }),
    fullName: Type.String({ description: 'The names from the top of the tree to the category.' }),
    level: Type.Integer({ minimum: 1, description: 'The depth in the tree. 1: at the top.' }),
    parentID: Type.Optional(Type.String({ description: 'The category above it. Absent at the top.' })),
  },
  { $id: 'ProductCategory', description: 'A product category. The categories form a tree.' },
);
const ProductCategories = Type.Object(
  {
    categories: Type.Array(ref('ProductCategory'), {
      description: 'All categories, in the order of the file.',
    }),
  },
  { $id: 'ProductCategories', description: 'The product categories of the server.' },
);
const Product = Type.Object(
  {
    productID: UUID('Identifies the product within its account.'),
    ...product,
    isTaxable: Type.Boolean({ description: 'Whether a sale of the product may include tax.' }),
    category: Type.Optional(ref('ProductCategory')),
    images: imageList('ProductImageMetadata'),
    optionGroups: groupList('ProductOptionGroup'),
    createdOn: DateTime('When the product was created.'),
    updatedOn: DateTime('When the product was last changed.'),
    disabledOn: Type.Optional(DateTime('When the product was disabled. Absent if it is not disabled.')),
  },
  { $id: 'Product', description: 'A product of the catalogue.' },
);

const AmountError = Type.Object(
  { currency: ErrorText('the currency'), valueDecimal: ErrorText('the value') },
  { $id: 'AmountDecimalValidationError', description: 'The errors of an amount, by field.' },
);
const AssignProductImageError = Type.Object(
  { imageID: ErrorText('the image') },
  { $id: 'AssignProductImageValidationError', description: 'The error of an image that cannot be assigned.' },
);
const ProductOptionError = Type.Object(
  {
    name: ErrorText('the name, or of the whole list'),
    description: ErrorText('the description'),
    priceModifier: Type.Optional(ref('AmountDecimalValidationError')),
    images: errorsByIndex(ref('AssignProductImageValidationError'), 'images'),
  },
  { $id: 'ProductOptionValidationError', description: 'The errors of an option, by field.' },
);
const ProductOptionGroupError = Type.Object(
  {
    name: ErrorText('the name, or of the whole list'),
    description: ErrorText('the description'),
    minSelect: ErrorText('minSelect'),
    maxSelect: ErrorText('maxSelect'),
    options: errorsByIndex(ref('ProductOptionValidationError'), 'options'),
  },
  { $id: 'ProductOptionGroupValidationError', description: 'The errors of an option group, by field.' },
);
const ProductRequestError = Type.Object(
  {
    title: ErrorText('the title'),
    description: ErrorText('the description'),
    basePrice: Type.Optional(ref('AmountDecimalValidationError')),
    images: errorsByIndex(ref('AssignProductImageValidationError'), 'images'),
    optionGroups: errorsByIndex(ref('ProductOptionGroupValidationError'), 'option groups'),
    isTaxable: ErrorText('isTaxable'),
    categoryID: ErrorText('the category'),
  },
  {
    $id: 'ProductRequestValidationError',
    description: 'The errors of a product, in the shape of the request.',
  },
);

/** The schemas that become named components of the OpenAPI document. */
export const PRODUCT_SCHEMAS = [
  Amount,
  AssignProductImage,
  ProductImageMetadata,
  CreateProductOption,
  CreateProductOptionGroup,
  ProductRequest,
  ProductOption,
  ProductOptionGroup,
  ProductCategory,
  ProductCategories,
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
export const pageQuery = (subject: string, sizes: PageSizes) => ({
  skip: Type.Optional(Type.Integer({ minimum: 0, default: 0, description: `How many ${subject} to skip.` })),
  count: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: sizes.default,
      description: `The most ${subject} to return. Values above ${sizes.max} count as ${sizes.max}.`,
    }),
  ),
});
export const ProductListQuery = Type.Object({
  title: Type.Optional(
    Type.String({
      maxLength: MAX_SEARCH_LENGTH,
      description:
        'Only products whose title contains this text. Case does not matter. There are no wildcards.',
    }),
  ),
  category: Type.Optional(
    Type.String({
      description:
        'Only products of the category with this ID, and of all categories below it. An unknown ID matches nothing.',
    }),
  ),
  ...pageQuery('products', PRODUCT_PAGE_SIZES),
});
export const pageOf = (description: string, name: string) =>
  describeResponse(description, Type.Array(ref(name)), {
    'X-Total-Count': { description: 'The number of all elements.', type: 'integer' },
    Link: {
      description: 'The URL of the next page with rel="next". Absent on the last page.',
      type: 'string',
    },
  });
const invalidProduct = describeResponse('The product is not valid.', ref('ProductRequestValidationError'));

export const PRODUCT_RESPONSES = {
  create: {
    201: describeResponse('The product was created.', ref('Product')),
    ...WRITE_RESPONSES,
    422: invalidProduct,
  },
  list: { 200: pageOf('A page of products, newest first.', 'Product'), ...COMMON_RESPONSES },
  get: { 200: describeResponse('The product.', ref('Product')), ...COMMON_RESPONSES },
  update: {
    200: describeResponse('The product was updated.', ref('Product')),
    ...WRITE_RESPONSES,
    409: describeResponse('The product is disabled.', ref('GenericError')),
    422: invalidProduct,
  },
  categories: {
    200: describeResponse('All product categories.', ref('ProductCategories')),
    ...COMMON_RESPONSES,
  },
  disable: { 204: describeResponse('The product is disabled.'), ...COMMON_RESPONSES },
} as const;
