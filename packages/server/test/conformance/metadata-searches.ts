/** The contract of searches: the limit of each account, and the turns of several accounts. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { MAX_SEARCHES_PER_ACCOUNT } from '../../src/database/search-limiter.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountWithImage } from './metadata-samples.ts';

const PAGE = { skip: 0, count: 20 };

export function metadataSearches(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('searches', () => {
    test('of one account are rejected beyond its limit, and do not delay those of another', async () => {
      const { account, images } = await accountWithImage(store);
      const { images: theirs } = await accountWithImage(store);
      const catalog = store.catalogOf(account.accountID);
      let finished = 0;
      const count = () => {
        finished += 1;
      };
      // Searches of all kinds share the limit of the account.
      const kinds = [
        () => images.list(PAGE, { search: 'nothing' }),
        () => images.list(PAGE, { disabled: false }),
        () => catalog.listProducts(PAGE),
        () => catalog.listProducts(PAGE, { title: 'nothing' }),
      ];
      const many = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT / kinds.length }, () =>
        kinds.map((search) => search().then(count)),
      ).flat();
      const rejection = { name: 'AppError', code: 'rate-limited', retryAfter: 1, rejection: 'account-share' };
      for (const search of kinds) await assert.rejects(search(), rejection);
      assert.equal((await theirs.list(PAGE, { disabled: false })).total, 1);
      // A queue without turns would serve the other account last, after all of these.
      assert.ok(finished < many.length, `${finished} of ${many.length} searches finished before`);
      // A list without a filter is not a search, and has no limit.
      assert.equal((await images.list(PAGE)).total, 1);
      await Promise.all(many);
      assert.equal((await images.list(PAGE, { disabled: false })).total, 1);
    });

    test('are cancelled by their signal before they start', async () => {
      const { account, images, first } = await accountWithImage(store);
      const cancelled = { name: 'AppError', code: 'cancelled' };
      const before = Array.from({ length: 20 }, () => images.list(PAGE, { search: 'nothing' }));
      const control = new AbortController();
      const { signal } = control;
      const catalog = store.catalogOf(account.accountID);
      const searches = [
        images.list(PAGE, { disabled: true }, signal),
        catalog.listProducts(PAGE, { title: 'a' }, signal),
      ];
      control.abort();
      for (const search of searches) await assert.rejects(search, cancelled);
      await assert.rejects(images.usage(first.imageID, signal), cancelled);
      for (const search of before) assert.equal((await search).total, 0);
    });
  });
}
