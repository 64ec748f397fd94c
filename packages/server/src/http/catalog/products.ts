/**
 * The routes of products and their JSON.
 */
import type { components } from '@vitrine/client';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Catalog, ShownImages } from '../../catalog/catalog.ts';
import type { Product } from '../../catalog/product.ts';
import { shownImagesJSON } from '../images/json.ts';
import { addPageHeaders, readPage, readSearch } from '../shared/paging.ts';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { AccountParams, VersionHeader } from '../shared/schemas.ts';
import { PRODUCT_PAGE_SIZES, PRODUCT_RESPONSES, ProductListQuery, ProductParams } from './product-schemas.ts';
import { sendRecordProblem } from './record-problems.ts';

type CategoriesJSON = { categories: readonly components['schemas']['ProductCategory'][] };

export interface CatalogRoutes {
  readonly catalog: Catalog;
  /** The base of public links, without a trailing slash. */
  readonly baseURL: () => string;
}

export function addProductRoutes(app: FastifyInstance, { catalog, baseURL }: CatalogRoutes): void {
  const tags = ['Products'];
  const body = { $ref: 'ProductRequest#' };
  /** The JSON of a product with the current metadata of its images. Absent fields are left out. */
  const toJSON = (product: Product, images: ShownImages) =>
    productJSON(product, { images, catalog, baseURL });

  app.post<{ Params: Static<typeof AccountParams> }>(
    '/accounts/:accountID/products',
    {
      config: { scope: 'products.write' },
      schema: {
        operationId: 'createProduct',
        summary: 'Create a product',
        description: 'Images must be enabled images of the account.',
        tags,
        params: AccountParams,
        headers: VersionHeader,
        body,
        response: PRODUCT_RESPONSES.create,
      },
      errorHandler: sendRecordProblem,
    },
    async (request, reply) => {
      const { record, images } = await catalog.createProduct(
        accountOf(request),
        actorOf(request),
        request.body,
      );
      return reply.code(201).send(toJSON(record, images));
    },
  );

  app.get<{ Params: Static<typeof AccountParams>; Querystring: Static<typeof ProductListQuery> }>(
    '/accounts/:accountID/products',
    {
      config: { scope: 'products.read' },
      schema: {
        operationId: 'listProducts',
        summary: 'List products',
        description: 'Returns the products that are not disabled, newest first.',
        tags,
        params: AccountParams,
        querystring: ProductListQuery,
        headers: VersionHeader,
        response: PRODUCT_RESPONSES.list,
      },
    },
    async (request, reply) => {
      const accountID = accountOf(request);
      const { query } = request;
      const page = readPage(query, PRODUCT_PAGE_SIZES);
      const title = readSearch('title', query.title);
      const category = query.category || undefined;
      const filters = { title, category };
      const { records, images, total } = await catalog.listProducts(
        accountID,
        page,
        filters,
        request.abortSignal,
      );
      const url = `${baseURL()}/accounts/${accountID}/products`;
      addPageHeaders(reply, { url, page, length: records.length, total, filters });
      return records.map((product) => toJSON(product, images));
    },
  );

  app.get<{ Params: Static<typeof ProductParams> }>(
    '/accounts/:accountID/products/:productID',
    {
      config: { scope: 'products.read' },
      schema: {
        operationId: 'getProduct',
        summary: 'Get a product',
        description: 'Also returns a disabled product.',
        tags,
        params: ProductParams,
        headers: VersionHeader,
        response: PRODUCT_RESPONSES.get,
      },
    },
    async (request) => {
      const { record, images } = await catalog.getProduct(accountOf(request), request.params.productID);
      return toJSON(record, images);
    },
  );

  app.put<{ Params: Static<typeof ProductParams> }>(
    '/accounts/:accountID/products/:productID',
    {
      config: { scope: 'products.write' },
      schema: {
        operationId: 'updateProduct',
        summary: 'Update a product',
        description:
          'Replaces the whole product. Absent optional fields are removed, but isTaxable stays. The product may keep a disabled image that it already shows, but cannot add one.',
        tags,
        params: ProductParams,
        headers: VersionHeader,
        body,
        response: PRODUCT_RESPONSES.update,
      },
      errorHandler: sendRecordProblem,
    },
    async (request) => {
      const { productID } = request.params;
      const { record, images } = await catalog.updateProduct(
        accountOf(request),
        actorOf(request),
        productID,
        request.body,
      );
      return toJSON(record, images);
    },
  );

  app.delete<{ Params: Static<typeof ProductParams> }>(
    '/accounts/:accountID/products/:productID',
    {
      config: { scope: 'products.write' },
      schema: {
        operationId: 'disableProduct',
        summary: 'Disable a product',
        description:
          'A disabled product stays readable, but is not listed and cannot be changed. Disabling a disabled product succeeds.',
        tags,
        params: ProductParams,
        headers: VersionHeader,
        response: PRODUCT_RESPONSES.disable,
      },
    },
    async (request, reply) => {
      await catalog.disableProduct(accountOf(request), actorOf(request), request.params.productID);
      return reply.code(204).send();
    },
  );

  // Made with the first request. The list may be long, and it never changes.
  let categoriesJSON: string | undefined;
  app.get(
    '/product-categories',
    {
      config: { scope: 'products.read' },
      schema: {
        operationId: 'listProductCategories',
        summary: 'List product categories',
        description: 'Returns all product categories. They are the same for all accounts.',
        tags,
        headers: VersionHeader,
        response: PRODUCT_RESPONSES.categories,
      },
    },
    async (_request, reply) => {
      const { list } = catalog.categories;
      categoriesJSON ??= JSON.stringify({ categories: list } satisfies CategoriesJSON);
      return reply.type('application/json; charset=utf-8').send(categoriesJSON);
    },
  );
}

function productJSON(
  product: Product,
  { catalog, baseURL, images }: CatalogRoutes & { readonly images: ShownImages },
): components['schemas']['Product'] {
  const { title, description, basePrice, isTaxable, categoryID, imageIDs, optionGroups } = product.content;
  // The operator's file may have lost the category. The product shows it again when the file has it again.
  const category = categoryID === undefined ? undefined : catalog.categories.find(categoryID);
  const base = baseURL();
  return {
    productID: product.productID,
    title,
    ...(description !== undefined && { description }),
    basePrice,
    isTaxable,
    ...(category && { category }),
    ...shownImagesJSON(imageIDs, images, base),
    ...(optionGroups.length > 0 && {
      optionGroups: optionGroups.map((group) => ({
        ...group,
        options: group.options.map(({ imageIDs: optionImageIDs, ...option }) => ({
          ...option,
          ...shownImagesJSON(optionImageIDs, images, base),
        })),
      })),
    }),
    createdOn: product.createdOn.toISOString(),
    updatedOn: product.updatedOn.toISOString(),
    ...(product.disabledOn && { disabledOn: product.disabledOn.toISOString() }),
  };
}
