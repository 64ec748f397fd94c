/**
 * The examples of the operations on products and line items: a lamp in two finishes, and its sale.
 */
import { EXAMPLE_BASE_URL, type Examples, example, PLACEHOLDERS } from '../shared/examples.ts';

const { imageID, publicID, productID, lineItemsID } = PLACEHOLDERS;
const usd = (valueDecimal: string) => ({ currency: 'USD', valueDecimal });

const title = 'Desk lamp';
const description = 'A lamp for the desk. The arm **turns** by 180 degrees.';
const basePrice = usd('49.90');
const lighting = {
  categoryID: 'lighting',
  name: 'Lighting',
  fullName: 'Home > Lighting',
  level: 2,
  parentID: 'home',
};
const categories = [{ categoryID: 'home', name: 'Home', fullName: 'Home', level: 1 }, lighting];
const group = { name: 'Finish', description: 'The surface of the metal.', minSelect: 1, maxSelect: 1 };
const brass = { name: 'Polished brass' };
const black = { name: 'Matt black', priceModifier: usd('-5.00') };

const shownImage = {
  imageID,
  altText: 'A brass desk lamp on an oak table',
  link: `${EXAMPLE_BASE_URL}/images/${publicID}`,
  publicID,
};

const NewProduct = example('NewProduct', 'A product without images', { title, description, basePrice });
const NewProductWithImages = example('NewProductWithImages', 'A product with images and options', {
  title,
  description,
  basePrice,
  isTaxable: false,
  categoryID: lighting.categoryID,
  images: [{ imageID }],
  optionGroups: [{ ...group, options: [{ ...brass, images: [{ imageID }] }, black] }],
});

const product = {
  productID,
  title,
  description,
  basePrice,
  isTaxable: false,
  category: lighting,
  images: [shownImage],
  optionGroups: [{ ...group, options: [{ ...brass, images: [shownImage] }, black] }],
  createdOn: '2026-03-03T14:20:11.870Z',
  updatedOn: '2026-03-03T14:20:11.870Z',
};
const Product = example('Product', 'A product with images and options', product);
const ProductList = example('ProductList', 'A page with one product', [product]);
const UpdatedProduct = example('UpdatedProduct', 'The product after the change', {
  ...product,
  updatedOn: '2026-03-10T08:05:33.012Z',
});
const ProductRefused = example('ProductRefused', 'No title, a comma in the price, an unknown image', {
  title: 'title must not be blank',
  basePrice: {
    valueDecimal:
      'valueDecimal must be a decimal number such as 12.987654321, with at most 18 digits before the point and 9 after it',
  },
  images: { 0: { imageID: 'the account has no such image' } },
});

const sold = { name: title, basePrice, quantity: 2 };
const chosen = { name: 'Polished brass', quantity: 1, group: 'Finish' };
const NewLineItems = example('NewLineItems', 'An item without images', { items: [sold] });
const NewLineItemsOfProduct = example('NewLineItemsOfProduct', 'An item with the images of its product', {
  items: [{ ...sold, productID, options: [chosen] }],
});
const lineItems = {
  lineItemsID,
  items: [{ ...sold, productID, options: [chosen], images: [shownImage] }],
  createdOn: '2026-03-04T11:02:45.310Z',
};
const LineItems = example('LineItems', 'A set with one item', lineItems);

export const CATALOG_EXAMPLES: Examples = {
  createProduct: {
    request: [NewProduct, NewProductWithImages],
    responses: { 201: [Product], 422: [ProductRefused] },
  },
  listProducts: { responses: { 200: [ProductList] } },
  listProductCategories: {
    responses: { 200: [example('Categories', 'A category inside another one', { categories })] },
  },
  getProduct: { responses: { 200: [Product] } },
  updateProduct: {
    request: [NewProduct, NewProductWithImages],
    responses: {
      200: [UpdatedProduct],
      409: [
        example('DisabledProduct', 'A change of a disabled product', {
          error: 'the product is disabled and cannot be changed',
        }),
      ],
      422: [ProductRefused],
    },
  },
  createLineItems: {
    request: [NewLineItems, NewLineItemsOfProduct],
    responses: {
      201: [LineItems],
      422: [
        example('LineItemsRefused', 'A quantity of 0, and an unknown image', {
          items: {
            0: {
              quantity: 'quantity must be a whole number from 1 to 2147483647',
              imageIDs: { 0: 'the account has no such image' },
            },
          },
        }),
      ],
    },
  },
  listLineItems: {
    responses: { 200: [example('LineItemsList', 'A page with one set', [lineItems])] },
  },
  getLineItems: { responses: { 200: [LineItems] } },
};
