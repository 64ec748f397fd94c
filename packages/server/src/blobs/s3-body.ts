/**
 * The bodies of requests and answers of S3: the file of a PUT, and the checked bytes of a GET.
 */
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import type { ReadStream } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Permit } from '../concurrency/circuit.ts';
import {
  AnswerTimeoutError,
  type Pace,
  type PaceWatch,
  startTimer,
  watchPace,
} from '../concurrency/watchdog.ts';
import { AppError, cancellation } from '../errors.ts';
import { type Digest, isDigest } from '../image.ts';
import type { BlobFile } from './driver.ts';
import { toStorageError, withStorageErrors } from './file-errors.ts';
import { RETRY_AFTER, weightOf } from './s3-errors.ts';

export interface FileBodyLimits {
  /** Milliseconds until the answer, after the last byte. */
  readonly write: number;
  /** Milliseconds of this time after which the store is asked whether it answers at all. */
  readonly read: number;
  readonly pace: Pace;
  /** Rejects if the store does not answer in time. */
  readonly probe: () => Promise<unknown>;
}

/** Milliseconds in which an answered request may end. The body is read by then, so it takes no time. */
const END_OF_BODY = 100;

/**
 * Runs `send` with a new stream over the file. The signal of `send` fires if the store takes the bytes too
 * slowly, or does not answer after the last one.
 * @throws AppError of `toStorageError` if the file cannot be read.
 */
export async function withFileBody<T>(
  file: BlobFile,
  limits: FileBodyLimits,
  signal: AbortSignal,
  send: (body: Readable, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const handle = await withStorageErrors(openFile(file.path, 'r'));
  // With its end, the stream needs no further read to know that it is there.
  const range = file.size > 0 ? { end: file.size - 1 } : {};
  const body = handle.createReadStream({ autoClose: false, ...range });
  const controller = new AbortController();
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const fail = (error: unknown) => {
    reject(error);
    controller.abort(error);
  };
  const onAbort = () => fail(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  // The deadline may have passed while the file was opened.
  if (signal.aborted) onAbort();
  // The SDK does not watch the stream, so the request would wait for the rest of the body.
  body.on('error', (error) => fail(toStorageError(error)));
  // Only bytes that the socket has taken are asked for, so the reads show the pace of the store.
  const watch = watchPace(limits.pace, () => body.bytesRead, fail);
  watch.resume();
  const answer = waitForAnswer(limits, fail);
  const onEnd = () => {
    watch.stop();
    answer.start();
  };
  body.once('end', onEnd);
  try {
    return await Promise.race([send(body, controller.signal), failed]);
  } finally {
    watch.stop();
    answer.stop();
    signal.removeEventListener('abort', onAbort);
    body.off('end', onEnd);
    await endRequest(body, file.size, controller);
    body.destroy();
    await handle.close();
  }
}

/** The wait for the answer to a PUT. A store may keep a blob slowly, but one that hangs answers nothing. */
function waitForAnswer({ write, read, probe }: FileBodyLimits, onTimeout: (error: unknown) => void) {
  let stopTimer = () => {};
  let isStopped = false;
  const start = () => {
    stopTimer = startTimer(Math.min(read, write), async () => {
      if (read < write) await probe().catch(onTimeout);
      if (isStopped) return;
      stopTimer = startTimer(Math.max(0, write - read), () =>
        onTimeout(new AnswerTimeoutError(`no answer within ${write} ms after the last byte`)),
      );
    });
  };
  const stop = () => {
    isStopped = true;
    stopTimer();
  };
  return { start, stop };
}

/**
 * Lets a request end whose answer came before the end of its body was seen. Its connection would never be
 * free again. If the store has not taken the whole body, the connection is closed.
 */
async function endRequest(body: ReadStream, size: number, controller: AbortController): Promise<void> {
  const isRead = body.bytesRead >= size && !body.destroyed && !controller.signal.aborted;
  if (isRead && !body.readableEnded) {
    const end = once(body, 'end').catch(() => undefined);
    await Promise.race([end, delay(END_OF_BODY, undefined, { ref: false })]);
  }
  if (!body.readableEnded) controller.abort(new Error('the request is over'));
}

export interface BodyOptions {
  readonly size: number;
  /** The checksum that the store keeps; undefined if it has none. */
  readonly digest: Digest | undefined;
  readonly pace: Pace;
  /** Gets the outcome of the body. */
  readonly permit: Permit;
  readonly signal: AbortSignal | undefined;
}

/**
 * The body of a GET. It has exactly its size and matches its checksum, or it fails. The last chunk is passed
 * on only after both are checked.
 */
export class S3Body extends Readable {
  readonly #source: IncomingMessage;
  readonly #options: BodyOptions;
  readonly #hash: Hash | undefined;
  readonly #watch: PaceWatch;
  #received = 0;
  #last: Buffer | undefined;
  #isComplete = false;

  constructor(source: IncomingMessage, options: BodyOptions) {
    super();
    this.#source = source;
    this.#options = options;
    this.#hash = options.digest === undefined ? undefined : createHash('sha256');
    this.#watch = watchPace(
      options.pace,
      () => this.#received,
      (error) => this.#fail(error),
    );
    source.on('data', (chunk: Buffer) => this.#onData(chunk));
    source.on('end', () => this.#onEnd());
    source.on('error', (error) => this.#fail(error));
    source.on('close', () => this.#fail(new Error('the store closed the connection')));
    source.pause();
    const { signal } = options;
    if (signal === undefined) return;
    const onAbort = () => this.destroy(cancellation(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    this.once('close', () => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
  }

  override _read(): void {
    if (this.#isComplete || this.destroyed) return;
    this.#watch.resume();
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#watch.stop();
    this.#options.permit.released();
    // A body that was read to its end leaves its connection to the next call.
    if (!this.#isComplete) this.#source.destroy();
    callback(error);
  }

  #onData(chunk: Buffer): void {
    this.#received += chunk.length;
    this.#hash?.update(chunk);
    const previous = this.#last;
    this.#last = chunk;
    if (previous === undefined || this.push(previous)) return;
    this.#source.pause();
    this.#watch.pause();
  }

  #onEnd(): void {
    const { size, digest, permit } = this.#options;
    if (this.#received !== size) {
      this.#fail(new Error(`${this.#received} of ${size} bytes arrived`));
    } else if (digest !== undefined && this.#hash?.digest('hex') !== digest) {
      this.#fail(new Error('the bytes do not match the checksum that the store keeps'));
    } else {
      this.#isComplete = true;
      this.#watch.stop();
      permit.succeeded();
      if (this.#last !== undefined) this.push(this.#last);
      this.push(null);
    }
  }

  #fail(cause: Error): void {
    if (this.#isComplete || this.destroyed) return;
    this.#options.permit.failed(weightOf(cause), cause);
    const options = { cause, retryAfter: RETRY_AFTER };
    this.destroy(new AppError('unavailable', 'A stored file cannot be read now', options));
  }
}

/** The digest of a checksum in base64; undefined for none, or for one of the parts of an object. */
export function digestFrom(checksum: string | undefined): Digest | undefined {
  const digest = Buffer.from(checksum ?? '', 'base64').toString('hex');
  return checksum?.includes('-') || !isDigest(digest) ? undefined : digest;
}
