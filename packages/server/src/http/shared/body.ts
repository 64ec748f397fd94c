/**
 * Request bodies before they are parsed: their size and pace, and the unread rest of a refused body.
 */
import type { IncomingMessage } from 'node:http';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { AppError } from '../../errors.ts';

/** The slowest pace of a body that is accepted. */
export interface Pace {
  /** The longest time without a byte, in milliseconds. */
  readonly maxSilence: number;
  /** Milliseconds after which the average rate must be at least `minRate`. */
  readonly grace: number;
  /** Bytes per second. */
  readonly minRate: number;
  /** The interval of the checks, in milliseconds. */
  readonly checkInterval: number;
}

export const PACE: Pace = { maxSilence: 10_000, grace: 30_000, minRate: 64 * 1024, checkInterval: 1_000 };

/** How long the rest of a refused body is read, in milliseconds, so that the client sees the answer. */
const LINGER_TIME = 2_000;
/** The most bytes of it that are read. The client then waits until the time is over. */
const LINGER_BYTES = 4 * 1024 * 1024;

/**
 * @throws AppError `unsupported-media` or `too-large` if the headers show that the body cannot be accepted.
 */
export function checkBodyHeaders(headers: IncomingMessage['headers'], limit: number): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    throw new AppError('unsupported-media', 'a request body with a Content-Encoding is not accepted');
  }
  const length = headers['content-length'];
  if (length !== undefined && Number(length) > limit) throw bodyTooLarge(limit);
}

/** The text of a body. @throws AppError `invalid-request` if it is not UTF-8, as JSON and forms must be. */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError('invalid-request', 'the body is not valid UTF-8', { cause });
  }
}

function bodyTooLarge(limit: number): AppError {
  return new AppError(
    'too-large',
    `the request body is larger than ${limit} bytes, the limit of this operation`,
  );
}

/**
 * The body as a stream that checks size and pace. It fails with an AppError: `too-large`, `too-slow`, or
 * `cancelled` if the client leaves before the end. A failure does not close the socket, unlike with
 * `pipeline`: the answer still has to be sent.
 */
export function watchBody(raw: IncomingMessage, source: Readable, limit: number, pace = PACE): Readable {
  const body = new WatchedBody(limit, pace);
  // A route may refuse the request without reading the body. The failure must not end the process then.
  body.on('error', () => undefined);
  const onClose = () => {
    if (!raw.complete)
      body.destroy(new AppError('cancelled', 'the client went away before the end of the body'));
  };
  source.once('error', onClose);
  raw.once('close', onClose);
  body.once('close', () => {
    raw.off('close', onClose);
    source.unpipe(body);
  });
  source.pipe(body);
  // The client may have left during authentication. No event follows then.
  if (raw.destroyed) onClose();
  return body;
}

class WatchedBody extends Transform {
  readonly #limit: number;
  readonly #pace: Pace;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  #lastByteAt = this.#startedAt;
  /** Milliseconds in which the server did not read. They do not count against the client. */
  #pausedTime = 0;

  constructor(limit: number, pace: Pace) {
    super();
    this.#limit = limit;
    this.#pace = pace;
    this.#timer = setInterval(() => this.#checkPace(), pace.checkInterval);
    this.#timer.unref();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    this.#lastByteAt = performance.now();
    if (this.#bytes > this.#limit) done(bodyTooLarge(this.#limit));
    else done(null, chunk);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#timer);
    done(error);
  }

  #checkPace(): void {
    const { maxSilence, grace, minRate, checkInterval } = this.#pace;
    const now = performance.now();
    if (this.writableNeedDrain || this.readableLength >= this.readableHighWaterMark) {
      this.#pausedTime += checkInterval;
      this.#lastByteAt = now;
      return;
    }
    if (this.writableEnded) return;
    const running = now - this.#startedAt - this.#pausedTime;
    if (now - this.#lastByteAt > maxSilence) {
      const text = `no byte of the request body came for ${maxSilence / 1000} seconds`;
      this.destroy(new AppError('too-slow', text));
    } else if (running > grace && this.#bytes < (minRate * running) / 1000) {
      const text = `the request body came more slowly than ${minRate} bytes a second`;
      this.destroy(new AppError('too-slow', text));
    }
  }
}

/**
 * Call before answering a request whose body was not read to its end. Otherwise Node reads and drops the
 * whole rest. It leaves a body alone once a read has begun.
 */
export function claimBody(raw: IncomingMessage): void {
  // `read(0)` would not claim the body if much of it has already arrived.
  if (!raw.complete && !raw.readableDidRead) raw.read();
}

/**
 * Call after the answer is sent. fetch and curl look for an answer while they send. Python clients look only
 * after all is sent or the pipe breaks. So the server reads on for a short time: closing at once resets the
 * connection, and the answer is lost.
 */
export function linger(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  const { socket } = raw;
  let bytes = 0;
  const timer = setTimeout(() => {
    // Ends the answer first and resets later. The next write of the client then fails with "broken pipe", and
    // Python clients read the answer. After "connection reset" they do not.
    socket.end();
    setTimeout(() => socket.destroy(), 100);
  }, LINGER_TIME);
  const done = () => {
    clearTimeout(timer);
    socket.off('close', done);
  };
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES) raw.pause();
  });
  raw.once('end', done);
  raw.once('error', done);
  socket.once('close', done);
  raw.resume();
}
