/**
 * The readiness of the server: checks every dependency, with a deadline. A report is reused for a second, so
 * frequent probes cause no load.
 */
import type { WarnLog } from './log.ts';

export type Check = (signal: AbortSignal) => Promise<void>;

export interface DependencyReport {
  readonly status: 'ok' | 'failed';
  /** Milliseconds until the check succeeded or failed, at most the deadline. */
  readonly latencyMs: number;
}

export interface ReadinessReport {
  readonly status: 'ok' | 'failed' | 'stopping';
  readonly dependencies: Readonly<Record<string, DependencyReport>>;
}

export interface ReadinessOptions {
  /**
   * Each check resolves if its dependency can be used now. Its signal fires at the deadline; later results
   * are ignored.
   */
  readonly checks: Readonly<Record<string, Check>>;
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
  readonly #log: WarnLog | undefined;
  readonly #deadlineMs: number;
  readonly #freshMs: number;
  readonly #now: () => number;
  readonly #attempts = new Map<string, Attempt>();
  #isStopping = false;

  constructor(options: ReadinessOptions) {
    this.#checks = options.checks;
    this.#log = options.log;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#freshMs = options.freshMs ?? FRESH_MS;
    this.#now = options.now ?? (() => performance.now());
  }

  /** From now on the status is `stopping`, even if all dependencies can be used. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Never rejects. */
  async report(): Promise<ReadinessReport> {
    const entries = await Promise.all(
      Object.entries(this.#checks).map(
        async ([name, check]) => [name, await this.#getAttempt(name, check).report] as const,
      ),
    );
    const isOk = entries.every(([, { status }]) => status === 'ok');
    const status = this.#isStopping ? 'stopping' : isOk ? 'ok' : 'failed';
    return { status, dependencies: Object.fromEntries(entries) };
  }

  /** The last attempt if it is fresh or still running, else a new one. */
  #getAttempt(name: string, check: Check): Attempt {
    const last = this.#attempts.get(name);
    // A hanging check is not repeated before it ends, so checks do not pile up on a dependency in trouble.
    if (last && (!last.isDone || this.#now() - last.at < this.#freshMs)) return last;
    const attempt: Attempt = {
      at: this.#now(),
      isDone: false,
      report: this.#run(name, check, () => onDone()),
    };
    const onDone = () => {
      attempt.isDone = true;
    };
    this.#attempts.set(name, attempt);
    return attempt;
  }

  async #run(name: string, check: Check, onDone: () => void): Promise<DependencyReport> {
    const start = this.#now();
    const controller = new AbortController();
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new Error(`no answer within ${this.#deadlineMs} ms`);
      controller.abort(error);
      reject(error);
    }, this.#deadlineMs);
    // `then` turns an error that the check throws synchronously into a rejection.
    const running = Promise.resolve().then(() => check(controller.signal));
    running.then(onDone, onDone);
    let status: DependencyReport['status'] = 'ok';
    try {
      await Promise.race([running, timeout]);
    } catch (error) {
      status = 'failed';
      this.#log?.warn({ err: error, dependency: name }, 'a dependency is not ready');
    } finally {
      clearTimeout(timer);
    }
    return { status, latencyMs: Math.round((this.#now() - start) * 10) / 10 };
  }
}
