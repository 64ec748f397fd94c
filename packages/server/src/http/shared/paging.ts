/**
 * Owns how lists are paged: `skip` and `count` in the request, `X-Total-Count` and `Link` in the answer; and how a
 * text to search for may be. Refuses to know what is listed.
 */
import type { FastifyReply } from 'fastify';
import { AppError } from '../../errors.ts';
import { textProblem } from '../../validation/text.ts';

/** A page has at most this many elements, unless a list says otherwise. */
export const MAX_PAGE = 200;
export const DEFAULT_PAGE = 20;
/** The longest text to search for, in Unicode code points. */
export const MAX_SEARCH_LENGTH = 200;
// No list is longer, and every database can count this far.
const MAX_SKIP = 2_000_000_000;

export interface PageQuery {
  readonly skip?: number;
  readonly count?: number;
}

export interface Page {
  readonly skip: number;
  readonly count: number;
}

export function readPage({ skip, count }: PageQuery, max = MAX_PAGE): Page {
  return { skip: Math.min(skip ?? 0, MAX_SKIP), count: Math.min(count ?? DEFAULT_PAGE, max) };
}

/**
 * A text to search for; undefined if there is none, also if it is empty, since that is in every text.
 * @throws AppError `invalid-request`.
 */
export function readSearch(name: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const problem = textProblem(name, text, { max: MAX_SEARCH_LENGTH, controls: 'none' });
  if (problem !== undefined) throw new AppError('invalid-request', problem);
  return text;
}

/** What a page of a list is part of. */
export interface Listing {
  /** The absolute URL of the list, without a query. */
  readonly url: string;
  readonly page: Page;
  /** How many elements the page has. */
  readonly length: number;
  /** How many there are in all. */
  readonly total: number;
  /** The parameters that chose what is listed; the next page has them too. */
  readonly filters?: Readonly<Record<string, string | undefined>>;
}

/** Says how many elements there are, and where the next ones are. */
export function addPageHeaders(reply: FastifyReply, { url, page, length, total, filters }: Listing): void {
  reply.header('x-total-count', String(total));
  const { skip, count } = page;
  if (length === 0 || skip + length >= total) return;
  const query = new URLSearchParams({ skip: String(skip + count), count: String(count) });
  for (const [name, value] of Object.entries(filters ?? {})) {
    if (value !== undefined) query.set(name, value);
  }
  reply.header('link', `<${url}?${query}>; rel="next"`);
}
