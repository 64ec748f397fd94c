/**
 * Pages of lists: `skip` and `count` in the request, `X-Total-Count` and `Link` in the answer. Also reads the
 * text of a search.
 */
import type { FastifyReply } from 'fastify';
import type { Page } from '../../access/records.ts';
import { AppError } from '../../errors.ts';
import { textProblem } from '../../validation/text.ts';

/** The most elements of a page, unless a list has its own limit. */
export const MAX_PAGE = 200;
export const DEFAULT_PAGE = 20;
/** The longest text of a search, in Unicode code points. */
export const MAX_SEARCH_LENGTH = 200;
// No list is longer, and every database accepts this offset.
const MAX_SKIP = 2_000_000_000;

export interface PageQuery {
  readonly skip?: number;
  readonly count?: number;
}

/** How many elements a page of a list has. */
export interface PageSizes {
  /** The most elements of a page. */
  readonly max: number;
  /** The elements of a page if the request gives no count. */
  readonly default: number;
}

export const PAGE_SIZES: PageSizes = { max: MAX_PAGE, default: DEFAULT_PAGE };

export function readPage({ skip, count }: PageQuery, sizes: PageSizes = PAGE_SIZES): Page {
  return { skip: Math.min(skip ?? 0, MAX_SKIP), count: Math.min(count ?? sizes.default, sizes.max) };
}

/**
 * The text of a search. Undefined if it is absent or empty: every text contains the empty one.
 * @param name the parameter, for the message.
 * @throws AppError `invalid-request`.
 */
export function readSearch(name: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const problem = textProblem(name, text, { max: MAX_SEARCH_LENGTH, controls: 'none' });
  if (problem !== undefined) throw new AppError('invalid-request', problem);
  return text;
}

/** One page and the list that it belongs to. */
export interface Listing {
  /** The absolute URL of the list, without a query. */
  readonly url: string;
  readonly page: Page;
  /** The number of elements on the page. */
  readonly length: number;
  /** The number of elements in the list. */
  readonly total: number;
  /** The parameters that filter the list. The link to the next page repeats them. */
  readonly filters?: Readonly<Record<string, string | number | undefined>>;
}

/** Adds the size of the list and, if there is one, the link to the next page. */
export function addPageHeaders(reply: FastifyReply, { url, page, length, total, filters }: Listing): void {
  reply.header('x-total-count', String(total));
  const { skip, count } = page;
  if (length === 0 || skip + length >= total) return;
  const query = new URLSearchParams({ skip: String(skip + count), count: String(count) });
  for (const [name, value] of Object.entries(filters ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  reply.header('link', `<${url}?${query}>; rel="next"`);
}
