/**
 * The part of the metadata contract that concerns assigning while images are disabled, within one store and between
 * two over the same database. Also a random walk of the whole catalogue against a plain model.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { MetadataStore } from '../../src/database/store.ts';
import {
  contentOf,
  groupOf,
  itemOf,
  newLineItems,
  newProduct,
  openShop,
  type Shop,
  setPolicy,
  upTo,
} from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { later, newImage, originalOf } from './metadata-samples.ts';

const CONTENDERS = 12;

export function metadataCatalogRaces(current: () => MetadataHarness): void {
  const participants = {
    'one store': async (harness: MetadataHarness) => [harness.store],
    'two stores': async (harness: MetadataHarness) => [harness.store, await harness.another()],
  };
  for (const [name, stores] of Object.entries(participants)) {
    describe(`races of the catalogue within ${name}`, () => {
      /** Views of one new account, one for each contender, in turn from each store. */
      async function contenders(): Promise<[Shop, ...Shop[]]> {
        const all: MetadataStore[] = await stores(current());
        const first = await openShop(current().store);
        const others = await Promise.all(
          Array.from({ length: CONTENDERS - 1 }, (_, i) =>
            openShop(all[(i + 1) % all.length] ?? current().store, first.accountID),
          ),
        );
        return [first, ...others];
      }

      test('an image that is assigned and disabled at once is in use, or the assignment was refused', async () => {
        const shops = await contenders();
        const [shop] = shops;
        for (let round = 0; round < 12; round += 1) {
          const image = await shop.add(`round ${round}`);
          const kept = await shop.sell(contentOf());
          const content = contentOf([], { optionGroups: [groupOf([image])] });
          const work = [
            () => shops[1]?.images.disable(image, later(1)),
            () => shops[2]?.catalog.insertProduct(newProduct(contentOf([image]))),
            () => shops[3]?.catalog.replaceProduct(kept, content, later(1)),
            () => shops[4]?.catalog.insertLineItems(newLineItems(itemOf({ imageIDs: [image] }))),
          ];
          // Whoever begins has the better chance; so everyone does, in turn.
          const order = work.map((_, i) => (i + round) % work.length);
          const results = new Map(await Promise.all(order.map(async (i) => [i, await work[i]?.()] as const)));
          assert.equal(results.get(0)?.kind, 'disabled');
          assert.deepEqual((await shop.images.find(image))?.disabledOn, later(1));
          const totals = (await shop.images.usage(image))?.totals;
          const kinds = [1, 2, 3].map((i) => results.get(i)?.kind);
          assert.deepEqual(totals, {
            products: Number(kinds[0] === 'inserted'),
            options: Number(kinds[1] === 'changed'),
            lineItems: Number(kinds[2] === 'inserted'),
          });
          for (const kind of kinds)
            assert.ok(kind === 'inserted' || kind === 'changed' || kind === 'refused');
        }
      });

      test('under the policy to refuse, either the assignment or the disabling wins, never both', async () => {
        const shops = await contenders();
        const [shop] = shops;
        await setPolicy(current().store, shop.accountID, 'refuse-in-use');
        for (let round = 0; round < 12; round += 1) {
          const image = await shop.add(`round ${round}`);
          const assign = () => shops[1]?.catalog.insertProduct(newProduct(contentOf([image])));
          const disable = () => shops[2]?.images.disable(image, later(1));
          const [one, other] = await Promise.all(
            round % 2 === 0 ? [assign(), disable()] : [disable(), assign()],
          );
          const kinds = [one?.kind, other?.kind].sort();
          const { disabledOn } = (await shop.images.find(image)) ?? {};
          const used = (await shop.images.usage(image))?.totals.products;
          if (disabledOn === undefined) assert.deepEqual([kinds, used], [['in-use', 'inserted'], 1]);
          else assert.deepEqual([kinds, used], [['disabled', 'refused'], 0]);
        }
      });

      test('of images enabled at once no more come back than the quota allows', async () => {
        const shops = await contenders();
        const ids: string[] = [];
        for (const [i] of shops.entries()) {
          const image = await shops[0].add(`image ${i}`);
          await shops[0].images.disable(image, later(1));
          ids.push(image);
        }
        const outcomes = await Promise.all(shops.map((shop, i) => shop.images.enable(ids[i] ?? '', upTo(5))));
        assert.equal(outcomes.filter(({ kind }) => kind === 'enabled').length, 5);
        const enabled = await shops[0].images.list({ skip: 0, count: 200 }, { disabled: false });
        assert.equal(enabled.total, 5);
        const beyond = await shops[0].images.insert(newImage('beyond'), { defaultQuota: 5 });
        assert.equal(beyond.kind, 'quota-exceeded');
      });

      test('products and line items that are added at once are all listed', async () => {
        const shops = await contenders();
        const image = await shops[0].add('a');
        await Promise.all(
          shops.flatMap((shop) => [shop.sell(contentOf([image])), shop.write(itemOf({ imageIDs: [image] }))]),
        );
        const page = { skip: 0, count: 200 };
        const { products, total } = await shops[0].catalog.listProducts(page);
        assert.deepEqual([new Set(products.map((p) => p.productID)).size, total], [CONTENDERS, CONTENDERS]);
        const { sets, total: written } = await shops[0].catalog.listLineItems(page);
        assert.deepEqual([new Set(sets.map((s) => s.lineItemsID)).size, written], [CONTENDERS, CONTENDERS]);
        const totals = (await shops[0].images.usage(image))?.totals;
        assert.deepEqual(totals, { products: CONTENDERS, options: 0, lineItems: CONTENDERS });
      });

      test('changes of one product at once leave the usage of the one that came last', async () => {
        const shops = await contenders();
        const images: string[] = [];
        for (const [i] of shops.entries()) images.push(await shops[0].add(`image ${i}`));
        const productID = await shops[0].sell(contentOf());
        await Promise.all(
          shops.map((shop, i) =>
            shop.catalog.replaceProduct(productID, contentOf(images.slice(i, i + 1)), later(i)),
          ),
        );
        const shown = (await shops[0].catalog.findProduct(productID))?.content.imageIDs;
        const { images: used } = await shops[0].images.list({ skip: 0, count: 200 }, { unused: false });
        assert.deepEqual(
          used.map(({ imageID }) => imageID),
          shown,
        );
      });
    });
  }

  test('usage, unused, and what may be assigned agree with a plain model after any sequence of changes', async () => {
    const { store } = current();
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 40 }), fc.boolean(), async (steps, strict) => {
        const shop = await openShop(store);
        if (strict) await setPolicy(store, shop.accountID, 'refuse-in-use');
        const model = new Model(strict);
        for (const step of steps) await model.walk(shop, step);
        await model.compare(shop);
      }),
      { numRuns: 40 },
    );
  });
}

const index = fc.nat({ max: 5 });
const picked = fc.array(index, { maxLength: 3 });
const STEP = fc.oneof(
  fc.record({ do: fc.constant('add' as const) }),
  fc.record({
    do: fc.constantFrom('disable' as const, 'enable' as const, 'change bytes' as const),
    image: index,
  }),
  fc.record({ do: fc.constant('sell' as const), own: picked, optional: picked }),
  fc.record({ do: fc.constant('replace' as const), product: index, own: picked, optional: picked }),
  fc.record({ do: fc.constant('withdraw' as const), product: index }),
  fc.record({ do: fc.constant('write' as const), own: picked, optional: picked, product: fc.option(index) }),
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

/** The simplest thing that behaves as the catalogue should: lists that are looked through. */
class Model {
  readonly #strict: boolean;
  readonly #images: { id: string; disabled: boolean }[] = [];
  readonly #products: { id: string; own: string[]; optional: string[]; disabled: boolean }[] = [];
  readonly #sets: { own: string[]; optional: string[] }[] = [];
  #bytes = 0;

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  async walk(shop: Shop, step: Step): Promise<void> {
    switch (step.do) {
      case 'add':
        this.#images.push({ id: await shop.add(`bytes ${this.#bytes++}`), disabled: false });
        return;
      case 'disable':
      case 'enable':
      case 'change bytes':
        return this.#changeImage(shop, step.do, step.image);
      case 'sell': {
        const { content, own, optional } = this.#content(step);
        const product = newProduct(content);
        const { kind } = await shop.catalog.insertProduct(product);
        const good = this.#assignable([...own, ...optional]);
        assert.equal(kind, good ? 'inserted' : 'refused');
        if (good) this.#products.push({ id: product.productID, own, optional, disabled: false });
        return;
      }
      case 'replace': {
        const product = this.#products[step.product];
        if (product === undefined) return;
        const { content, own, optional } = this.#content(step);
        const { kind } = await shop.catalog.replaceProduct(product.id, content, later(1));
        const good = this.#assignable([...own, ...optional], [...product.own, ...product.optional]);
        assert.equal(kind, product.disabled ? 'disabled' : good ? 'changed' : 'refused');
        if (kind === 'changed') Object.assign(product, { own, optional });
        return;
      }
      case 'withdraw': {
        const product = this.#products[step.product];
        if (product === undefined) return;
        assert.equal((await shop.catalog.disableProduct(product.id, later(1))).kind, 'disabled');
        product.disabled = true;
        return;
      }
      case 'write': {
        const { own, optional } = this.#content(step);
        const product = step.product === null ? undefined : this.#products[step.product];
        const item = itemOf({
          imageIDs: own,
          options: [{ name: 'x', quantity: 1, imageIDs: optional }],
          ...(product && { productID: product.id }),
        });
        const { kind } = await shop.catalog.insertLineItems(newLineItems(item));
        const good = this.#assignable([...own, ...optional]) && !product?.disabled;
        assert.equal(kind, good ? 'inserted' : 'refused');
        const added = product?.own.filter((id) => this.#assignable([id])) ?? [];
        if (good) this.#sets.push({ own: [...own, ...added], optional });
      }
    }
  }

  async #changeImage(
    shop: Shop,
    change: 'disable' | 'enable' | 'change bytes',
    which: number,
  ): Promise<void> {
    const image = this.#images[which];
    if (image === undefined) return;
    if (change === 'change bytes') {
      const original = originalOf(`bytes ${this.#bytes++}`);
      const { kind } = await shop.images.replace(image.id, { original, updatedOn: later(1) });
      assert.equal(kind, image.disabled ? 'disabled' : 'changed');
    } else if (change === 'enable') {
      assert.equal((await shop.images.enable(image.id, upTo(300))).kind, 'enabled');
      image.disabled = false;
    } else {
      const refused = this.#strict && !image.disabled && this.#used(image.id);
      assert.equal((await shop.images.disable(image.id, later(1))).kind, refused ? 'in-use' : 'disabled');
      image.disabled ||= !refused;
    }
  }

  async compare(shop: Shop): Promise<void> {
    const page = { skip: 0, count: 200 };
    const newest = this.#images.toReversed();
    for (const { id } of newest) {
      assert.deepEqual((await shop.images.usage(id))?.totals, this.#totals(id));
    }
    for (const unused of [true, false])
      for (const disabled of [true, false]) {
        const { images, total } = await shop.images.list(page, { unused, disabled });
        const expected = newest.filter(
          (image) => image.disabled === disabled && this.#used(image.id) !== unused,
        );
        assert.deepEqual(
          images.map(({ imageID }) => imageID),
          expected.map(({ id }) => id),
        );
        assert.equal(total, expected.length);
      }
    const { products } = await shop.catalog.listProducts(page);
    assert.deepEqual(
      products.map(({ productID, content }) => [productID, content.imageIDs]),
      this.#products
        .filter(({ disabled }) => !disabled)
        .toReversed()
        .map(({ id, own }) => [id, own]),
    );
    const { sets } = await shop.catalog.listLineItems(page);
    assert.deepEqual(
      sets.map(({ items }) => new Set(items[0]?.imageIDs)),
      this.#sets.toReversed().map(({ own }) => new Set(own)),
    );
  }

  #content(step: { own: number[]; optional: number[] }) {
    const ids = (picks: number[]) => picks.flatMap((pick) => this.#images[pick]?.id ?? []);
    const [own, optional] = [ids(step.own), ids(step.optional)];
    return { own, optional, content: contentOf(own, { optionGroups: [groupOf(optional)] }) };
  }

  #assignable(ids: string[], shown: string[] = []): boolean {
    return ids.every((id) => shown.includes(id) || !this.#images.find((image) => image.id === id)?.disabled);
  }

  #totals(id: string) {
    const current = this.#products.filter(({ disabled }) => !disabled);
    const count = (lists: string[][]) => lists.filter((list) => list.includes(id)).length;
    return {
      products: count(current.map(({ own }) => own)),
      options: count(current.map(({ optional }) => optional)),
      lineItems: count(this.#sets.flatMap(({ own, optional }) => [own, optional])),
    };
  }

  #used(id: string): boolean {
    return Object.values(this.#totals(id)).some((total) => total > 0);
  }
}
