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
import { PRODUCT_RESPONSES, ProductListQuery, ProductParams } from './product-schemas.ts';
import { sendRecordProblem } from './record-problems.ts';

export interface CatalogRoutes {
  readonly catalog: Catalog;
  /** The base of public links, without a trailing slash. */
  readonly baseURL: () => string;
}

export function addProductRoutes(app: FastifyInstance, { catalog, baseURL }: CatalogRoutes): void {
  const tags = ['Products'];
  const body = { $ref: 'ProductRequest#' };

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
      return reply.code(201).send(productJSON(record, images, baseURL()));
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
      const page = readPage(query);
      const title = readSearch('title', query.title);
      // This server has no product categories, so a filter by category matches nothing.
      const inCategory = query.category !== undefined && query.category !== '';
      const { records, images, total } = inCategory
        ? { records: [], images: new Map(), total: 0 }
        : await catalog.listProducts(accountID, page, title, request.abortSignal);
      const url = `${baseURL()}/accounts/${accountID}/products`;
      addPageHeaders(reply, { url, page, length: records.length, total, filters: { title } });
      return records.map((product) => productJSON(product, images, baseURL()));
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
      return productJSON(record, images, baseURL());
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
          'Replaces the whole product. Absent optional fields are removed. The product may keep a disabled image that it already shows, but cannot add one.',
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
      return productJSON(record, images, baseURL());
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
}

/** The JSON of a product with the current metadata of its images. Absent fields are left out. */
function productJSON(
  product: Product,
  images: ShownImages,
  baseURL: string,
): components['schemas']['Product'] {
  const { title, description, basePrice, imageIDs, optionGroups } = product.content;
  return {
    productID: product.productID,
    title,
    ...(description !== undefined && { description }),
    basePrice,
    ...shownImagesJSON(imageIDs, images, baseURL),
    ...(optionGroups.length > 0 && {
      optionGroups: optionGroups.map((group) => ({
        ...group,
        options: group.options.map(({ imageIDs: optionImageIDs, ...option }) => ({
          ...option,
          ...shownImagesJSON(optionImageIDs, images, baseURL),
        })),
      })),
    }),
    createdOn: product.createdOn.toISOString(),
    updatedOn: product.updatedOn.toISOString(),
    ...(product.disabledOn && { disabledOn: product.disabledOn.toISOString() }),
  };
}
