/**
 * The order of waiting tasks, and the limits on them. Small tasks go first, but a large task goes after
 * `MAX_OVERTAKES` small ones. The limit is a number of tasks and no time, so that the order is the same on
 * every machine.
 */
import { LARGE_COST } from './cost.ts';

/** The properties of a task that decide its place in the queue. */
export interface QueuedTask {
  /** Estimate, in milliseconds of one worker. */
  readonly cost: number;
  /** True after a worker crashed on the task. It then goes first, and only to a fresh worker. */
  readonly retried: boolean;
  /**
   * The original of the picture. One original may take only a share of the queue. Absent: no share applies.
   */
  readonly original?: string | undefined;
}

/** A worker that can take a task. */
export interface FreeWorker {
  /** True before the first task of the worker. */
  readonly fresh: boolean;
  /** Whether the worker may take a large task. */
  readonly large: boolean;
  /** Originals that already have the largest number of workers for one original. */
  readonly saturatedOriginals: ReadonlySet<string>;
}

/** This many small tasks may overtake a large one. */
export const MAX_OVERTAKES = 8;

export function isLarge({ cost }: QueuedTask): boolean {
  return cost > LARGE_COST;
}

export class TaskQueue<T extends QueuedTask> {
  readonly #maxWaiting: number;
  readonly #maxCost: number;
  readonly #retried: T[] = [];
  readonly #small: T[] = [];
  readonly #large: T[] = [];
  /** Small tasks that have overtaken the next large one. */
  #overtakes = 0;

  /** `maxWaiting` is a number of tasks; `maxCost` is the sum of their costs in milliseconds. */
  constructor(limits: { maxWaiting: number; maxCost: number }) {
    this.#maxWaiting = limits.maxWaiting;
    this.#maxCost = limits.maxCost;
  }

  get length(): number {
    return this.#retried.length + this.#small.length + this.#large.length;
  }

  /** The sum of the costs of all tasks, in milliseconds. */
  get cost(): number {
    let cost = 0;
    for (const tasks of [this.#retried, this.#small, this.#large])
      for (const task of tasks) cost += task.cost;
    return cost;
  }

  /**
   * Returns false and queues nothing if a limit is reached. The limits are the number of tasks, their cost,
   * and half of the number for one original. An empty queue accepts a task of any cost.
   */
  add(task: T): boolean {
    if (this.length >= this.#maxWaiting) return false;
    const { original } = task;
    if (original !== undefined && this.#countOf(original) >= Math.ceil(this.#maxWaiting / 2)) return false;
    if (this.length > 0 && this.cost + task.cost > this.#maxCost) return false;
    (isLarge(task) ? this.#large : this.#small).push(task);
    return true;
  }

  /**
   * Puts a task whose worker crashed before all others. The limits do not apply: they accepted the task
   * before.
   */
  putBack(task: T): void {
    this.#retried.unshift(task);
  }

  /** Removes and returns the next task for this worker. */
  take({ fresh, large, saturatedOriginals }: FreeWorker): T | undefined {
    const isAllowed = ({ original }: T): boolean =>
      original === undefined || !saturatedOriginals.has(original);
    // No other rule applies here: each worker is fresh only once, so a refused task could wait forever.
    if (fresh && this.#retried.length > 0) return this.#retried.shift();
    const smallIndex = this.#small.findIndex(isAllowed);
    const largeIndex = large ? this.#large.findIndex(isAllowed) : -1;
    if (largeIndex >= 0 && (smallIndex < 0 || this.#overtakes >= MAX_OVERTAKES)) {
      this.#overtakes = 0;
      return this.#large.splice(largeIndex, 1)[0];
    }
    if (smallIndex < 0) return undefined;
    if (largeIndex >= 0) this.#overtakes += 1;
    return this.#small.splice(smallIndex, 1)[0];
  }

  /** Removes a task whose caller has stopped waiting. */
  remove(task: T): void {
    for (const tasks of [this.#retried, this.#small, this.#large]) {
      const index = tasks.indexOf(task);
      if (index >= 0) tasks.splice(index, 1);
    }
  }

  /** Removes and returns all tasks. */
  drain(): T[] {
    return [this.#retried, this.#small, this.#large].flatMap((tasks) => tasks.splice(0));
  }

  #countOf(original: string): number {
    let count = 0;
    for (const tasks of [this.#retried, this.#small, this.#large])
      for (const task of tasks) if (task.original === original) count += 1;
    return count;
  }
}
