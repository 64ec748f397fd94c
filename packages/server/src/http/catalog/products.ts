/**
 * The five operations on an account's products. Owns how a Product looks on the wire.
 * Refuses to know what a product may be and how it is stored.
 */
import type { components } from '@vitrine/client';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Catalog, ShownImages } from '../../catalog/catalog.ts';
import type { Product } from '../../catalog/product.ts';
import { InvalidRecordError } from '../../validation/violations.ts';
import { shownJSON } from '../images/json.ts';
import { addPageHeaders, readPage, readSearch } from '../shared/paging.ts';
import { sendProblem } from '../shared/problems.ts';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { AccountParams, VersionHeader } from '../shared/schemas.ts';
import { PRODUCT_RESPONSES, ProductListQuery, ProductParams } from './product-schemas.ts';

export interface CatalogRoutes {
  readonly catalog: Catalog;
  /** The base of public links, without a slash at its end. */
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
        summary: 'Add a product',
        tags,
        params: AccountParams,
        headers: VersionHeader,
        body,
        response: PRODUCT_RESPONSES.create,
      },
      errorHandler: (error, request, reply) =>
        sendProblem(error, request, reply, (failure) =>
          failure instanceof InvalidRecordError ? failure.violations : undefined,
        ),
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
        summary: 'List the products that are not disabled',
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
      // No product has a category here, so of any category there are none.
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
        summary: 'Change a product',
        description:
          'Replaces all that the product says of itself. A disabled image may stay, but not be added.',
        tags,
        params: ProductParams,
        headers: VersionHeader,
        body,
        response: PRODUCT_RESPONSES.update,
      },
      errorHandler: (error, request, reply) =>
        sendProblem(error, request, reply, (failure) =>
          failure instanceof InvalidRecordError ? failure.violations : undefined,
        ),
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
        description: 'A disabled product is still readable, but no longer listed, and cannot be changed.',
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

/** A Product as the contract has it, with its images as they are now. Absent fields are left out. */
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
    ...shownJSON(imageIDs, images, baseURL),
    ...(optionGroups.length > 0 && {
      optionGroups: optionGroups.map((group) => ({
        ...group,
        options: group.options.map(({ imageIDs: shown, ...option }) => ({
          ...option,
          ...shownJSON(shown, images, baseURL),
        })),
      })),
    }),
    createdOn: product.createdOn.toISOString(),
    updatedOn: product.updatedOn.toISOString(),
    ...(product.disabledOn && { disabledOn: product.disabledOn.toISOString() }),
  };
}
