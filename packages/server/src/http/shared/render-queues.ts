/**
 * One queue for each address, in which its new renditions wait for their turn. So a client that needs many of
 * them at once has to wait, and delays only itself. The reasons are in docs/adr/0039.
 */
import { FairQueue, type Slot } from '../../concurrency/fair-queue.ts';
import { AppError } from '../../errors.ts';

export interface RenderLimits {
  /** The most renditions of one address that are in workers, or in the common queue for them. */
  readonly slots: number;
  /** The most renditions of one address that wait for a slot. One more is rejected. */
  readonly maxWaiting: number;
  /** Milliseconds to wait for a slot. The rendition is then rejected. */
  readonly maxWait: number;
}

/** The limits on waiting. A page no longer needs a rendition after this time, and clients may try again. */
export const RENDER_WAITING: Omit<RenderLimits, 'slots'> = { maxWaiting: 512, maxWait: 10_000 };

/** With fewer slots, a client could not use all workers while its next request is on the way. */
const MIN_SLOTS = 16;
/** Half of the places in the common queue. The other half stays free for other clients. */
const MAX_SLOTS = 128;

/** The slots of one address, for this number of workers. */
export function slotsPerAddress(workers: number): number {
  return Math.min(MAX_SLOTS, Math.max(MIN_SLOTS, 2 * workers));
}

/** Frees a slot, once. */
type Release = () => void;

export class RenderQueues {
  readonly #limits: RenderLimits;
  /** Only of addresses with a slot in use. */
  readonly #queues = new Map<string, FairQueue>();

  constructor(limits: RenderLimits) {
    this.#limits = limits;
  }

  /** The number of addresses with a slot in use. */
  get size(): number {
    return this.#queues.size;
  }

  /**
   * A slot of the address: at once if one is free, otherwise in turn. Images take turns within an address.
   * @throws AppError `rate-limited` if the queue is full, or after the wait; `cancelled` when the signal
   * fires.
   */
  acquire(address: string, image: string, signal: AbortSignal): Release | Promise<Release> {
    const queue = this.#queues.get(address) ?? this.#open(address);
    const releaseOf = (slot: Slot) => () => {
      slot.release();
      if (queue.isIdle) this.#queues.delete(address);
    };
    // Without a wait, so that the next request for the same rendition finds its render.
    if (!queue.isFull) return releaseOf(queue.request(() => undefined, image));
    return queue.acquire({ key: image, timeout: this.#limits.maxWait, signal }).then(releaseOf);
  }

  #open(address: string): FairQueue {
    const { slots, maxWaiting, maxWait } = this.#limits;
    const text = `too many new renditions for this address: at most ${maxWaiting} wait, for up to ${maxWait / 1_000} s`;
    const unavailable = (cause: Error) =>
      new AppError('rate-limited', text, { cause, retryAfter: 1, rejection: 'address-share' });
    const queue = new FairQueue({ slots, maxWaiting, unavailable });
    this.#queues.set(address, queue);
    return queue;
  }
}
