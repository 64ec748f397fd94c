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
   * after the start may be missing. What leaves the list, as when each image without alt text is given one, shifts them
   * back; the total then tells by how many, and nothing is left out.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    const { skip: start = 0, count = MAX_COUNT } = this.#range;
    const seen = new Set<string>();
    let before: number | undefined;
    for (let skip = start; ; ) {
      const { headers, result } = await this.#fetchPage({ skip, count });
      const text = headers['x-total-count']?.[0];
      const total = text === undefined ? undefined : Number(text);
      const gone = before === undefined || total === undefined ? 0 : before - total;
      before = total;
      if (gone > 0 && skip > start) {
        skip = Math.max(start, skip - gone);
        continue;
      }
      const fresh = result.filter((item) => !seen.has(this.#identify(item)));
      for (const item of fresh) {
        seen.add(this.#identify(item));
        yield item;
      }
      skip += result.length;
      // Without a total the end is the page that brings nothing: a short one may only be a server with shorter pages.
      if (result.length === 0 || (total === undefined ? fresh.length === 0 : skip >= total)) return;
    }
  }
}
