/**
 * The contract of the catalogue under concurrency: images that are assigned and disabled at once, with one
 * store and with two over the same database. Also random changes of a catalogue, compared with a simple
 * model.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { MetadataStore } from '../../src/database/store.ts';
import {
  contentOf,
  groupOf,
  imageQuota,
  itemOf,
  newLineItems,
  newProduct,
  openShop,
  type Shop,
  setPolicy,
} from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { later, newImage, originalOf } from './metadata-samples.ts';

const CONTENDERS = 12;

export function metadataCatalogRaces(current: () => MetadataHarness): void {
  const participants = {
    'one store': async (harness: MetadataHarness) => [harness.store],
    'two stores': async (harness: MetadataHarness) => [harness.store, await harness.openAnother()],
  };
  for (const [name, stores] of Object.entries(participants)) {
    describe(`races of the catalogue with ${name}`, () => {
      /** Shops of one new account, one for each contender. The stores alternate. */
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

      test('either uses an image that is disabled at the same time, or refuses the assignment', async () => {
        const shops = await contenders();
        const [shop] = shops;
        for (let round = 0; round < 12; round += 1) {
          const image = await shop.addImage(`round ${round}`);
          const productID = await shop.addProduct(contentOf());
          const content = contentOf([], { optionGroups: [groupOf([image])] });
          const work = [
            () => shops[1]?.images.disable(image, later(1)),
            () => shops[2]?.catalog.insertProduct(newProduct(contentOf([image]))),
            () => shops[3]?.catalog.replaceProduct(productID, content, later(1)),
            () => shops[4]?.catalog.insertLineItems(newLineItems(itemOf({ imageIDs: [image] }))),
          ];
          // The first call has the best chance, so each call is the first one in some rounds.
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

      test('accepts either the assignment or the disabling under the policy refuse-in-use', async () => {
        const shops = await contenders();
        const [shop] = shops;
        await setPolicy(current().store, shop.accountID, 'refuse-in-use');
        for (let round = 0; round < 12; round += 1) {
          const image = await shop.addImage(`round ${round}`);
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

      test('enables only as many images at once as the quota allows', async () => {
        const shops = await contenders();
        const ids: string[] = [];
        for (const [i] of shops.entries()) {
          const image = await shops[0].addImage(`image ${i}`);
          await shops[0].images.disable(image, later(1));
          ids.push(image);
        }
        const outcomes = await Promise.all(
          shops.map((shop, i) => shop.images.enable(ids[i] ?? '', imageQuota(5))),
        );
        assert.equal(outcomes.filter(({ kind }) => kind === 'enabled').length, 5);
        const enabled = await shops[0].images.list({ skip: 0, count: 200 }, { disabled: false });
        assert.equal(enabled.total, 5);
        const beyond = await shops[0].images.insert(newImage('beyond'), { defaultQuota: 5 });
        assert.equal(beyond.kind, 'quota-exceeded');
      });

      test('lists all products and line items that are added at once', async () => {
        const shops = await contenders();
        const image = await shops[0].addImage('a');
        await Promise.all(
          shops.flatMap((shop) => [
            shop.addProduct(contentOf([image])),
            shop.addLineItems(itemOf({ imageIDs: [image] })),
          ]),
        );
        const page = { skip: 0, count: 200 };
        const { products, total } = await shops[0].catalog.listProducts(page);
        assert.deepEqual([new Set(products.map((p) => p.productID)).size, total], [CONTENDERS, CONTENDERS]);
        const { sets, total: setCount } = await shops[0].catalog.listLineItems(page);
        assert.deepEqual([new Set(sets.map((s) => s.lineItemsID)).size, setCount], [CONTENDERS, CONTENDERS]);
        const totals = (await shops[0].images.usage(image))?.totals;
        assert.deepEqual(totals, { products: CONTENDERS, options: 0, lineItems: CONTENDERS });
      });

      test('keeps the isTaxable of one update among concurrent updates that omit it', async () => {
        const shops = await contenders();
        const { isTaxable: _, ...silent } = contentOf();
        for (const isTaxable of [false, true]) {
          const productID = await shops[0].addProduct(contentOf([], { isTaxable: !isTaxable }));
          await Promise.all(
            shops.map(({ catalog }, i) => {
              const content = i === CONTENDERS / 2 ? { ...silent, isTaxable } : silent;
              return catalog.replaceProduct(productID, content, later(i));
            }),
          );
          assert.equal((await shops[0].catalog.findProduct(productID))?.content.isTaxable, isTaxable);
        }
      });

      test('has the usage of the last change after concurrent changes of one product', async () => {
        const shops = await contenders();
        const images: string[] = [];
        for (const [i] of shops.entries()) images.push(await shops[0].addImage(`image ${i}`));
        const productID = await shops[0].addProduct(contentOf());
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

  test('has the usage, filters and refusals of a simple model after any sequence of changes', async () => {
    const { store } = current();
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 40 }), fc.boolean(), async (steps, strict) => {
        const shop = await openShop(store);
        if (strict) await setPolicy(store, shop.accountID, 'refuse-in-use');
        const model = new Model(strict);
        for (const step of steps) await model.apply(shop, step);
        await model.compare(shop);
      }),
      { numRuns: 40 },
    );
  });
}

const index = fc.nat({ max: 5 });
const picks = fc.array(index, { maxLength: 3 });
const STEP = fc.oneof(
  fc.record({ do: fc.constant('add image' as const) }),
  fc.record({
    do: fc.constantFrom('disable' as const, 'enable' as const, 'change bytes' as const),
    image: index,
  }),
  fc.record({ do: fc.constant('add product' as const), own: picks, optional: picks }),
  fc.record({ do: fc.constant('replace product' as const), product: index, own: picks, optional: picks }),
  fc.record({ do: fc.constant('disable product' as const), product: index }),
  fc.record({
    do: fc.constant('add line items' as const),
    own: picks,
    optional: picks,
    product: fc.option(index),
  }),
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

/** A simple model of a catalogue: lists that are searched from start to end. */
class Model {
  readonly #strict: boolean;
  readonly #images: { id: string; disabled: boolean }[] = [];
  readonly #products: { id: string; own: string[]; optional: string[]; disabled: boolean }[] = [];
  readonly #sets: { own: string[]; optional: string[] }[] = [];
  #bytes = 0;

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  /** Applies a step to the shop and to the model, and asserts the outcome. */
  async apply(shop: Shop, step: Step): Promise<void> {
    switch (step.do) {
      case 'add image':
        this.#images.push({ id: await shop.addImage(`bytes ${this.#bytes++}`), disabled: false });
        return;
      case 'disable':
      case 'enable':
      case 'change bytes':
        return this.#changeImage(shop, step.do, step.image);
      case 'add product': {
        const { content, own, optional } = this.#content(step);
        const product = newProduct(content);
        const { kind } = await shop.catalog.insertProduct(product);
        const isAllowed = this.#areAssignable([...own, ...optional]);
        assert.equal(kind, isAllowed ? 'inserted' : 'refused');
        if (isAllowed) this.#products.push({ id: product.productID, own, optional, disabled: false });
        return;
      }
      case 'replace product': {
        const product = this.#products[step.product];
        if (product === undefined) return;
        const { content, own, optional } = this.#content(step);
        const { kind } = await shop.catalog.replaceProduct(product.id, content, later(1));
        const isAllowed = this.#areAssignable([...own, ...optional], [...product.own, ...product.optional]);
        assert.equal(kind, product.disabled ? 'disabled' : isAllowed ? 'changed' : 'refused');
        if (kind === 'changed') Object.assign(product, { own, optional });
        return;
      }
      case 'disable product': {
        const product = this.#products[step.product];
        if (product === undefined) return;
        assert.equal((await shop.catalog.disableProduct(product.id, later(1))).kind, 'disabled');
        product.disabled = true;
        return;
      }
      case 'add line items': {
        const { own, optional } = this.#content(step);
        const product = step.product === null ? undefined : this.#products[step.product];
        const item = itemOf({
          imageIDs: own,
          options: [{ name: 'x', quantity: 1, imageIDs: optional }],
          ...(product && { productID: product.id }),
        });
        const { kind } = await shop.catalog.insertLineItems(newLineItems(item));
        const isAllowed = this.#areAssignable([...own, ...optional]) && !product?.disabled;
        assert.equal(kind, isAllowed ? 'inserted' : 'refused');
        const added = product?.own.filter((id) => this.#areAssignable([id])) ?? [];
        if (isAllowed) this.#sets.push({ own: [...own, ...added], optional });
      }
    }
  }

  async #changeImage(
    shop: Shop,
    change: 'disable' | 'enable' | 'change bytes',
    index: number,
  ): Promise<void> {
    const image = this.#images[index];
    if (image === undefined) return;
    if (change === 'change bytes') {
      const original = originalOf(`bytes ${this.#bytes++}`);
      const { kind } = await shop.images.replace(image.id, { original, updatedOn: later(1) });
      assert.equal(kind, image.disabled ? 'disabled' : 'changed');
    } else if (change === 'enable') {
      assert.equal((await shop.images.enable(image.id, imageQuota(300))).kind, 'enabled');
      image.disabled = false;
    } else {
      const refused = this.#strict && !image.disabled && this.#isUsed(image.id);
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
          (image) => image.disabled === disabled && this.#isUsed(image.id) !== unused,
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

  #areAssignable(ids: string[], shown: string[] = []): boolean {
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

  #isUsed(id: string): boolean {
    return Object.values(this.#totals(id)).some((total) => total > 0);
  }
}
