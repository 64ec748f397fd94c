/**
 * Request bodies before they are parsed: their size and pace, and the unread rest of a refused body.
 */
import type { IncomingMessage } from 'node:http';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { AppError } from '../../errors.ts';
import type { SlowBodies, SlowBody } from './slow-bodies.ts';

/**
 * The slowest pace of a body that is accepted. A check in which the server did not read does not count, so
 * these times are those of the client.
 */
export interface Pace {
  /** The longest time without a byte, in milliseconds. */
  readonly maxSilence: number;
  /** The rate of a body is measured over this time, in milliseconds. */
  readonly window: number;
  /** Bytes per second. A body with a lower rate over a whole window ends. */
  readonly minRate: number;
  /** Bytes per second. A body with a lower rate is slow, unless it is younger than `slowAfter`. */
  readonly slowRate: number;
  /** Milliseconds. */
  readonly slowAfter: number;
  /** The most slow bodies of one address. */
  readonly maxSlow: number;
  /** The interval of the checks, in milliseconds. */
  readonly checkInterval: number;
}

/** docs/adr/0048 has the reasons for the numbers. */
export const PACE: Pace = {
  maxSilence: 60_000,
  window: 60_000,
  minRate: 4_000,
  slowRate: 64 * 1024,
  slowAfter: 30_000,
  maxSlow: 64,
  checkInterval: 1_000,
};

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

/** The rules for one body. */
export interface BodyRules {
  /** The most bytes. */
  readonly limit: number;
  readonly pace: Pace;
  /** The client that sends the body. */
  readonly address: string;
  readonly slowBodies: SlowBodies;
}

/**
 * The body as a stream that checks size and pace. It fails with an AppError: `too-large`, `too-slow`,
 * `rate-limited`, or `cancelled` if the client leaves before the end. A failure does not close the socket,
 * unlike with `pipeline`: the answer still has to be sent.
 */
export function watchBody(raw: IncomingMessage, source: Readable, rules: BodyRules): Readable {
  const body = new WatchedBody(rules);
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

class WatchedBody extends Transform implements SlowBody {
  readonly #rules: BodyRules;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;
  /** The bytes at each check of the last window, the oldest first. It begins with the start of the body. */
  readonly #counts: number[] = [0];

  constructor(rules: BodyRules) {
    super();
    this.#rules = rules;
    this.#timer = setInterval(() => this.#checkPace(), rules.pace.checkInterval);
    this.#timer.unref();
  }

  get rate(): number {
    const [oldest = 0] = this.#counts;
    return ((this.#bytes - oldest) * 1_000) / Math.max(this.#age, this.#rules.pace.checkInterval);
  }

  /** Milliseconds that the counts cover, at most a window. */
  get #age(): number {
    return (this.#counts.length - 1) * this.#rules.pace.checkInterval;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#rules.limit) done(bodyTooLarge(this.#rules.limit));
    else done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#stopChecks();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stopChecks();
    done(error);
  }

  #stopChecks(): void {
    clearInterval(this.#timer);
    this.#rules.slowBodies.remove(this.#rules.address, this);
  }

  #checkPace(): void {
    // The server does not read.
    if (this.writableNeedDrain || this.readableLength >= this.readableHighWaterMark) return;
    if (this.writableEnded) return;
    const { pace, address, slowBodies } = this.#rules;
    const counts = this.#counts;
    counts.push(this.#bytes);
    if (counts.length > pace.window / pace.checkInterval + 1) counts.shift();
    const silentChecks = counts.length - 1 - counts.indexOf(this.#bytes);
    if (silentChecks * pace.checkInterval >= pace.maxSilence) {
      const text = `no byte of the request body came for ${pace.maxSilence / 1000} seconds`;
      this.destroy(new AppError('too-slow', text));
    } else if (this.#age >= pace.window && this.rate < pace.minRate) {
      const time = pace.window / 1000;
      const text = `the request body came more slowly than ${pace.minRate} bytes a second, over ${time} seconds`;
      this.destroy(new AppError('too-slow', text));
    } else if (this.#age >= pace.slowAfter && this.rate < pace.slowRate) slowBodies.add(address, this);
    else slowBodies.remove(address, this);
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
