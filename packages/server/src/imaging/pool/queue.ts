/**
 * Owns the order of waiting tasks, and how many may wait. Small ones go first, but not for ever: a large one
 * that enough of them have passed goes next. Patience is counted in tasks, not in time, so that the order is the
 * same on any machine. Refuses to know workers, clocks and what the tasks are.
 */
import { LARGE_COST } from './cost.ts';

/** What the queue needs to know of a task. */
export interface Queued {
  /** Estimated, in milliseconds of one worker. */
  readonly cost: number;
  /** True once a worker crashed on it: it goes first, and only to a fresh worker. */
  readonly retried: boolean;
  /** Whose picture it is made of, so that one cannot take what there is for all; absent: nobody's in particular. */
  readonly original?: string | undefined;
}

/** A worker that could take a task. */
export interface FreeWorker {
  /** It has not had a task yet. */
  readonly fresh: boolean;
  /** It may take a large one. */
  readonly large: boolean;
  /** The originals that have all the workers that one may have. */
  readonly sated: ReadonlySet<string>;
}

/** So many small tasks may pass a large one that could go. */
export const PATIENCE = 8;

export function isLarge({ cost }: Queued): boolean {
  return cost > LARGE_COST;
}

export class TaskQueue<T extends Queued> {
  readonly #maxWaiting: number;
  readonly #maxCost: number;
  readonly #retried: T[] = [];
  readonly #small: T[] = [];
  readonly #large: T[] = [];
  /** Small tasks that went since a large one could have gone. */
  #passed = 0;

  /** `maxWaiting` tasks, of `maxCost` milliseconds together. */
  constructor(limits: { maxWaiting: number; maxCost: number }) {
    this.#maxWaiting = limits.maxWaiting;
    this.#maxCost = limits.maxCost;
  }

  get length(): number {
    return this.#retried.length + this.#small.length + this.#large.length;
  }

  /**
   * False, and nothing is queued, if too many wait already, or half of what may wait is of the same original. However
   * large, a task may wait alone.
   */
  add(task: T): boolean {
    if (this.length >= this.#maxWaiting) return false;
    const { original } = task;
    if (original !== undefined && this.#waitingOf(original) >= Math.ceil(this.#maxWaiting / 2)) return false;
    if (this.length > 0 && this.cost + task.cost > this.#maxCost) return false;
    (isLarge(task) ? this.#large : this.#small).push(task);
    return true;
  }

  /** Puts a task whose worker crashed before all others. There is always room: it had its place before. */
  putBack(task: T): void {
    this.#retried.unshift(task);
  }

  /** Takes out the task that goes next to a worker. */
  take({ fresh, large, sated }: FreeWorker): T | undefined {
    const allowed = ({ original }: T): boolean => original === undefined || !sated.has(original);
    // Whatever it is: a worker is fresh only once, so that one that passed it over would leave it waiting for ever.
    if (fresh && this.#retried.length > 0) return this.#retried.shift();
    const small = this.#small.findIndex(allowed);
    const waiting = large ? this.#large.findIndex(allowed) : -1;
    if (waiting >= 0 && (small < 0 || this.#passed >= PATIENCE)) {
      this.#passed = 0;
      return this.#large.splice(waiting, 1)[0];
    }
    if (small < 0) return undefined;
    if (waiting >= 0) this.#passed += 1;
    return this.#small.splice(small, 1)[0];
  }

  /** Takes out a task that nobody waits for any more. */
  remove(task: T): void {
    for (const tasks of [this.#retried, this.#small, this.#large]) {
      const index = tasks.indexOf(task);
      if (index >= 0) tasks.splice(index, 1);
    }
  }

  /** Takes out all of them. */
  drain(): T[] {
    return [this.#retried, this.#small, this.#large].flatMap((tasks) => tasks.splice(0));
  }

  #waitingOf(original: string): number {
    let count = 0;
    for (const tasks of [this.#retried, this.#small, this.#large])
      for (const task of tasks) if (task.original === original) count += 1;
    return count;
  }

  /** Of all of them together, in milliseconds. */
  get cost(): number {
    let cost = 0;
    for (const tasks of [this.#retried, this.#small, this.#large])
      for (const task of tasks) cost += task.cost;
    return cost;
  }
}
