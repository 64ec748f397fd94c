/**
 * Owns request bodies before anything parses them: how large and how slow they may be, and what becomes of the rest of
 * one that is refused. Refuses to know what is in them.
 */
import type { IncomingMessage } from 'node:http';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { AppError } from '../../errors.ts';

/** How fast a body must come. Times in milliseconds. */
export interface Pace {
  /** No byte for this long, and the body is given up. */
  readonly maxSilence: number;
  /** After this long, a body must have come at the least rate on average. */
  readonly grace: number;
  /** Bytes per second. */
  readonly minRate: number;
  /** How often the pace is looked at. */
  readonly checkInterval: number;
}

export const PACE: Pace = { maxSilence: 10_000, grace: 30_000, minRate: 64 * 1024, checkInterval: 1_000 };

/** How long a refused body is read on, in milliseconds, so that the client gets to see the answer. */
const LINGER_TIME = 2_000;
/** How much of a refused body is read on, in bytes; beyond it the client is held up, but not cut off, till the time. */
const LINGER_BYTES = 4 * 1024 * 1024;

/** @throws AppError if the headers alone show that the body cannot be accepted. */
export function checkBodyHeaders(headers: IncomingMessage['headers'], limit: number): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    throw new AppError('unsupported-media', 'a request body with a Content-Encoding is not accepted');
  }
  const length = headers['content-length'];
  if (length !== undefined && Number(length) > limit) throw tooLarge(limit);
}

/** The text of a body. @throws AppError `invalid-request` if it is not UTF-8, as JSON and forms have to be. */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError('invalid-request', 'the body is not valid UTF-8', { cause });
  }
}

function tooLarge(limit: number): AppError {
  return new AppError(
    'too-large',
    `the request body is larger than ${limit} bytes, the limit of this operation`,
  );
}

/**
 * The body as it arrives, that ends in an AppError when it is too large (`too-large`), too slow (`too-slow`), or when
 * the client goes away before its end (`cancelled`). Unlike `pipeline`, a failure leaves the socket alone: the answer
 * still has to go out on it.
 */
export function watchBody(raw: IncomingMessage, source: Readable, limit: number, pace = PACE): Readable {
  const body = new WatchedBody(limit, pace);
  // A route may refuse the request and never look at its body, whose failure then is nobody's; it must not end the
  // process.
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
  // It may have gone while its credentials were looked at: then no event will tell.
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
  // While we are the slow ones, the client is not to blame.
  #heldUp = 0;

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
    if (this.#bytes > this.#limit) done(tooLarge(this.#limit));
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
      this.#heldUp += checkInterval;
      this.#lastByteAt = now;
      return;
    }
    if (this.writableEnded) return;
    const running = now - this.#startedAt - this.#heldUp;
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
 * Call before the answer to a request goes out whose body was not read to its end. Node would swallow all of the
 * rest, however long; a body that somebody has begun to read is left to us.
 */
export function claimBody(raw: IncomingMessage): void {
  // Not of 0 bytes: where much has come already, that reads nothing, and node would still swallow the rest.
  if (!raw.complete && !raw.readableDidRead) raw.read();
}

/**
 * Call once the answer is sent. Clients look at an answer at different times: fetch and curl while they send, Python's
 * only when all is sent or the pipe breaks. Reading on, a little and for a little while, lets each of them see it;
 * closing at once would lose it in a reset.
 */
export function linger(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  const { socket } = raw;
  let bytes = 0;
  const giveUp = setTimeout(() => {
    // First the end of ours, then the reset: so the client's next write fails with "broken pipe", at which it turns
    // to what it has received, and not with "connection reset", at which it turns away.
    socket.end();
    setTimeout(() => socket.destroy(), 100);
  }, LINGER_TIME);
  const done = () => {
    clearTimeout(giveUp);
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
