/**
 * Deadlines for calls of a remote service, and a watch over the pace of a transfer. A busy process sees its
 * timers late, so both give it time to read what has arrived before they judge.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cancellation, throwIfFired } from '../errors.ts';

/** A remote service that does not answer, or answers too slowly. */
export class AnswerTimeoutError extends Error {
  override readonly name = 'AnswerTimeoutError';
  /** True if it answered, and then stalled. */
  readonly isStall: boolean;

  constructor(message: string, isStall = false) {
    super(message);
    this.isStall = isStall;
  }
}

/** A timer that fires this many milliseconds late shows that the process was busy. */
const LATE = 100;

/**
 * Runs the work until its deadline. The signal of the work fires at the deadline and at the caller's signal.
 * The result is not waited for after that: some work ignores its signal.
 * @param onLate disposes of a result that comes too late.
 * @throws AnswerTimeoutError at the deadline; AppError `cancelled`, or the reason of the caller's signal.
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  milliseconds: number,
  { signal, onLate }: { signal?: AbortSignal | undefined; onLate?: (result: T) => void } = {},
): Promise<T> {
  throwIfFired(signal);
  const controller = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  let isEnded = false;
  const end = (error: Error) => {
    isEnded = true;
    reject(error);
    controller.abort(error);
  };
  const onAbort = () => signal && end(cancellation(signal));
  signal?.addEventListener('abort', onAbort, { once: true });
  const stopTimer = startTimer(milliseconds, () =>
    end(new AnswerTimeoutError(`no answer within ${milliseconds} ms`)),
  );
  try {
    const working = work(controller.signal);
    working.then(
      (result) => isEnded && onLate?.(result),
      () => undefined,
    );
    return await Promise.race([working, ended]);
  } finally {
    stopTimer();
    signal?.removeEventListener('abort', onAbort);
  }
}

export interface Pace {
  /** Milliseconds of one window. */
  readonly window: number;
  /** The fewest bytes in each window. */
  readonly bytes: number;
}

export interface PaceWatch {
  /** Pauses the watch while the transfer does not wait for the service. */
  pause(): void;
  /** Starts a new window, unless one is running. */
  resume(): void;
  stop(): void;
}

/**
 * Calls `onSlow` once if a window brings too few bytes. The watch starts paused.
 * @param transferred the bytes so far.
 */
export function watchPace(
  pace: Pace,
  transferred: () => number,
  onSlow: (error: AnswerTimeoutError) => void,
): PaceWatch {
  let stopTimer: (() => void) | undefined;
  const pause = () => {
    stopTimer?.();
    stopTimer = undefined;
  };
  const resume = () => {
    if (stopTimer) return;
    const before = transferred();
    stopTimer = startTimer(pace.window, () => {
      stopTimer = undefined;
      if (transferred() - before >= pace.bytes) resume();
      else onSlow(new AnswerTimeoutError(`fewer than ${pace.bytes} bytes in ${pace.window} ms`, true));
    });
  };
  return { pause, resume, stop: pause };
}

/**
 * A timer that does not take a busy process for a slow service. If it fires late, it waits half its time
 * again. It also lets the process read what has arrived.
 * @returns a function that stops it.
 */
export function startTimer(milliseconds: number, onFire: () => void): () => void {
  let isStopped = false;
  let timer: NodeJS.Timeout;
  const start = (duration: number) => {
    const dueAt = performance.now() + duration;
    timer = setTimeout(async () => {
      const isLate = performance.now() - dueAt > LATE;
      await nextTurn();
      if (isStopped) return;
      if (isLate) start(milliseconds / 2);
      else onFire();
    }, duration);
  };
  start(milliseconds);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
