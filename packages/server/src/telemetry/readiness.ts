/**
 * Owns whether the server can do its work now: every dependency is really tried, within a deadline, and at most once a
 * second however often anybody asks. Pure logic; refuses to know what the dependencies are, and HTTP.
 */
import type { WarnLog } from './log.ts';

export type Check = (signal: AbortSignal) => Promise<void>;

export interface DependencyReport {
  readonly status: 'ok' | 'failed';
  /** Milliseconds that it took to answer, or to fail; those of the deadline if it did neither. */
  readonly latencyMs: number;
}

export interface ReadinessReport {
  readonly status: 'ok' | 'failed' | 'stopping';
  readonly dependencies: Readonly<Record<string, DependencyReport>>;
}

export interface ReadinessOptions {
  /** Resolves if the named dependency can be used now. Told to stop at the deadline; what comes later is not waited for. */
  readonly checks: Readonly<Record<string, Check>>;
  readonly log?: WarnLog;
  /** Milliseconds that a dependency may take to say that it is there. */
  readonly deadlineMs?: number;
  /** Milliseconds for which an answer is given again. */
  readonly freshMs?: number;
  /** Milliseconds of a clock that does not jump. */
  readonly now?: () => number;
}

const DEADLINE_MS = 2_000;
const FRESH_MS = 1_000;

interface Trial {
  readonly report: Promise<DependencyReport>;
  /** When it was begun. */
  readonly at: number;
  /** The check itself has ended, if only after its deadline. */
  over: boolean;
}

export class Readiness {
  readonly #checks: Readonly<Record<string, Check>>;
  readonly #log: WarnLog | undefined;
  readonly #deadlineMs: number;
  readonly #freshMs: number;
  readonly #now: () => number;
  readonly #trials = new Map<string, Trial>();
  #stopping = false;

  constructor(options: ReadinessOptions) {
    this.#checks = options.checks;
    this.#log = options.log;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#freshMs = options.freshMs ?? FRESH_MS;
    this.#now = options.now ?? (() => performance.now());
  }

  /** From now on the server is not ready, however well its dependencies are. */
  stop(): void {
    this.#stopping = true;
  }

  /** Never rejects. */
  async report(): Promise<ReadinessReport> {
    const entries = await Promise.all(
      Object.entries(this.#checks).map(
        async ([name, check]) => [name, await this.#trial(name, check).report] as const,
      ),
    );
    const well = entries.every(([, { status }]) => status === 'ok');
    const status = this.#stopping ? 'stopping' : well ? 'ok' : 'failed';
    return { status, dependencies: Object.fromEntries(entries) };
  }

  #trial(name: string, check: Check): Trial {
    const last = this.#trials.get(name);
    // One that hangs is not tried again before it is over: nobody piles up work on what is in trouble.
    if (last && (!last.over || this.#now() - last.at < this.#freshMs)) return last;
    const trial: Trial = { at: this.#now(), over: false, report: this.#try(name, check, () => over()) };
    const over = () => {
      trial.over = true;
    };
    this.#trials.set(name, trial);
    return trial;
  }

  async #try(name: string, check: Check, over: () => void): Promise<DependencyReport> {
    const began = this.#now();
    const controller = new AbortController();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const deadline = setTimeout(() => {
      const error = new Error(`no answer within ${this.#deadlineMs} ms`);
      controller.abort(error);
      reject(error);
    }, this.#deadlineMs);
    // Begun in its own turn, so that one that fails at once fails like the others.
    const running = Promise.resolve().then(() => check(controller.signal));
    running.then(over, over);
    let status: DependencyReport['status'] = 'ok';
    try {
      await Promise.race([running, late]);
    } catch (error) {
      status = 'failed';
      this.#log?.warn({ err: error, dependency: name }, 'a dependency is not ready');
    } finally {
      clearTimeout(deadline);
    }
    return { status, latencyMs: Math.round((this.#now() - began) * 10) / 10 };
  }
}
