/**
 * Clients that request public links through the proxy and from single nodes. Each answer must be a whole
 * picture that a client wrote, and must not have been replaced for longer than the bound.
 */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { ImageEntry } from '../crash/journal.ts';
import type { Random } from '../crash/random.ts';
import { type Answer, sendRequest, type TestRequest } from '../crash/requests.ts';
import { Blindness } from './freshness.ts';
import { readNumber } from './numbered-pictures.ts';
import { SERVED_BY } from './parts/haproxy.ts';
import type { ClusterNode } from './parts/nodes.ts';
import type { TimedJournal } from './timed-journal.ts';
import type { Traffic } from './traffic.ts';

export interface ReadersOptions {
  /** The URL of the proxy. */
  readonly url: string;
  readonly nodes: readonly ClusterNode[];
  readonly journal: TimedJournal;
  readonly random: Random;
  readonly traffic: Traffic;
  /** The digest of the picture with this number. */
  readonly digestOf: (number: number) => string | undefined;
  /** The most milliseconds for which a replaced picture may be shown. */
  readonly bound: number;
}

export interface ReadCounts {
  /** Whole pictures. */
  pictures: number;
  /** 304 answers. */
  unmodified: number;
  /** Replaced pictures, within the bound or not. */
  stale: number;
  /** Replaced pictures of nodes that did not reach the database. */
  staleWhileBlind: number;
  /** Milliseconds. */
  maxStaleness: number;
}

const SIZES = ['400x400', '100x100', '64x0', '0x250'] as const;
const ACCEPT = ['image/webp', 'image/jpeg', '*/*'] as const;
/** The share of requests that go to a node past the proxy. */
const DIRECT = 0.4;
/** The images that most requests are for, besides the shared ones: the newest that changed in this round. */
const NEWEST = 12;
const SHARED = 3;
/** Milliseconds between two requests of a reader. */
const PAUSE = 10;

export class Readers {
  readonly counts: ReadCounts = {
    pictures: 0,
    unmodified: 0,
    stale: 0,
    staleWhileBlind: 0,
    maxStaleness: 0,
  };
  readonly #options: ReadersOptions;
  readonly #blindness = new Map<string, Blindness>();
  /** What each entity tag stands for. */
  readonly #renditions = new Map<string, { readonly digest: string; readonly hash: string }>();
  readonly #etags = new Map<string, string>();
  #stopped = false;

  constructor(options: ReadersOptions) {
    this.#options = options;
    for (const { name } of options.nodes) this.#blindness.set(name, new Blindness());
  }

  /** From now on these nodes do not reach the database. */
  blind(names: readonly string[]): void {
    for (const name of names) this.#blindness.get(name)?.begin(performance.now());
  }

  /** Every node reaches the database again. */
  see(): void {
    for (const blindness of this.#blindness.values()) blindness.end(performance.now());
  }

  async run(count: number): Promise<void> {
    this.#stopped = false;
    await Promise.all(Array.from({ length: count }, () => this.#read()));
  }

  stop(): void {
    this.#stopped = true;
  }

  async #read(): Promise<void> {
    const { random, nodes, journal } = this.#options;
    while (!this.#stopped) {
      const shared = [...journal.images.values()].slice(0, SHARED);
      const changed = journal.changedImages().slice(-NEWEST);
      const image = random.pick(random.next() < 0.4 ? shared : changed);
      const running = nodes.filter(({ isRunning }) => isRunning);
      const node = random.next() < DIRECT ? random.pick(running) : undefined;
      if (image) await this.#request(image, node);
      await pause(PAUSE);
    }
  }

  /** @param node undefined: through the proxy */
  async #request(image: ImageEntry, node: ClusterNode | undefined): Promise<void> {
    const { random, url, traffic } = this.#options;
    const accept = random.pick(ACCEPT) ?? '*/*';
    const path = `/images/${image.publicID}?size=${random.pick(SIZES)}`;
    const variant = `${path} ${accept}`;
    const known = random.next() < 0.3 ? this.#etags.get(variant) : undefined;
    const request: TestRequest = {
      path,
      headers: { accept, ...(known !== undefined && { 'if-none-match': known }) },
    };
    const requestedAt = performance.now();
    // A node that ends while it is asked gives no answer, so only answers of single nodes are judged.
    const answer = node ? await sendRequest(node.url, request) : await traffic.send(url, request);
    if (answer === undefined) return;
    const name = node?.name ?? answer.headers.get(SERVED_BY) ?? '';
    const source = `GET ${variant} from ${name} (${traffic.cause})`;
    if (answer.status === 503) return;
    const etag = answer.headers.get('etag');
    const digest = await this.#identify(answer, etag ?? known, source);
    if (digest === undefined) return;
    if (etag !== null) this.#etags.set(variant, etag);
    this.#judge(image, digest, { name, requestedAt, source });
  }

  /** The digest of the original that a good answer stands for. */
  async #identify(answer: Answer, etag: string | undefined, source: string): Promise<string | undefined> {
    const { problems } = this.#options.traffic;
    const { status, headers, body } = answer;
    if (status === 304) {
      this.counts.unmodified += 1;
      const rendition = etag === undefined ? undefined : this.#renditions.get(etag);
      if (rendition === undefined) problems.push(`${source}: 304 with an unknown entity tag ${etag}`);
      return rendition?.digest;
    }
    if (status !== 200 || etag === undefined) {
      // The traffic through the proxy has reported the others already.
      if (status < 500) problems.push(`${source}: ${status} ${body.toString().slice(0, 150)}`);
      return undefined;
    }
    if (headers.get('content-length') !== String(body.length)) {
      problems.push(`${source}: ${body.length} bytes, but Content-Length ${headers.get('content-length')}`);
    }
    let number: number | undefined;
    try {
      number = await readNumber(body);
    } catch (error) {
      problems.push(`${source}: a picture that does not decode: ${String(error)}`);
      return undefined;
    }
    const digest = number === undefined ? undefined : this.#options.digestOf(number);
    if (digest === undefined) {
      problems.push(`${source}: a picture that no client wrote, number ${number}`);
      return undefined;
    }
    this.counts.pictures += 1;
    const hash = createHash('sha256').update(body).digest('hex');
    const earlier = this.#renditions.get(etag);
    if (earlier && (earlier.hash !== hash || earlier.digest !== digest)) {
      problems.push(`${source}: other bytes than before under the entity tag ${etag}`);
    }
    this.#renditions.set(etag, { digest, hash });
    return digest;
  }

  #judge(
    image: ImageEntry,
    digest: string,
    { name, requestedAt, source }: { name: string; requestedAt: number; source: string },
  ): void {
    const { journal, traffic, bound } = this.#options;
    const endedAt = journal.historyOf(image)?.endOf(digest, performance.now());
    if (endedAt === undefined) {
      traffic.problems.push(`${source}: a picture that this image never had, or that was refused`);
      return;
    }
    const staleness = this.#blindness.get(name)?.staleness(endedAt, requestedAt);
    if (staleness === undefined) {
      if (requestedAt > endedAt) this.counts.staleWhileBlind += 1;
      return;
    }
    if (staleness === 0) return;
    this.counts.stale += 1;
    this.counts.maxStaleness = Math.max(this.counts.maxStaleness, staleness);
    if (staleness > bound) {
      traffic.problems.push(`${source}: a picture that was replaced ${Math.round(staleness)} ms before`);
    }
  }
}
