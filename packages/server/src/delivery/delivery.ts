/**
 * Delivery: from a planned rendition to its bytes, from memory, from disk or by one render.
 * A rendition has its name and its ETag before a pixel is read.
 */
import { hash } from 'node:crypto';
import type { BlobStore } from '../blobs/store.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import { TokenBucket } from '../concurrency/token-bucket.ts';
import { AppError, isAppError } from '../errors.ts';
import type { Digest, Image, Original, OutputFormat } from '../image.ts';
import { type Rung, rungBlobName, rungFor } from '../imaging/ladder.ts';
import { type Plan, planKey, planRendition, type Transform } from '../imaging/plan.ts';
import type { Processor, Rendition } from '../imaging/processor.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import type { Ladders } from './ladders.ts';
import { type RenditionCache, type RenditionKey, renditionKey } from './rendition-cache.ts';

const SECONDS_AN_HOUR = 60 * 60;

/** A rendition that is fully planned and not made yet. */
export interface PlannedRendition {
  readonly image: Image;
  readonly plan: Plan;
  readonly key: RenditionKey;
  /** Weak entity tag with its quotes. Two renditions have the same tag if original and plan are equal. */
  readonly etag: string;
}

/** A rendition, with its source. */
export interface DeliveredRendition {
  readonly bytes: Buffer;
  /** The cache tier that had it, or the file that it was rendered from. */
  readonly from: 'memory' | 'disk' | 'rung' | 'original';
  /**
   * Milliseconds of each step. A request that joins a running render reports the times of the whole render.
   */
  readonly times: { readonly read?: number; readonly queue?: number; readonly render?: number };
}

/** The client of a delivery, with its limits on new renders. Hits of a cache cost it nothing. */
export interface RenderClient {
  /** Concurrent requests of clients with the same name for the same rendition wait together. */
  readonly name: string;
  /** Called before a new render. It refuses the render by throwing. */
  charge(): void;
  /**
   * Called after `charge`. The render starts when the client has a slot, and then frees it. It refuses the
   * render by throwing.
   */
  takeSlot(image: Image, signal: AbortSignal): (() => void) | Promise<() => void>;
}

export interface DeliveryDependencies {
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly ladders: Ladders;
  readonly renditions: RenditionCache;
  /** The most renditions of one image that may be made in a burst, and per hour; 0: no limit. */
  readonly sizeBudget: number;
  readonly telemetry?: Telemetry;
}

export class Delivery {
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #ladders: Ladders;
  readonly #renditions: RenditionCache;
  readonly #budget: TokenBucket;
  readonly #telemetry: Telemetry;
  readonly #reads = new SingleFlight<Buffer | undefined>();
  readonly #renders = new SingleFlight<DeliveredRendition>();
  /** The renders for which a client waits, by client and rendition. */
  readonly #turns = new SingleFlight<DeliveredRendition>();

  constructor(dependencies: DeliveryDependencies) {
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#ladders = dependencies.ladders;
    this.#renditions = dependencies.renditions;
    const burst = dependencies.sizeBudget;
    this.#budget = new TokenBucket({ burst, perSecond: burst / SECONDS_AN_HOUR });
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /** The bytes if they are in memory. */
  peek(key: RenditionKey): Buffer | undefined {
    return this.#renditions.peek(key);
  }

  /** Plans a rendition. Reads no pixel. */
  plan(image: Image, transform: Transform, format: OutputFormat): PlannedRendition {
    const plan = planRendition(transform, image.original, format, image.focalPoint);
    const key = renditionKey(image.original.digest, planKey(plan));
    const name = hash('sha256', key.name, 'base64url');
    return { image, plan, key, etag: `W/"${name.slice(0, 22)}"` };
  }

  /**
   * The bytes of the rendition, from the nearest source. Concurrent requests share one render.
   * @param client pays for a new render. A render that is already running costs it nothing.
   * @throws AppError `rate-limited` if too many different renditions of the image were made recently.
   * @throws AppError `unavailable` if the rendition cannot be made now; `cancelled` when the signal fires.
   * @throws any error of the client's limits.
   */
  async deliver(
    planned: PlannedRendition,
    signal?: AbortSignal,
    client?: RenderClient,
  ): Promise<DeliveredRendition> {
    const { key } = planned;
    const { name } = key;
    const inMemory = this.peek(key);
    if (inMemory) return { bytes: inMemory, from: 'memory', times: {} };
    if (this.#renditions.mayBeOnDisk(key)) {
      const start = performance.now();
      const onDisk = await this.#reads.run(name, () => this.#renditions.readFromDisk(key), signal);
      const times = { read: performance.now() - start };
      if (onDisk) return { bytes: onDisk, from: 'disk', times };
      // Another request may have rendered it during the read.
      const rendered = this.peek(key);
      if (rendered) return { bytes: rendered, from: 'memory', times };
    }
    if (this.#renders.has(name)) return this.#render(planned, signal);
    const turn = `${client?.name} ${name}`;
    if (!this.#turns.has(turn)) {
      client?.charge();
      this.#charge(planned.image);
    }
    return this.#turns.run(turn, (stop) => this.#renderInTurn(planned, client, stop), signal);
  }

  /** Renders as soon as the client may. */
  async #renderInTurn(
    planned: PlannedRendition,
    client: RenderClient | undefined,
    signal: AbortSignal,
  ): Promise<DeliveredRendition> {
    const start = performance.now();
    const slot = client?.takeSlot(planned.image, signal);
    if (!(slot instanceof Promise)) return this.#render(planned, signal).finally(slot);
    const release = await slot;
    const waited = performance.now() - start;
    try {
      // Another client may have needed it meanwhile.
      const inMemory = this.peek(planned.key);
      if (inMemory) return { bytes: inMemory, from: 'memory', times: { queue: waited } };
      const { times, ...rendered } = await this.#render(planned, signal);
      return { ...rendered, times: { ...times, queue: waited + (times.queue ?? 0) } };
    } finally {
      release();
    }
  }

  #render(planned: PlannedRendition, signal?: AbortSignal): Promise<DeliveredRendition> {
    return this.#renders.run(planned.key.name, (stop) => this.#make(planned, stop), signal);
  }

  #charge({ publicID }: Image): void {
    const wait = this.#budget.take(publicID, performance.now());
    if (wait === 0) return;
    throw new AppError(
      'rate-limited',
      'too many different renditions of this image were requested; existing ones are still served',
      { retryAfter: wait, rejection: 'size-budget' },
    );
  }

  async #make(planned: PlannedRendition, signal: AbortSignal): Promise<DeliveredRendition> {
    const { from, rendition } = await this.#renderFile(planned, signal);
    const bytes = await this.#renditions.put(planned.key, rendition.bytes);
    const { waitMs: queue = 0, workMs: render = 0 } = rendition.times ?? {};
    return { bytes, from, times: { queue, render } };
  }

  /** Renders from the smallest sufficient rung, or from the original if there is none. */
  async #renderFile(
    { image, plan }: PlannedRendition,
    signal: AbortSignal,
  ): Promise<{ from: 'rung' | 'original'; rendition: Rendition }> {
    const { original } = image;
    const rung = rungFor(plan, original);
    if (rung) {
      const rendition = await this.#renderFromRung(original, rung, plan, signal);
      if (rendition) return { from: 'rung', rendition };
      // The rung is missing or damaged. The worker makes it for this rendition. The rebuild stores it, which
      // spares later requests the decode of the original.
      void this.#ladders.rebuild(original.digest, original);
    }
    try {
      const rendition = await this.#telemetry.step(
        { kind: 'render', from: 'original', format: plan.format },
        () =>
          this.#blobs.withOriginalFile(
            original.digest,
            (path) =>
              this.#processor.render(path, plan, { signal, source: original, original: original.digest }),
            signal,
          ),
      );
      return { from: 'original', rendition };
    } catch (error) {
      // The upload decoded these bytes in full, so the fault is on the server's side.
      if (isAppError(error, 'invalid-image')) {
        throw new AppError('unavailable', 'the image cannot be rendered now', {
          cause: error,
          retryAfter: 60,
        });
      }
      throw error;
    }
  }

  /** Undefined if the rung is missing or damaged. A damaged rung is removed. */
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
      return await this.#blobs.withRungFile(digest, name, render, signal);
    } catch (error) {
      if (isAppError(error, 'invalid-image')) {
        // If the removal fails, the rebuild replaces the rung.
        await this.#blobs.dropRung(digest, name, signal).catch(() => undefined);
        return undefined;
      }
      // The rung may vanish between the lookup and the worker's read. Other errors, such as overload, must
      // not cause a decode of the original.
      const isGone = isAppError(error, 'unavailable') && !(await this.#hasRung(digest, name, signal));
      if (!isGone) throw error;
      return undefined;
    }
  }

  async #hasRung(digest: Digest, name: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#blobs.withRungFile(digest, name, async () => true, signal)) ?? false;
  }
}
