/**
 * Owns how lists are asked for and answered page by page: `skip`, `count`, `X-Total-Count` and `Link`.
 * Refuses to know what is listed.
 */
import type { FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import type { ListQuery } from './schemas.ts';

/** A page of a list has at most this many items. */
const MAX_PAGE = 200;
const DEFAULT_PAGE = 20;
// No list is longer, and every database can count this far.
const MAX_SKIP = 2_000_000_000;

/** The page that a query asks for. */
export function pageOf(query: Static<typeof ListQuery>): { skip: number; count: number } {
  return {
    skip: Math.min(query.skip ?? 0, MAX_SKIP),
    count: Math.min(query.count ?? DEFAULT_PAGE, MAX_PAGE),
  };
}

/** Says how many there are in all, and where the next page is, if there is one. `list` is the URL of the whole list. */
export function tellPage(
  reply: FastifyReply,
  list: string,
  { skip, count }: { skip: number; count: number },
  shown: number,
  total: number,
): void {
  reply.header('x-total-count', String(total));
  if (skip + shown >= total || shown === 0) return;
  reply.header('link', `<${list}?skip=${skip + count}&count=${count}>; rel="next"`);
}
