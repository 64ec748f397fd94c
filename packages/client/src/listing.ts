/**
 * A list that can be awaited, for one page, and iterated, for everything on all pages. Owns how pages follow each other.
 * Refuses to know what is listed.
 */
import type { Answer } from './operation.ts';

/** A page holds at most this many; servers take more to mean this. */
const MAX_COUNT = 200;

/** What of a list a call is about. */
export interface Range {
  /** How many to leave out at the start. Default: none. */
  readonly skip?: number | undefined;
  /** How many on a page, 1 to 200. Default: 20 for one page, 200 where all are iterated. */
  readonly count?: number | undefined;
}

/**
 * Awaited, it is the page that was asked for; iterated with `for await`, everything from `skip` on, `count` at a time.
 * Nothing is requested before one of the two is done; each iteration requests anew.
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

  // biome-ignore lint/suspicious/noThenProperty: to be awaited is what it is for.
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
   * What is added while it runs shifts the pages, and what was seen is met again: it is given only once. What was added
   * after the start may be missing.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    const count = this.#range.count ?? MAX_COUNT;
    const seen = new Set<string>();
    for (let skip = this.#range.skip ?? 0; ; ) {
      const { headers, result } = await this.#fetchPage({ skip, count });
      const fresh = result.filter((item) => !seen.has(this.#identify(item)));
      for (const item of fresh) {
        seen.add(this.#identify(item));
        yield item;
      }
      skip += result.length;
      const total = headers['x-total-count']?.[0];
      // Without a total the end is the page that brings nothing: a short one may only be a server with shorter pages.
      if (result.length === 0 || (total === undefined ? fresh.length === 0 : skip >= Number(total))) return;
    }
  }
}
