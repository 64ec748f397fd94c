/**
 * A list that can be awaited for one page, or iterated for the items of all pages.
 */
import type { Answer } from './operation.ts';

/** The most items of a page. Servers clamp a larger count to it. */
const MAX_COUNT = 200;

/** The range of a list. */
export interface Range {
  /** The number of items to skip. Default: 0. */
  readonly skip?: number | undefined;
  /**
   * The number of items on a page, 1 to 200. Default when iterating: 200. Default for one page: 200 products,
   * or 20 of anything else.
   */
  readonly count?: number | undefined;
}

/**
 * Await it for one page. Iterate it with `for await` for all items from `skip`, with `count` items per
 * request. It sends no request before that. Each iteration sends its own requests.
 */
export class Listing<Item> implements Promise<Answer<Item[]>>, AsyncIterable<Item> {
  readonly [Symbol.toStringTag] = 'Listing';
  readonly #fetchPage: (range: Range) => Promise<Answer<Item[]>>;
  readonly #identify: (item: Item) => string;
  readonly #range: Range;
  #page: Promise<Answer<Item[]>> | undefined;

  constructor(
    range: Range,
    fetchPage: (range: Range) => Promise<Answer<Item[]>>,
    identify: (item: Item) => string,
  ) {
    this.#range = { skip: range.skip, count: range.count };
    this.#fetchPage = fetchPage;
    this.#identify = identify;
  }

  // biome-ignore lint/suspicious/noThenProperty: a Listing is a promise of one page.
  then<Done = Answer<Item[]>, Failed = never>(
    onDone?: ((page: Answer<Item[]>) => Done | PromiseLike<Done>) | null,
    onFailed?: ((reason: unknown) => Failed | PromiseLike<Failed>) | null,
  ): Promise<Done | Failed> {
    this.#page ??= this.#fetchPage(this.#range);
    return this.#page.then(onDone, onFailed);
  }

  catch<Failed = never>(
    onFailed?: ((reason: unknown) => Failed | PromiseLike<Failed>) | null,
  ): Promise<Answer<Item[]> | Failed> {
    return this.then(undefined, onFailed);
  }

  finally(onEnd?: (() => void) | null): Promise<Answer<Item[]>> {
    return this.then().finally(onEnd);
  }

  /**
   * Yields each item once, although pages shift while the iteration runs. Added items push known items onto
   * the next page: those are skipped. Items added after the start may be missing. Removed items pull the
   * pages forward: the total shows by how many, and the iteration goes back that far.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    const { skip: start = 0, count = MAX_COUNT } = this.#range;
    const yieldedIDs = new Set<string>();
    let previousTotal: number | undefined;
    for (let skip = start; ; ) {
      const { headers, result } = await this.#fetchPage({ skip, count });
      const text = headers['x-total-count']?.[0];
      const total = text === undefined ? undefined : Number(text);
      const removed = previousTotal === undefined || total === undefined ? 0 : previousTotal - total;
      previousTotal = total;
      if (removed > 0 && skip > start) {
        skip = Math.max(start, skip - removed);
        continue;
      }
      const newItems = result.filter((item) => !yieldedIDs.has(this.#identify(item)));
      for (const item of newItems) {
        yieldedIDs.add(this.#identify(item));
        yield item;
      }
      skip += result.length;
      // Without a total, only a page without new items is the end. A server with a smaller page limit sends
      // short pages before the end.
      if (result.length === 0 || (total === undefined ? newItems.length === 0 : skip >= total)) return;
    }
  }
}
