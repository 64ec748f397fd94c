/**
 * Delivery: from a public link to the bytes of a rendition: 304 · memory · disk · render once. Owns how a rendition is
 * named (its ETag) before it is made, what is kept of it, and how many an image may cost. Refuses to know HTTP and
 * pixels.
 */
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { BlobStore } from '../blobs/store.ts';
import { Flights } from '../concurrency/single-flight.ts';
import { Budget } from '../concurrency/token-bucket.ts';
import type { MetadataStore } from '../database/store.ts';
import { AppError, isAppError } from '../errors.ts';
import { type Digest, type Image, isPublicID, type Original } from '../image.ts';
import { type Rung, rungBlobName, rungFor } from '../imaging/ladder.ts';
import { type OutputFormat, type Plan, planKey, planRendition, type Transform } from '../imaging/plan.ts';
import type { Processor, Rendition } from '../imaging/processor.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import type { MemoryCache } from './memory-cache.ts';
import { type RenditionCache, type RenditionKey, renditionKey } from './rendition-cache.ts';

/** Images whose records are held in memory. */
const MAX_RECORDS = 50_000;
/** How long a record is believed, in milliseconds: after that, changes by other processes are seen. */
const RECORD_LIFETIME = 5_000;
/** How long the database may take to confirm a record before it is believed once more, in milliseconds. */
const LOOKUP_PATIENCE = 250;

const SECONDS_AN_HOUR = 60 * 60;

/** A rendition that is fully decided on, but not made. */
export interface PlannedRendition {
  readonly image: Image;
  readonly plan: Plan;
  readonly key: RenditionKey;
  /** Weak entity tag with its quotes. Equal for equal bytes of the original and equal plans, else different. */
  readonly etag: string;
}

/** A rendition, and the way it came. */
export interface Delivered {
  readonly bytes: Buffer;
  /** The place that had it, or what it was made from. */
  readonly from: 'memory' | 'disk' | 'rung' | 'original';
  /** What the way took, in milliseconds; of a rendition that somebody else had made at the same time, all of it. */
  readonly times: { readonly read?: number; readonly queue?: number; readonly render?: number };
}

export interface DeliveryDependencies {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly memory: MemoryCache;
  readonly disk: RenditionCache;
  /** Renditions of one image that may be made at once, and again in the course of an hour; 0: no limit. */
  readonly sizeBudget: number;
  /** Makes the ladder of an original anew. Never rejects. */
  readonly rebuildLadder: (digest: Digest, original: Original) => Promise<void>;
  readonly telemetry?: Telemetry;
}

/** What came from where, since the start. */
export interface DeliveryCounts {
  memory: number;
  disk: number;
  /** Rendered from a rung. */
  rung: number;
  /** Rendered from the original. */
  original: number;
}

export class Delivery {
  readonly counts: DeliveryCounts = { memory: 0, disk: 0, rung: 0, original: 0 };

  readonly #metadata: MetadataStore;
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #memory: MemoryCache;
  readonly #disk: RenditionCache;
  readonly #budget: Budget;
  readonly #rebuildLadder: DeliveryDependencies['rebuildLadder'];
  readonly #telemetry: Telemetry;
  readonly #records = new LRUCache<string, Image>({
    max: MAX_RECORDS,
    ttl: RECORD_LIFETIME,
    // The clock is asked this seldom, and not for every look.
    ttlResolution: 50,
    // One that is no longer believed stays, to be shown while the database cannot say what is true now.
    noDeleteOnStaleGet: true,
  });
  readonly #lookups = new Map<string, Promise<Image | undefined>>();
  readonly #reads = new Flights<Buffer | undefined>();
  readonly #renders = new Flights<Delivered>();

  constructor(dependencies: DeliveryDependencies) {
    this.#metadata = dependencies.metadata;
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#memory = dependencies.memory;
    this.#disk = dependencies.disk;
    const burst = dependencies.sizeBudget;
    this.#budget = new Budget({ burst, perSecond: burst / SECONDS_AN_HOUR });
    this.#rebuildLadder = dependencies.rebuildLadder;
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /**
   * The image behind a public link, disabled or not. While the database is away or slow, as it was when it was last
   * read; what this process itself has changed since is never shown as it was.
   * @param charge is called for an ID that had to be looked up in vain, and may throw something else.
   * @throws AppError `not-found`.
   */
  async find(publicID: string, charge?: () => void): Promise<Image> {
    if (!isPublicID(publicID)) throw unknownImage();
    const image = this.#records.get(publicID) ?? (await this.#lookUp(publicID));
    if (image) return image;
    charge?.();
    throw unknownImage();
  }

  /** The record if it is at hand and still believed. */
  peekRecord(publicID: string): Image | undefined {
    return this.#records.get(publicID);
  }

  /** The bytes if they are in memory. Counts as a delivery. */
  peek(key: RenditionKey): Buffer | undefined {
    const bytes = this.#memory.peek(key);
    if (bytes) this.counts.memory += 1;
    return bytes;
  }

  #lookUp(publicID: string): Promise<Image | undefined> {
    const running = this.#lookups.get(publicID);
    if (running) return running;
    const known = this.#records.get(publicID, { allowStale: true });
    const found = this.#metadata.findPublicImage(publicID);
    const lookup = (known ? confirmed(found, known) : found).then(
      (image) => {
        // A change that came meanwhile took this lookup off the list: it may have read what was before.
        if (this.#lookups.get(publicID) === lookup) {
          this.#lookups.delete(publicID);
          if (image) this.#records.set(publicID, image);
        }
        return image;
      },
      (error: unknown) => {
        if (this.#lookups.get(publicID) === lookup) this.#lookups.delete(publicID);
        throw error;
      },
    );
    this.#lookups.set(publicID, lookup);
    return lookup;
  }

  /** Decides what the rendition will be. Reads no pixel. */
  plan(image: Image, transform: Transform, format: OutputFormat): PlannedRendition {
    const plan = planRendition(transform, image.original, format, image.focalPoint);
    const key = renditionKey(image.original.digest, planKey(plan));
    const name = hash('sha256', key.name, 'base64url');
    return { image, plan, key, etag: `W/"${name.slice(0, 22)}"` };
  }

  /**
   * The bytes of the rendition, from the nearest place. However many ask at once, it is made once.
   * @param charge is called before it is made for this caller, and refuses that by throwing. Whoever joins what is
   * being made already, or finds it in a cache, costs nothing; and nobody is refused for what another caller owes.
   * @throws AppError `rate-limited` if too many different renditions of the image were made lately, `unavailable` if
   * it cannot be made now, `cancelled` when the signal fires; what `charge` throws.
   */
  async deliver(planned: PlannedRendition, signal?: AbortSignal, charge?: () => void): Promise<Delivered> {
    const { key } = planned;
    const { name } = key;
    const held = this.peek(key);
    if (held) return { bytes: held, from: 'memory', times: {} };
    if (this.#disk.mayHave(key)) {
      const began = performance.now();
      const kept = await this.#reads.run(name, () => this.#read(key), signal);
      const times = { read: performance.now() - began };
      if (kept) return { bytes: kept, from: 'disk', times };
      // It may have been made while the disk was read.
      const made = this.peek(key);
      if (made) return { bytes: made, from: 'memory', times };
    }
    if (!this.#renders.has(name)) {
      charge?.();
      this.#charge(planned.image);
    }
    return this.#renders.run(name, (stop) => this.#make(planned, stop), signal);
  }

  /** Takes in a rendition that was made on the way of something else. */
  keep(digest: Digest, plan: Plan, { bytes }: Rendition): void {
    const key = renditionKey(digest, planKey(plan));
    const buffer = asBuffer(bytes);
    void this.#memory.put(key, buffer);
    void this.#disk.put(key, buffer);
  }

  /** Forgets what is known of an image that was changed, and the renditions of bytes that it no longer shows. */
  changed(publicID: string, withdrawn?: Digest): void {
    this.#records.delete(publicID);
    this.#lookups.delete(publicID);
    if (withdrawn === undefined) return;
    void this.#memory.forget(withdrawn);
    void this.#disk.forget(withdrawn);
  }

  async #read(key: RenditionKey): Promise<Buffer | undefined> {
    const kept = await this.#disk.get(key);
    if (!kept) return undefined;
    this.counts.disk += 1;
    await this.#memory.put(key, kept);
    return kept;
  }

  #charge({ publicID }: Image): void {
    const wait = this.#budget.take(publicID, performance.now());
    if (wait === 0) return;
    const text = 'too many different renditions of this image were asked for; known ones are still served';
    throw new AppError('rate-limited', text, { retryAfter: wait, shed: 'size-budget' });
  }

  async #make(planned: PlannedRendition, signal: AbortSignal): Promise<Delivered> {
    const { key } = planned;
    const { from, rendition } = await this.#render(planned, signal);
    const bytes = asBuffer(rendition.bytes);
    await this.#memory.put(key, bytes);
    // Nobody waits for the disk.
    void this.#disk.put(key, bytes);
    const { waitMs: queue = 0, workMs: render = 0 } = rendition.times ?? {};
    return { bytes, from, times: { queue, render } };
  }

  /** From the smallest sufficient rung; from the original where there is none. */
  async #render(
    { image, plan }: PlannedRendition,
    signal: AbortSignal,
  ): Promise<{ from: 'rung' | 'original'; rendition: Rendition }> {
    const { original } = image;
    const rung = rungFor(plan, original);
    if (rung) {
      const made = await this.#renderFromRung(original, rung, plan, signal);
      if (made) return { from: 'rung', rendition: made };
      // What is missing or damaged is made again, so that the next one need not take the long way.
      void this.#rebuildLadder(original.digest, original);
    }
    try {
      const made = await this.#telemetry.step({ kind: 'render', from: 'original', format: plan.format }, () =>
        this.#blobs.withOriginalFile(
          original.digest,
          (path) =>
            this.#processor.render(path, plan, { signal, source: original, original: original.digest }),
          signal,
        ),
      );
      this.counts.original += 1;
      return { from: 'original', rendition: made };
    } catch (error) {
      // These bytes were decoded in full when they were uploaded, so it is not the caller's picture that is wrong.
      if (isAppError(error, 'invalid-image')) {
        throw new AppError('unavailable', 'the image cannot be rendered now', {
          cause: error,
          retryAfter: 60,
        });
      }
      throw error;
    }
  }

  /** Undefined if the rung is missing or damaged: then it is no longer there either. */
  async #renderFromRung(
    { digest }: Original,
    rung: Rung,
    plan: Plan,
    signal: AbortSignal,
  ): Promise<Rendition | undefined> {
    const name = rungBlobName(rung);
    const render = (path: string) =>
      this.#telemetry.step({ kind: 'render', from: 'rung', format: plan.format }, () =>
        this.#processor.render(path, plan, { signal, original: digest }),
      );
    try {
      const made = await this.#blobs.withRungFile(digest, name, render, signal);
      if (made) this.counts.rung += 1;
      return made;
    } catch (error) {
      if (isAppError(error, 'invalid-image')) {
        // What cannot be removed is replaced when the ladder is made anew.
        await this.#blobs.dropRung(digest, name, signal).catch(() => undefined);
        return undefined;
      }
      // A rung may go between the look at it and the worker's. Anything else, overload above all, is no reason to take
      // the long way.
      const gone = isAppError(error, 'unavailable') && !(await this.#hasRung(digest, name, signal));
      if (!gone) throw error;
      return undefined;
    }
  }

  async #hasRung(digest: Digest, name: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#blobs.withRungFile(digest, name, async () => true, signal)) ?? false;
  }
}

/** What is found; what was known, if the database is away or does not say in time. */
function confirmed(found: Promise<Image | undefined>, known: Image): Promise<Image | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, LOOKUP_PATIENCE, known);
    found
      .then(resolve, (error: unknown) => (isAppError(error, 'unavailable') ? resolve(known) : reject(error)))
      .finally(() => clearTimeout(timer));
  });
}

function unknownImage(): AppError {
  return new AppError('not-found', 'image not found');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
