/**
 * Clients that write to a library all at once, in every way there is, and keep a journal of what they were told. An
 * answer that no client should ever see is a complaint. Refuses to know how the server ends.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ImageJSON } from '../../support/server.ts';
import {
  type Answer,
  ask,
  IMAGES,
  LINE_ITEMS,
  PRODUCTS,
  type Question,
  saysNotNow,
  uploading,
} from './asking.ts';
import type { Effect } from './history.ts';
import type { Journal, KnownImage, ProductContent } from './journal.ts';
import type { Chance } from './random.ts';
import type { Supply } from './supply.ts';

export interface WritersOptions {
  readonly url: string;
  readonly journal: Journal;
  readonly supply: Supply;
  readonly chance: Chance;
  /** What no client should see is put here. */
  readonly complaints: string[];
}

const PRICE = { currency: 'EUR', valueDecimal: '1.50' };
const SIZES = ['400x400', '100x0', '0x333', '700x500'] as const;
const ACCEPT = ['image/webp', 'image/jpeg', '*/*'] as const;

/** Images that all writers change; the others belong to the one that added them. */
const SHARED = 3;

export class Writers {
  readonly #options: WritersOptions;
  readonly #shared: KnownImage[];
  #stopped = false;

  constructor(options: WritersOptions) {
    this.#options = options;
    this.#shared = [...options.journal.images.values()].slice(0, SHARED);
  }

  /** Writes until `stop`; each writer ends before if the server does. */
  async run(count: number): Promise<void> {
    this.#stopped = false;
    await Promise.all(Array.from({ length: count }, (_, name) => this.#write(`${name}`)));
  }

  stop(): void {
    this.#stopped = true;
  }

  async #write(name: string): Promise<void> {
    const { chance } = this.#options;
    const own: KnownImage[] = [];
    for (let turn = 0; !this.#stopped; turn += 1) {
      const image = (chance.next() < 0.15 ? chance.of(this.#shared) : undefined) ?? chance.of(own);
      const dice = chance.next();
      let alive: boolean;
      if (image === undefined || dice < 0.35) alive = await this.#upload(own);
      else if (dice < 0.5) alive = await this.#update(image);
      else if (dice < 0.62) alive = await this.#describe(image);
      else if (dice < 0.68) alive = await this.#change(image, { kind: 'disable' }, 'DELETE', image.imageID);
      else if (dice < 0.74)
        alive = await this.#change(image, { kind: 'enable' }, 'POST', `${image.imageID}/enable`);
      else if (dice < 0.82) alive = await this.#product(`${name} ${turn}`, own);
      else if (dice < 0.85) alive = await this.#lineItems(own);
      else if (dice < 0.9) alive = await this.#retry();
      else alive = await this.#look(image);
      if (!alive) return;
    }
  }

  /** The answer, if it is one of those that may come; undefined if none came. */
  async #ask(question: Question, ...expected: number[]): Promise<Answer | 'not now' | undefined> {
    const { journal, url, complaints } = this.#options;
    const answer = await ask(url, question);
    if (answer === undefined) {
      journal.unanswered += 1;
      return undefined;
    }
    if (expected.includes(answer.status)) return answer;
    if (!saysNotNow(answer)) {
      complaints.push(
        `${question.method ?? 'GET'} ${question.path} answered ${answer.status} ${answer.body.toString().slice(0, 200)}`,
      );
    }
    journal.refuse(answer.status);
    return 'not now';
  }

  async #upload(own: KnownImage[]): Promise<boolean> {
    const { chance, journal, supply } = this.#options;
    const { bytes, digest, number } = supply.picture(journal.number());
    const altText = chance.next() < 0.5 ? `picture ${number}` : undefined;
    const key = chance.next() < 0.5 ? `key-${number}` : undefined;
    journal.openUploads.set(digest, { number, digest, altText, key });
    const answer = await this.#ask(uploading(bytes, { altText, key }), 201);
    if (answer === undefined || answer === 'not now') return answer !== undefined;
    const image: ImageJSON = answer.json();
    journal.openUploads.delete(digest);
    own.push(journal.add(image, digest));
    if (key !== undefined) journal.keyed.push({ number, digest, altText, key, answer: image });
    journal.acknowledge();
    return true;
  }

  /** The retry of an upload that was answered must be answered the same, whatever became of the image since. */
  async #retry(): Promise<boolean> {
    const { chance, journal, supply, complaints } = this.#options;
    const upload = chance.of(journal.keyed);
    if (upload === undefined) return true;
    const { bytes } = supply.picture(upload.number);
    const answer = await this.#ask(uploading(bytes, upload), 201);
    if (answer === undefined || answer === 'not now') return answer !== undefined;
    if (!isDeepStrictEqual(answer.json(), upload.answer)) {
      complaints.push(`the retry of ${upload.key} was answered ${answer.body}`);
    }
    return true;
  }

  async #update(image: KnownImage): Promise<boolean> {
    const { chance, journal, supply } = this.#options;
    const { bytes, digest, number } = supply.picture(journal.number());
    const altText = chance.next() < 0.5 ? `update ${number}` : undefined;
    const effect: Effect = { kind: 'update', digest, ...(altText !== undefined && { altText }) };
    return this.#settle(image, effect, uploading(bytes, { altText, replace: image.imageID }));
  }

  #describe(image: KnownImage): Promise<boolean> {
    const { chance, journal } = this.#options;
    const altText = chance.next() < 0.8 ? `text ${journal.number()}` : undefined;
    const json = altText === undefined ? {} : { altText };
    const question = { method: 'PUT', path: `${IMAGES}/${image.imageID}/metadata`, json };
    return this.#settle(image, { kind: 'describe', altText }, question);
  }

  #change(image: KnownImage, effect: Effect, method: string, under: string): Promise<boolean> {
    return this.#settle(image, effect, { method, path: `${IMAGES}/${under}` });
  }

  async #settle(image: KnownImage, effect: Effect, question: Question): Promise<boolean> {
    const { journal } = this.#options;
    const change = journal.ask(image, effect);
    const answer = await this.#ask(question, 200, 204, 409);
    if (answer === undefined || answer === 'not now') return answer !== undefined;
    journal.answered(change, answer.status === 409 ? 'refused' : 'done');
    return true;
  }

  async #product(title: string, own: readonly KnownImage[]): Promise<boolean> {
    const { chance, journal } = this.#options;
    const known = chance.next() < 0.4 ? chance.of([...journal.products.values()].slice(-5)) : undefined;
    // Two writers must not change one product at once: its journal knows no order.
    const product = known?.pending === undefined ? known : undefined;
    const shown = new Set(
      [chance.of(own)?.imageID, chance.of(own)?.imageID].filter((id) => id !== undefined),
    );
    const content: ProductContent = { title: `${title} ${journal.number()}`, imageIDs: [...shown] };
    const json = {
      title: content.title,
      basePrice: PRICE,
      images: content.imageIDs.map((imageID) => ({ imageID })),
    };
    if (product) product.pending = content;
    else journal.openProducts.set(content.title, content);
    const path = product ? `${PRODUCTS}/${product.productID}` : PRODUCTS;
    // 422: one of them is disabled.
    const answer = await this.#ask({ method: product ? 'PUT' : 'POST', path, json }, 200, 201, 422);
    if (answer === undefined || answer === 'not now') return answer !== undefined;
    const refused = answer.status === 422;
    if (product) {
      delete product.pending;
      if (!refused) product.settled = content;
    } else {
      journal.openProducts.delete(content.title);
      const { productID } = answer.json();
      if (!refused) journal.products.set(productID, { productID, settled: content });
    }
    journal.acknowledge();
    return true;
  }

  async #lineItems(own: readonly KnownImage[]): Promise<boolean> {
    const { chance, journal } = this.#options;
    const imageIDs = [chance.of(own)?.imageID].filter((id) => id !== undefined);
    const items = [{ name: `item ${journal.number()}`, basePrice: PRICE, quantity: 1, imageIDs }];
    const answer = await this.#ask({ method: 'POST', path: LINE_ITEMS, json: { items } }, 201, 422);
    if (answer === undefined || answer === 'not now') return answer !== undefined;
    if (answer.status === 201) {
      const set = answer.json();
      journal.lineItems.set(set.lineItemsID, set);
    }
    journal.acknowledge();
    return true;
  }

  async #look(image: KnownImage): Promise<boolean> {
    const { chance } = this.#options;
    const accept = chance.of(ACCEPT) ?? '*/*';
    const path = `/images/${image.publicID}?size=${chance.of(SIZES)}`;
    return (await this.#ask({ path, headers: { accept } }, 200)) !== undefined;
  }
}
