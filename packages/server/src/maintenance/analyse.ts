/**
 * Analyses the originals of earlier releases, in the background of a server. It works on one original at a
 * time and rests between two, so that requests come first. A kill loses nothing: each result is stored at
 * once, and the next start continues.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobStore } from '../blobs/store.ts';
import type { PublicImages } from '../delivery/public-images.ts';
import type { RenditionCache } from '../delivery/rendition-cache.ts';
import { isAppError } from '../errors.ts';
import type { Digest } from '../image.ts';
import type { Inspection } from '../imaging/processor.ts';
import type { WarnLog } from '../telemetry/log.ts';
import type { MaintenanceRecords } from './records.ts';

/** The shortest rest after an original, in milliseconds. */
const MIN_REST = 20;
/** The wait for a database, a storage or a worker that cannot serve now, in milliseconds. */
const RETRY_AFTER = 30_000;
/** After this many waits for the same original, it is skipped until the next start. */
const MAX_RETRIES = 3;
/** Each skipped original has a line in the log, up to this number. The last line has the total. */
const MAX_LINES = 20;

export interface AnalysisLog extends WarnLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface AnalyserDependencies {
  readonly records: Pick<MaintenanceRecords, 'unanalysedOriginals' | 'storeAnalysis'>;
  readonly blobs: Pick<BlobStore, 'withOriginalFile' | 'statOriginal'>;
  /** Decodes the original in a local file. */
  readonly inspect: (path: string, signal: AbortSignal, digest: Digest) => Promise<Inspection>;
  readonly publicImages?: Pick<PublicImages, 'forget'>;
  /** Renditions of the wrong size may have the same names as the right ones. */
  readonly renditions?: Pick<RenditionCache, 'forget'>;
  readonly log?: AnalysisLog;
  /** Replaces RETRY_AFTER; for tests. */
  readonly retryAfter?: number;
}

export class Analyser {
  readonly #dependencies: AnalyserDependencies;
  readonly #control = new AbortController();
  #run: Promise<void> | undefined;

  constructor(dependencies: AnalyserDependencies) {
    this.#dependencies = dependencies;
  }

  /** Starts one pass over all originals without an analysis. A second call has no effect. */
  start(): void {
    this.#run ??= this.#analyseAll().catch((error: unknown) => {
      if (this.#control.signal.aborted) return;
      this.#dependencies.log?.warn(
        { err: error },
        'the analysis of earlier pictures ended: it continues at the next start',
      );
    });
  }

  /** Resolves when the pass has ended. */
  async whenDone(): Promise<void> {
    await this.#run;
  }

  /** Stops after the running original. */
  async close(): Promise<void> {
    this.#control.abort();
    await this.#run;
  }

  /**
   * Begins at a random digest. So several servers over one database work on different originals, and an
   * original that cannot be analysed does not block the others.
   */
  async #analyseAll(): Promise<void> {
    const { signal } = this.#control;
    const { log } = this.#dependencies;
    const start = randomBytes(32).toString('hex');
    let analysed = 0;
    let skipped = 0;
    for (const range of [{ after: start }, { after: '', upTo: start }]) {
      for (let after = range.after; ; ) {
        const [digest] = await this.#persist(() => this.#dependencies.records.unanalysedOriginals(after, 1));
        if (digest === undefined || (range.upTo !== undefined && digest > range.upTo)) break;
        if (signal.aborted) return;
        after = digest;
        const begin = performance.now();
        const problem = await this.#analyse(digest);
        if (signal.aborted) return;
        if (problem === undefined) analysed += 1;
        else {
          skipped += 1;
          if (skipped <= MAX_LINES) {
            log?.warn({ digest, err: problem }, 'a picture of an earlier release could not be analysed');
          }
        }
        // At most half of the time of one worker.
        await this.#rest(Math.max(MIN_REST, performance.now() - begin));
      }
    }
    if (analysed + skipped > 0)
      log?.info({ analysed, skipped }, 'the pictures of earlier releases are analysed');
  }

  /** @returns the reason why the original has no analysis now; undefined if it has one. */
  async #analyse(digest: Digest): Promise<unknown> {
    const { records, blobs, inspect, publicImages, renditions } = this.#dependencies;
    const { signal } = this.#control;
    try {
      const { analysis, ...facts } = await this.#persist(async () => {
        // A missing original would look like a storage that is away.
        if ((await blobs.statOriginal(digest)) === undefined) throw new Error('the original is not stored');
        return blobs.withOriginalFile(digest, (path) => inspect(path, signal, digest), signal);
      });
      if (analysis === undefined) return new Error('the picture has no analysis');
      const analysed = { ...facts, analysis };
      for (const publicID of await this.#persist(() => records.storeAnalysis(digest, analysed))) {
        publicImages?.forget(publicID);
      }
      renditions?.forget(digest);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Tries again after a failure that may end by itself. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (!isTemporary(error) || attempt === MAX_RETRIES || this.#control.signal.aborted) throw error;
        await this.#rest(this.#dependencies.retryAfter ?? RETRY_AFTER);
      }
    }
  }

  /** Ends early when the analyser closes. */
  async #rest(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#control.signal, ref: false }).catch(() => undefined);
  }
}

/** False also for a picture on which a worker crashed, or ran out of time or memory: it would do so again. */
function isTemporary(error: unknown): boolean {
  if (isAppError(error, 'storage-full')) return true;
  return isAppError(error, 'unavailable') && !error.rejection?.startsWith('worker-');
}
