/** The part of the metadata contract that concerns searches: whom they hold up, and how many one account may have. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { MAX_SEARCHES_PER_ACCOUNT } from '../../src/database/search-limiter.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';
import { furnishedAccount } from './metadata-samples.ts';

const PAGE = { skip: 0, count: 20 };

export function metadataSearches(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('searches', () => {
    test('of one account are refused beyond its share, without holding up those of another', async () => {
      const { account, images } = await furnishedAccount(store);
      const { images: theirs } = await furnishedAccount(store);
      const catalog = store.catalogOf(account.accountID);
      let done = 0;
      const count = () => {
        done += 1;
      };
      // Of each kind: they share what the account may have.
      const kinds = [
        () => images.list(PAGE, { search: 'nothing' }),
        () => images.list(PAGE, { disabled: false }),
        () => catalog.listProducts(PAGE),
        () => catalog.listProducts(PAGE, 'nothing'),
      ];
      const many = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT / kinds.length }, () =>
        kinds.map((search) => search().then(count)),
      ).flat();
      const refused = { name: 'AppError', code: 'rate-limited', retryAfter: 1, rejection: 'account-share' };
      for (const search of kinds) await assert.rejects(search(), refused);
      assert.equal((await theirs.list(PAGE, { disabled: false })).total, 1);
      assert.ok(done < MAX_SEARCHES_PER_ACCOUNT / 2, `${done} were done before`);
      // What is no search has no share.
      assert.equal((await images.list(PAGE)).total, 1);
      await Promise.all(many);
      assert.equal((await images.list(PAGE, { disabled: false })).total, 1);
    });

    test('that nobody waits for any more are not done', async () => {
      const { account, images, first } = await furnishedAccount(store);
      const cancelled = { name: 'AppError', code: 'cancelled' };
      const before = Array.from({ length: 20 }, () => images.list(PAGE, { search: 'nothing' }));
      const control = new AbortController();
      const { signal } = control;
      const catalog = store.catalogOf(account.accountID);
      const given = [images.list(PAGE, { disabled: true }, signal), catalog.listProducts(PAGE, 'a', signal)];
      control.abort();
      for (const search of given) await assert.rejects(search, cancelled);
      await assert.rejects(images.usage(first.imageID, signal), cancelled);
      for (const search of before) assert.equal((await search).total, 0);
    });
  });
}
