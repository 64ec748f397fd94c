/**
 * The operations on an account's line items. Owns how a set of them looks on the wire.
 * Refuses to know what a line item may be and how it is stored.
 */
import type { components } from '@vitrine/client';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { ShownImages } from '../../catalog/catalog.ts';
import type { LineItems } from '../../catalog/line-items.ts';
import { InvalidRecordError } from '../../validation/violations.ts';
import { shownJSON } from '../images/json.ts';
import { addPageHeaders, readPage } from '../shared/paging.ts';
import { sendProblem } from '../shared/problems.ts';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { AccountParams, VersionHeader } from '../shared/schemas.ts';
import {
  LINE_ITEMS_RESPONSES,
  LineItemsListQuery,
  LineItemsParams,
  MAX_SETS_A_PAGE,
} from './line-item-schemas.ts';
import type { CatalogRoutes } from './products.ts';

export function addLineItemRoutes(app: FastifyInstance, { catalog, baseURL }: CatalogRoutes): void {
  const tags = ['Line items'];

  app.post<{ Params: Static<typeof AccountParams> }>(
    '/accounts/:accountID/line-items',
    {
      config: { scope: 'products.write' },
      schema: {
        operationId: 'createLineItems',
        summary: 'Write a set of line items',
        description:
          'A set never changes. An item shows the images that it names, then those of its product that are not disabled.',
        tags,
        params: AccountParams,
        headers: VersionHeader,
        body: { $ref: 'CreateLineItems#' },
        response: LINE_ITEMS_RESPONSES.create,
      },
      errorHandler: (error, request, reply) =>
        sendProblem(error, request, reply, (failure) =>
          failure instanceof InvalidRecordError ? failure.violations : undefined,
        ),
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
        summary: 'List the sets of line items',
        tags,
        params: AccountParams,
        querystring: LineItemsListQuery,
        headers: VersionHeader,
        response: LINE_ITEMS_RESPONSES.list,
      },
    },
    async (request, reply) => {
      const accountID = accountOf(request);
      const page = readPage(request.query, MAX_SETS_A_PAGE);
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

/** A set of line items as the contract has it, with its images as they are now. Absent fields are left out. */
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
        options: options.map(({ imageIDs: shown, ...option }) => ({
          ...option,
          ...shownJSON(shown, images, baseURL),
        })),
      }),
      ...shownJSON(imageIDs, images, baseURL),
    })),
    createdOn: set.createdOn.toISOString(),
  };
}
