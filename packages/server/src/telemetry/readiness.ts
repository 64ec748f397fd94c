/**
 * The readiness of the server: checks its dependencies, with a deadline. A result is reused for a second, so
 * frequent probes cause no load. Readiness for reads does not wait for what only writes need.
 */
import type { WarnLog } from './log.ts';

export type Check = (signal: AbortSignal) => Promise<void>;

export interface DependencyReport {
  readonly status: 'ok' | 'failed';
  /** Milliseconds until the check succeeded or failed, at most the deadline. */
  readonly latencyMs: number;
}

export type ReadinessStatus = 'ok' | 'failed' | 'stopping';

/** What a node is ready for. */
export const PURPOSES = ['reads', 'writes'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** With a purpose, the status and the dependencies are those of the purpose. */
export interface ReadinessReport {
  readonly status: ReadinessStatus;
  /** Only in the report of everything. */
  readonly reads?: ReadinessStatus;
  readonly writes?: ReadinessStatus;
  readonly dependencies: Readonly<Record<string, DependencyReport>>;
}

export interface ReadinessOptions {
  /**
   * Each check resolves if its dependency can be used now. Its signal fires at the deadline; later results
   * are ignored.
   */
  readonly checks: Readonly<Record<string, Check>>;
  /** The names of the checks for reads. Writes need all of them. */
  readonly reads?: readonly string[];
  readonly log?: WarnLog;
  /** The most milliseconds for one check. */
  readonly deadlineMs?: number;
  /** Milliseconds for which a result is reused. */
  readonly freshMs?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

const DEADLINE_MS = 2_000;
const FRESH_MS = 1_000;

interface Attempt {
  readonly report: Promise<DependencyReport>;
  /** The start, in milliseconds. */
  readonly at: number;
  /** True when the check itself has ended, which may be after its deadline. */
  isDone: boolean;
}

export class Readiness {
  readonly #checks: Readonly<Record<string, Check>>;
  readonly #reads: readonly string[];
  readonly #log: WarnLog | undefined;
  readonly #deadlineMs: number;
  readonly #freshMs: number;
  readonly #now: () => number;
  readonly #attempts = new Map<string, Attempt>();
  /** The checks whose last result is a failure. */
  readonly #failed = new Set<string>();
  #isStopping = false;

  constructor(options: ReadinessOptions) {
    this.#checks = options.checks;
    this.#reads = options.reads ?? [];
    this.#log = options.log;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#freshMs = options.freshMs ?? FRESH_MS;
    this.#now = options.now ?? (() => performance.now());
  }

  /** From now on the status is `stopping`, even if all dependencies can be used. */
  stop(): void {
    this.#isStopping = true;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /**
   * Checks what a purpose needs, or everything. Never rejects.
   * @param purpose absent: everything, with the status of each purpose.
   */
  async report(purpose?: Purpose): Promise<ReadinessReport> {
    const names = this.#namesFor(purpose);
    // One time for all, so that their results are of the same age.
    const now = this.#now();
    const entries = await Promise.all(
      names.map(async (name) => [name, await this.#getAttempt(name, now).report] as const),
    );
    const dependencies = Object.fromEntries(entries);
    const statusOf = (needed: readonly string[]): ReadinessStatus => {
      if (this.#isStopping) return 'stopping';
      return needed.every((name) => dependencies[name]?.status === 'ok') ? 'ok' : 'failed';
    };
    const status = statusOf(names);
    if (purpose !== undefined) return { status, dependencies };
    const [reads, writes] = PURPOSES.map((each) => statusOf(this.#namesFor(each)));
    return { status, ...(reads && { reads }), ...(writes && { writes }), dependencies };
  }

  /**
   * For metrics: false if the last probe found the node not ready. It starts no check, so it is true before
   * the first probe.
   */
  wasReady(purpose: Purpose): boolean {
    return !this.#isStopping && this.#namesFor(purpose).every((name) => !this.#failed.has(name));
  }

  #namesFor(purpose: Purpose | undefined): readonly string[] {
    return purpose === 'reads' ? this.#reads : Object.keys(this.#checks);
  }

  /** The last attempt if it is fresh or still running, else a new one. */
  #getAttempt(name: string, now: number): Attempt {
    const last = this.#attempts.get(name);
    // A hanging check is not repeated before it ends, so checks do not pile up on a dependency in trouble.
    if (last && (!last.isDone || now - last.at < this.#freshMs)) return last;
    const attempt: Attempt = {
      at: now,
      isDone: false,
      report: this.#run(name, () => onDone()),
    };
    const onDone = () => {
      attempt.isDone = true;
    };
    this.#attempts.set(name, attempt);
    return attempt;
  }

  async #run(name: string, onDone: () => void): Promise<DependencyReport> {
    const start = this.#now();
    const controller = new AbortController();
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new Error(`no answer within ${this.#deadlineMs} ms`);
      controller.abort(error);
      reject(error);
    }, this.#deadlineMs);
    // `then` turns an error that the check throws synchronously into a rejection.
    const running = Promise.resolve().then(() => this.#checks[name]?.(controller.signal));
    running.then(onDone, onDone);
    let status: DependencyReport['status'] = 'ok';
    try {
      await Promise.race([running, timeout]);
      this.#failed.delete(name);
    } catch (error) {
      status = 'failed';
      this.#failed.add(name);
      this.#log?.warn({ err: error, dependency: name }, 'a dependency is not ready');
    } finally {
      clearTimeout(timer);
    }
    return { status, latencyMs: Math.round((this.#now() - start) * 10) / 10 };
  }
}
