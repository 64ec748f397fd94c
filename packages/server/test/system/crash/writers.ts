/**
 * Clients that send all kinds of writes to a library at the same time and record the answers in a journal.
 * They report answers that no client should get.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ImageJSON } from '../../support/client.ts';
import type { Effect } from './check/history.ts';
import type { ImageEntry, Journal, ProductContent } from './journal.ts';
import type { PictureSet } from './pictures.ts';
import type { Random } from './random.ts';
import {
  type Answer,
  createUpload,
  IMAGES,
  isTemporaryRejection,
  LINE_ITEMS,
  PRODUCTS,
  sendRequest,
  type TestRequest,
} from './requests.ts';

export interface WritersOptions {
  readonly url: string;
  readonly journal: Journal;
  readonly pictures: PictureSet;
  readonly random: Random;
  /** Gets a sentence for each unexpected answer. */
  readonly problems: string[];
  /** Sends a request. Default: once. */
  readonly send?: typeof sendRequest;
  /** True: a writer continues after a request without an answer. Default: false. */
  readonly survives?: boolean;
}

const PRICE = { currency: 'EUR', valueDecimal: '1.50' };
const SIZES = ['400x400', '100x0', '0x333', '700x500'] as const;
const ACCEPT = ['image/webp', 'image/jpeg', '*/*'] as const;

/** The number of images that all writers change. Only the writer that added an image changes the others. */
const SHARED = 3;

export class Writers {
  readonly #options: WritersOptions;
  readonly #shared: ImageEntry[];
  #stopped = false;

  constructor(options: WritersOptions) {
    this.#options = options;
    this.#shared = [...options.journal.images.values()].slice(0, SHARED);
  }

  /** Runs `count` writers until `stop`. Unless it survives, a writer ends when a request gets no answer. */
  async run(count: number): Promise<void> {
    this.#stopped = false;
    await Promise.all(Array.from({ length: count }, (_, index) => this.#write(`${index}`)));
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Sends random requests. Each method returns false if it got no answer. */
  async #write(name: string): Promise<void> {
    const { random } = this.#options;
    const own: ImageEntry[] = [];
    for (let turn = 0; !this.#stopped; turn += 1) {
      const image = (random.next() < 0.15 ? random.pick(this.#shared) : undefined) ?? random.pick(own);
      const dice = random.next();
      let alive: boolean;
      if (image === undefined || dice < 0.35) alive = await this.#upload(own);
      else if (dice < 0.5) alive = await this.#update(image);
      else if (dice < 0.62) alive = await this.#updateMetadata(image);
      else if (dice < 0.68) alive = await this.#disable(image);
      else if (dice < 0.74) alive = await this.#enable(image);
      else if (dice < 0.82) alive = await this.#writeProduct(`${name} ${turn}`, own);
      else if (dice < 0.85) alive = await this.#addLineItems(own);
      else if (dice < 0.9) alive = await this.#retry();
      else alive = await this.#requestRendition(image);
      if (!alive && !this.#options.survives) return;
    }
  }

  /**
   * Sends a request and reports an answer with an unexpected status.
   * @returns the answer if its status is expected; undefined if there was no answer
   */
  async #send(request: TestRequest, ...expected: number[]): Promise<Answer | 'rejected' | undefined> {
    const { journal, url, problems, send = sendRequest } = this.#options;
    const answer = await send(url, request);
    if (answer === undefined) {
      journal.unconfirmedCount += 1;
      return undefined;
    }
    if (expected.includes(answer.status)) return answer;
    if (!isTemporaryRejection(answer)) {
      problems.push(
        `${request.method ?? 'GET'} ${request.path} answered ${answer.status} ${answer.body.toString().slice(0, 200)}`,
      );
    }
    journal.recordRejection(answer.status);
    return 'rejected';
  }

  async #upload(own: ImageEntry[]): Promise<boolean> {
    const { random, journal, pictures } = this.#options;
    const { bytes, digest, number } = pictures.get(journal.nextNumber());
    const altText = random.next() < 0.5 ? `picture ${number}` : undefined;
    const key = random.next() < 0.5 ? `key-${number}` : undefined;
    journal.pendingUploads.set(digest, { number, digest, altText, key });
    const answer = await this.#send(createUpload(bytes, { altText, key }), 201);
    if (answer === undefined || answer === 'rejected') return answer !== undefined;
    const image: ImageJSON = answer.json();
    journal.pendingUploads.delete(digest);
    own.push(journal.addImage(image, digest));
    if (key !== undefined) journal.keyedUploads.push({ number, digest, altText, key, answer: image });
    journal.recordAcknowledgement();
    return true;
  }

  /** Retries an acknowledged upload. It must get its first answer, even if the image changed since. */
  async #retry(): Promise<boolean> {
    const { random, journal, pictures, problems } = this.#options;
    const upload = random.pick(journal.keyedUploads);
    if (upload === undefined) return true;
    const { bytes } = pictures.get(upload.number);
    const answer = await this.#send(createUpload(bytes, upload), 201);
    if (answer === undefined || answer === 'rejected') return answer !== undefined;
    if (!isDeepStrictEqual(answer.json(), upload.answer)) {
      problems.push(`the retry of ${upload.key} was answered ${answer.body}`);
    }
    return true;
  }

  async #update(image: ImageEntry): Promise<boolean> {
    const { random, journal, pictures } = this.#options;
    const { bytes, digest, number } = pictures.get(journal.nextNumber());
    const altText = random.next() < 0.5 ? `update ${number}` : undefined;
    const effect: Effect = { kind: 'update', digest, ...(altText !== undefined && { altText }) };
    return this.#sendChange(image, effect, createUpload(bytes, { altText, replace: image.imageID }));
  }

  #updateMetadata(image: ImageEntry): Promise<boolean> {
    const { random, journal } = this.#options;
    const altText = random.next() < 0.8 ? `text ${journal.nextNumber()}` : undefined;
    const json = altText === undefined ? {} : { altText };
    const request = { method: 'PUT', path: `${IMAGES}/${image.imageID}/metadata`, json };
    return this.#sendChange(image, { kind: 'update-metadata', altText }, request);
  }

  #disable(image: ImageEntry): Promise<boolean> {
    const request = { method: 'DELETE', path: `${IMAGES}/${image.imageID}` };
    return this.#sendChange(image, { kind: 'disable' }, request);
  }

  #enable(image: ImageEntry): Promise<boolean> {
    const request = { method: 'POST', path: `${IMAGES}/${image.imageID}/enable` };
    return this.#sendChange(image, { kind: 'enable' }, request);
  }

  /** Sends a change of an image and records it in the journal. */
  async #sendChange(image: ImageEntry, effect: Effect, request: TestRequest): Promise<boolean> {
    const { journal } = this.#options;
    const change = journal.startChange(image, effect);
    const answer = await this.#send(request, 200, 204, 409);
    if (answer === undefined || answer === 'rejected') return answer !== undefined;
    journal.finishChange(change, answer.status === 409 ? 'rejected' : 'done');
    return true;
  }

  /** Adds a product or changes one of the last five. */
  async #writeProduct(title: string, own: readonly ImageEntry[]): Promise<boolean> {
    const { random, journal } = this.#options;
    const entry = random.next() < 0.4 ? random.pick([...journal.products.values()].slice(-5)) : undefined;
    // The journal has no order of the changes of a product, so only one writer changes it at a time.
    const product = entry?.pending === undefined ? entry : undefined;
    const imageIDs = new Set(
      [random.pick(own)?.imageID, random.pick(own)?.imageID].filter((id) => id !== undefined),
    );
    const content: ProductContent = { title: `${title} ${journal.nextNumber()}`, imageIDs: [...imageIDs] };
    const json = {
      title: content.title,
      basePrice: PRICE,
      images: content.imageIDs.map((imageID) => ({ imageID })),
    };
    if (product) product.pending = content;
    else journal.pendingProducts.set(content.title, content);
    const path = product ? `${PRODUCTS}/${product.productID}` : PRODUCTS;
    // The answer is 422 if an image is disabled.
    const answer = await this.#send({ method: product ? 'PUT' : 'POST', path, json }, 200, 201, 422);
    if (answer === undefined || answer === 'rejected') return answer !== undefined;
    const isAccepted = answer.status !== 422;
    if (product) {
      delete product.pending;
      if (isAccepted) product.content = content;
    } else {
      journal.pendingProducts.delete(content.title);
      const { productID } = answer.json();
      if (isAccepted) journal.products.set(productID, { productID, content });
    }
    journal.recordAcknowledgement();
    return true;
  }

  async #addLineItems(own: readonly ImageEntry[]): Promise<boolean> {
    const { random, journal } = this.#options;
    const imageIDs = [random.pick(own)?.imageID].filter((id) => id !== undefined);
    const items = [{ name: `item ${journal.nextNumber()}`, basePrice: PRICE, quantity: 1, imageIDs }];
    const answer = await this.#send({ method: 'POST', path: LINE_ITEMS, json: { items } }, 201, 422);
    if (answer === undefined || answer === 'rejected') return answer !== undefined;
    if (answer.status === 201) {
      const set = answer.json();
      journal.lineItems.set(set.lineItemsID, set);
    }
    journal.recordAcknowledgement();
    return true;
  }

  async #requestRendition(image: ImageEntry): Promise<boolean> {
    const { random } = this.#options;
    const accept = random.pick(ACCEPT) ?? '*/*';
    const path = `/images/${image.publicID}?size=${random.pick(SIZES)}`;
    return (await this.#send({ path, headers: { accept } }, 200)) !== undefined;
  }
}
