/**
 * The contract of searches: what they find, in which order, the limit of each account, and the turns of
 * several accounts.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { MAX_SEARCHES_PER_ACCOUNT } from '../../src/database/search-limiter.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { IMAGE_FORMATS, type Image } from '../../src/image.ts';
import { IMAGE_SORTS, type ImageFilter } from '../../src/images/records.ts';
import { fold, foldForSearch } from '../../src/validation/text.ts';
import { contentOf, openShop } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountWithImage, later, newImage, originalOf } from './metadata-samples.ts';

const PAGE = { skip: 0, count: 20 };

const ALT_TEXTS = [
  undefined,
  'İstanbul at night',
  'ISTANBUL, café',
  'Straße "100%" \\ a_b',
  'smørrebrød\nÆther',
  '赤い靴',
  'ガラスの靴',
  'カラス',
  "it's -- 'quoted' AND * NEAR(x)",
];
const NAMES = [undefined, 'Zebra.jpg', 'ábc.png', 'abd.png', 'IMG_0001.JPG', 'ab.webp'];
const TAGS = ['Red', 'café', 'cafe', 'été 2024', '靴', '100%'];
const SEARCHES = [
  'istanbul',
  'ISTANBUL',
  'stan',
  'cafe',
  'CAFÉ',
  'strasse',
  '100%',
  '%',
  '_',
  'a_b',
  '\\',
  '"',
  "'",
  '*',
  'and *',
  'near(',
  '--',
  'smorrebrod',
  'aether',
  '靴',
  'ガラス',
  'カラス',
  'img_',
  '.jpg',
  'g\u0301',
  '\u0301',
  'a',
  'be',
  ' ',
  'zzz',
  'z\u{10ffff}',
  'istanbul at night ISTANBUL',
];

/** What the store must answer, computed from all images of the account, newest first. */
function expectedList(
  all: readonly Image[],
  used: ReadonlySet<string>,
  { search, tag, sort = '-createdOn', ...others }: ImageFilter,
): Image[] {
  const { disabled, unused, altText, format, minWidth = 0, minHeight = 0, visibility } = others;
  const texts = ({ altText: alt = '', fileName = '', tags }: Image) => [alt, fileName, ...tags];
  const matches = all.filter(
    (image) =>
      (search === undefined ||
        texts(image).some((text) => foldForSearch(text).includes(foldForSearch(search)))) &&
      (tag === undefined || image.tags.some((each) => fold(each) === fold(tag))) &&
      (disabled === undefined || disabled === (image.disabledOn !== undefined)) &&
      (unused === undefined || unused !== used.has(image.imageID)) &&
      (altText === undefined || image.altText === undefined) &&
      (format === undefined || image.original.format === format) &&
      image.original.width >= minWidth &&
      image.original.height >= minHeight &&
      (visibility === undefined || image.visibility === visibility),
  );
  const compareText = (one: string, other: string) => Buffer.from(one).compare(Buffer.from(other));
  const nameOf = ({ fileName }: Image) => (fileName === undefined ? '\u{10ffff}' : foldForSearch(fileName));
  const oldestFirst = matches.toReversed();
  const comparisons: Record<string, (one: Image, other: Image) => number> = {
    createdOn: () => 0,
    updatedOn: (one, other) => one.updatedOn.getTime() - other.updatedOn.getTime(),
    bytes: (one, other) => one.original.size - other.original.size,
    fileName: (one, other) => compareText(nameOf(one), nameOf(other)),
  };
  const ascending = oldestFirst.toSorted(comparisons[sort.replace('-', '')]);
  return sort.startsWith('-') ? ascending.reverse() : ascending;
}

export function metadataSearches(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('lists with conditions and orders', () => {
    test('have exactly the matching images in their order, on every page', async () => {
      const shop = await openShop(store);
      const other = await openShop(store);
      const used = new Set<string>();
      for (let i = 0; i < 120; i += 1) {
        const altText = ALT_TEXTS[i % ALT_TEXTS.length];
        const fileName = NAMES[i % NAMES.length];
        const original = originalOf(`${i}`, {
          size: 1 + (i % 5),
          format: IMAGE_FORMATS[i % 3] ?? 'png',
          width: 1 + (i % 7) * 100,
          height: 1 + (i % 4) * 100,
        });
        const image = newImage(`${i}`, {
          original,
          tags: TAGS.filter((_, index) => (i + index) % 4 === 0),
          ...(altText !== undefined && { altText }),
          ...(fileName !== undefined && { fileName }),
        });
        assert.equal((await shop.images.insert(image, { defaultQuota: 300 })).kind, 'inserted');
        // The same texts in another account must not be found.
        const { imageID, publicID, ...texts } = image;
        if (i < 20) await other.images.insert(newImage(`${i}`, texts), { defaultQuota: 300 });
        if (i % 6 === 1) await shop.images.disable(image.imageID, later(i));
        if (i % 9 === 2) {
          const tags = ['Red', 'new'];
          await shop.images.describe(image.imageID, { altText: 'described anew', tags }, later(i % 30));
        }
        if (i % 11 === 3) {
          const change = { original: originalOf(`again ${i}`), updatedOn: later(i % 30) };
          await shop.images.replace(image.imageID, change);
        }
        if (i % 8 === 0) {
          used.add(image.imageID);
          await shop.addProduct(contentOf([image.imageID]));
        }
      }
      const all: Image[] = [];
      while (all.length < 120) all.push(...(await shop.images.list({ skip: all.length, count: 50 })).images);

      const optional = <T>(values: readonly T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
      const filters = fc
        .record({
          search: optional(SEARCHES),
          tag: optional([...TAGS, 'RED', 'Café', 'none']),
          disabled: optional([true, false]),
          unused: optional([true, false]),
          altText: optional(['missing'] as const),
          format: optional(IMAGE_FORMATS),
          minWidth: optional([0, 101, 601, 1_000_000]),
          minHeight: optional([0, 101, 1_000_000]),
          visibility: optional(['public', 'private'] as const),
          sort: optional(IMAGE_SORTS),
        })
        .chain((filter) => {
          // Most combinations of ten conditions match nothing.
          const names = Object.keys(filter) as (keyof typeof filter)[];
          return fc
            .subarray(names, { maxLength: 4 })
            .map((kept) =>
              Object.fromEntries(
                kept.flatMap((name) => (filter[name] === undefined ? [] : [[name, filter[name]]])),
              ),
            );
        });
      const assertList = async (filter: ImageFilter, skip: number, count: number) => {
        const expected = expectedList(all, used, filter);
        const { images, total } = await shop.images.list({ skip, count }, filter);
        assert.equal(total, expected.length, JSON.stringify(filter));
        const idsOf = (list: readonly Image[]) => list.map(({ imageID }) => imageID);
        assert.deepEqual(idsOf(images), idsOf(expected.slice(skip, skip + count)), JSON.stringify(filter));
      };
      for (const search of SEARCHES) await assertList({ search }, 0, 200);
      for (const sort of IMAGE_SORTS) await assertList({ sort }, 0, 200);
      await fc.assert(
        fc.asyncProperty(filters, fc.nat({ max: 40 }), fc.integer({ min: 1, max: 60 }), assertList),
        { numRuns: 300 },
      );
    });

    test('find an image by its new texts and tags, and no longer by the old ones', async () => {
      const { images, first } = await accountWithImage(store);
      const totals = async () =>
        Promise.all(
          [{ search: 'old' }, { search: 'new' }, { tag: 'old' }, { tag: 'new' }].map(
            async (filter) => (await images.list(PAGE, filter)).total,
          ),
        );
      const description = (text: string) => ({
        altText: `${text} text`,
        tags: [text],
        fileName: `${text}.jpg`,
      });
      await images.describe(first.imageID, description('old'), later(1));
      assert.deepEqual(await totals(), [1, 0, 1, 0]);
      const original = originalOf('other');
      await images.replace(first.imageID, { original, updatedOn: later(2), description: description('new') });
      assert.deepEqual(await totals(), [0, 1, 0, 1]);
      await images.describe(first.imageID, { altText: undefined, fileName: null }, later(3));
      assert.deepEqual(await totals(), [0, 0, 0, 0]);
    });

    test('know that an image is used from the first use to the last', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('one');
      const used = async () => (await shop.images.list(PAGE, { unused: false })).total === 1;
      assert.equal(await used(), false);
      const products = [await shop.addProduct(contentOf([image])), await shop.addProduct(contentOf([image]))];
      for (const productID of products) {
        assert.equal(await used(), true);
        await shop.catalog.disableProduct(productID, later(1));
      }
      assert.equal(await used(), false);
    });

    test('accept names that become long when they are folded', async () => {
      const { images } = await accountWithImage(store);
      // Its compatibility form has 18 letters.
      const fileName = '\ufdfa'.repeat(255);
      const added = newImage('long', { fileName, altText: '\ufdfa'.repeat(2_000) });
      assert.equal((await images.insert(added, { defaultQuota: 300 })).kind, 'inserted');
      const { total } = await images.list(PAGE, { search: fileName.slice(0, 200), sort: 'fileName' });
      assert.equal(total, 1);
    });
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
        () => images.list(PAGE, { disabled: false, sort: 'bytes' }),
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
