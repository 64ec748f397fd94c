/**
 * A queue for a limited number of slots. Waiting requests are grouped by key, and the keys get slots in
 * rotation. A key with many requests delays only itself.
 */
import { AppError, cancellation } from '../errors.ts';

export interface FairQueueOptions {
  /** The most slots in use at the same time. */
  readonly slots: number;
  /** The most requests that may wait for a slot; absent: no limit. */
  readonly maxWaiting?: number;
  /** Makes the error for a full queue and for a timeout. Absent: a general one. */
  readonly unavailable?: (cause: Error) => AppError;
}

/** A requested slot. */
export interface Slot {
  /**
   * Passes the slot to the next request. Before the slot is granted, leaves the queue. Later calls do
   * nothing.
   */
  release(): void;
}

export interface SlotRequest {
  /** Requests without a key form one group. */
  readonly key?: string;
  /** Milliseconds to wait for the slot; absent: no limit. */
  readonly timeout?: number | undefined;
  /** Leaves the queue when it fires. */
  readonly signal?: AbortSignal | undefined;
}

function queueUnavailable(cause: Error): AppError {
  return new AppError('unavailable', 'The server has too much to do. Try again.', { cause, retryAfter: 1 });
}

export class FairQueue {
  readonly #slots: number;
  readonly #maxWaiting: number;
  readonly #unavailable: (cause: Error) => AppError;
  #used = 0;
  #waiting = 0;
  /** The waiting requests of each key. The first key gets the next slot. */
  readonly #groups = new Map<string, Set<() => void>>();
  #onIdle: (() => void) | undefined;

  constructor({
    slots,
    maxWaiting = Number.POSITIVE_INFINITY,
    unavailable = queueUnavailable,
  }: FairQueueOptions) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
    this.#unavailable = unavailable;
  }

  /** True if no slot is in use. Then no request waits either. */
  get isIdle(): boolean {
    return this.#used === 0;
  }

  /** True if a new request has to wait. */
  get isFull(): boolean {
    return this.#used >= this.#slots;
  }

  /**
   * Requests a slot. Calls `onGranted` when the slot is granted: within this call if a slot is free, and
   * never after the release.
   * @throws AppError `unavailable` if the queue is full.
   */
  request(onGranted: () => void, key = ''): Slot {
    let isGranted = false;
    const grant = () => {
      isGranted = true;
      onGranted();
    };
    if (!this.isFull) {
      this.#used += 1;
      grant();
    } else if (this.#waiting >= this.#maxWaiting) {
      throw this.#unavailable(new Error(`the queue is full: limit ${this.#maxWaiting} waiting requests`));
    } else {
      this.#enqueue(key, grant);
    }
    let isReleased = false;
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        if (isGranted) this.#grantNext();
        else this.#dequeue(key, grant);
      },
    };
  }

  /**
   * Resolves when the slot is granted.
   * @throws AppError `unavailable` if the queue is full or after the timeout; `cancelled` when the signal
   * fires.
   */
  async acquire({ key, timeout, signal }: SlotRequest = {}): Promise<Slot> {
    if (signal?.aborted) throw cancellation(signal);
    const { promise: granted, resolve, reject } = Promise.withResolvers<void>();
    const slot = this.request(resolve, key);
    const onTimeout = () => reject(this.#unavailable(new Error(`no free slot within ${timeout} ms`)));
    const timer = timeout === undefined ? undefined : setTimeout(onTimeout, timeout);
    const onAbort = () => signal && reject(cancellation(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await granted;
      return slot;
    } catch (error) {
      slot.release();
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves when no slot is in use. Supports one caller, after which no slot may be requested. */
  whenIdle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    return promise;
  }

  #enqueue(key: string, grant: () => void): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Set([grant]));
    else group.add(grant);
    this.#waiting += 1;
  }

  #dequeue(key: string, grant: () => void): void {
    const group = this.#groups.get(key);
    if (group?.delete(grant) !== true) return;
    this.#waiting -= 1;
    if (group.size === 0) this.#groups.delete(key);
  }

  #grantNext(): void {
    const [next] = this.#groups;
    if (next === undefined) {
      this.#used -= 1;
      if (this.isIdle) this.#onIdle?.();
      return;
    }
    const [key, group] = next;
    const [grant] = group;
    // A key that gets a slot moves behind all other keys.
    this.#groups.delete(key);
    if (grant === undefined) return;
    group.delete(grant);
    this.#waiting -= 1;
    if (group.size > 0) this.#groups.set(key, group);
    grant();
  }
}
