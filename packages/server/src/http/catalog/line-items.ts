/**
 * The routes of line items and their JSON.
 */
import type { components } from '@vitrine/client';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { ShownImages } from '../../catalog/catalog.ts';
import type { LineItems } from '../../catalog/line-items.ts';
import { shownImagesJSON } from '../images/json.ts';
import { addPageHeaders, readPage } from '../shared/paging.ts';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { AccountParams, VersionHeader } from '../shared/schemas.ts';
import {
  LINE_ITEMS_RESPONSES,
  LineItemsListQuery,
  LineItemsParams,
  SET_PAGE_SIZES,
} from './line-item-schemas.ts';
import type { CatalogRoutes } from './products.ts';
import { sendRecordProblem } from './record-problems.ts';

export function addLineItemRoutes(app: FastifyInstance, { catalog, baseURL }: CatalogRoutes): void {
  const tags = ['Line items'];

  app.post<{ Params: Static<typeof AccountParams> }>(
    '/accounts/:accountID/line-items',
    {
      config: { scope: 'products.write' },
      schema: {
        operationId: 'createLineItems',
        summary: 'Create a set of line items',
        description:
          'Stores a set that never changes. An item shows its own images first, then the enabled images of its product.',
        tags,
        params: AccountParams,
        headers: VersionHeader,
        body: { $ref: 'CreateLineItems#' },
        response: LINE_ITEMS_RESPONSES.create,
      },
      errorHandler: sendRecordProblem,
    },
    async (request, reply) => {
      const { record, images } = await catalog.createLineItems(
        accountOf(request),
        actorOf(request),
        request.body,
      );
      return reply.code(201).send(lineItemsJSON(record, images, baseURL()));
    },
  );

  app.get<{ Params: Static<typeof AccountParams>; Querystring: Static<typeof LineItemsListQuery> }>(
    '/accounts/:accountID/line-items',
    {
      config: { scope: 'products.read' },
      schema: {
        operationId: 'listLineItems',
        summary: 'List sets of line items',
        description: 'Returns the sets of the account, newest first.',
        tags,
        params: AccountParams,
        querystring: LineItemsListQuery,
        headers: VersionHeader,
        response: LINE_ITEMS_RESPONSES.list,
      },
    },
    async (request, reply) => {
      const accountID = accountOf(request);
      const page = readPage(request.query, SET_PAGE_SIZES);
      const { records, images, total } = await catalog.listLineItems(accountID, page);
      const url = `${baseURL()}/accounts/${accountID}/line-items`;
      addPageHeaders(reply, { url, page, length: records.length, total });
      return records.map((set) => lineItemsJSON(set, images, baseURL()));
    },
  );

  app.get<{ Params: Static<typeof LineItemsParams> }>(
    '/accounts/:accountID/line-items/:lineItemsID',
    {
      config: { scope: 'products.read' },
      schema: {
        operationId: 'getLineItems',
        summary: 'Get a set of line items',
        description: 'Returns the set with the current metadata of its images.',
        tags,
        params: LineItemsParams,
        headers: VersionHeader,
        response: LINE_ITEMS_RESPONSES.get,
      },
    },
    async (request) => {
      const { lineItemsID } = request.params;
      const { record, images } = await catalog.getLineItems(accountOf(request), lineItemsID);
      return lineItemsJSON(record, images, baseURL());
    },
  );
}

/** The JSON of a set with the current metadata of its images. Absent fields are left out. */
function lineItemsJSON(
  set: LineItems,
  images: ShownImages,
  baseURL: string,
): components['schemas']['LineItems'] {
  return {
    lineItemsID: set.lineItemsID,
    items: set.items.map(({ imageIDs, options, ...item }) => ({
      ...item,
      ...(options.length > 0 && {
        options: options.map(({ imageIDs: optionImageIDs, ...option }) => ({
          ...option,
          ...shownImagesJSON(optionImageIDs, images, baseURL),
        })),
      }),
      ...shownImagesJSON(imageIDs, images, baseURL),
    })),
    createdOn: set.createdOn.toISOString(),
  };
}
