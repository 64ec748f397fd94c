/** The log of failures that end by themselves. It does not load the log itself. */
import type { ServiceLog } from './log.ts';

/** Logs a failure that may last with two lines: at its start, and at its end. */
export class FailureLog {
  readonly #log: ServiceLog;
  readonly #texts: { readonly failed: string; readonly recovered: string };
  #isFailing = false;

  constructor(log: ServiceLog, texts: { readonly failed: string; readonly recovered: string }) {
    this.#log = log;
    this.#texts = texts;
  }

  failed(err: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#log.warn({ err }, this.#texts.failed);
  }

  recovered(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#log.info({}, this.#texts.recovered);
  }
}
