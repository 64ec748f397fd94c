/**
 * The BlobDriver for a bucket of S3 or of a compatible server. A blob is the object at its key under the
 * prefix. The store must support conditional writes; `openS3Blobs` checks that.
 *
 * Each call has a deadline and each body a watch over its pace. The SDK has neither, and never retries a
 * stream. So the SDK's own retries are off, and each try here opens its file again.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Circuit, type Permit } from '../concurrency/circuit.ts';
import { AnswerTimeoutError, type Pace, withDeadline } from '../concurrency/watchdog.ts';
import { isAppError, throwIfFired } from '../errors.ts';
import type { WarnLog } from '../telemetry/log.ts';
import { type BlobDriver, type BlobFile, type BlobStat, isBlobKey } from './driver.ts';
import { digestOfFile } from './file-digest.ts';
import { withStorageErrors } from './file-errors.ts';
import { describeLocation, type S3Location } from './location.ts';
import { digestFrom, S3Body, withFileBody } from './s3-body.ts';
import { createClient } from './s3-client.ts';
import {
  isConnectionLost,
  isRefusal,
  isRejected,
  kindOf,
  RefusalError,
  reasonOf,
  rethrow,
  type ServiceError,
  toAppError,
  UNAVAILABLE,
  unavailable,
  weightOf,
} from './s3-errors.ts';

/** Deadlines in milliseconds. */
export interface S3Limits {
  /** Until the answer to a HEAD, or the head of the answer to a GET. For each of two tries. */
  readonly read: number;
  /** Until the answer to a PUT, after its last byte is sent. A store that hangs is noticed earlier. */
  readonly write: number;
  /** For a whole PUT. */
  readonly upload: number;
  /** Until the answer to a DELETE, COPY or LIST. */
  readonly background: number;
  /** The pace of a body. A slower one is given up. */
  readonly pace: Pace;
}

/** Two tries of a read, and the window of its body, end within two seconds each. */
export const S3_LIMITS: S3Limits = {
  read: 850,
  write: 5_000,
  upload: 60_000,
  background: 10_000,
  pace: { window: 1_500, bytes: 16 * 1024 },
};

/** For commands, which no client waits for. */
export const PATIENT_LIMITS: Partial<S3Limits> = { read: 10_000, write: 30_000, background: 30_000 };

const READ_TRIES = 2;
const BACKGROUND_TRIES = 3;
/** A write is not tried again after this time, in milliseconds: the client has waited long enough. */
const RETRY_UNTIL = 3_000;
/** The mean pause before the second try, in milliseconds; doubled before each further one. */
const RETRY_PAUSE = 50;
/** The key that `check` reads. Every library in use has it. */
const CHECKED_KEY = 'library';

export interface OpenS3Options {
  readonly location: S3Location;
  /** A local folder. It is created if it does not exist. */
  readonly stagingFolder: string;
  /** For commands that only read: nothing is written for a test of the store. */
  readonly isReadOnly?: boolean;
  readonly log?: WarnLog | undefined;
  /** Overrides of the deadlines; for tests. */
  readonly limits?: Partial<S3Limits>;
}

/**
 * Opens the bucket as a BlobDriver.
 * @throws Error with a message for the operator, if the bucket cannot be used or has no conditional writes.
 */
export async function openS3Blobs(options: OpenS3Options): Promise<BlobDriver> {
  const { location, stagingFolder, isReadOnly = false } = options;
  const driver = new S3Blobs(options);
  try {
    await mkdir(stagingFolder, { recursive: true, mode: 0o700 });
    if (isReadOnly) await driver.check();
    else await driver.probe();
  } catch (error) {
    await driver.close();
    throw new Error(`The bucket ${describeLocation(location)} cannot be used: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return driver;
}

class S3Blobs implements BlobDriver {
  readonly stagingFolder: string;
  readonly #location: S3Location;
  readonly #prefix: string;
  readonly #limits: S3Limits;
  readonly #client: S3Client;
  readonly #circuit: Circuit;

  constructor({ location, stagingFolder, log, limits }: OpenS3Options) {
    this.stagingFolder = stagingFolder;
    this.#location = location;
    this.#prefix = location.prefix === '' ? '' : `${location.prefix}/`;
    this.#limits = { ...S3_LIMITS, ...limits };
    this.#client = createClient(location);
    this.#circuit = new Circuit({
      message: UNAVAILABLE,
      onChange: (state, err) =>
        log?.warn(
          { ...(err !== undefined && { err }), store: describeLocation(location) },
          state === 'open' ? 'the blob store is away: calls fail at once' : 'the blob store answers again',
        ),
    });
  }

  async put(key: string, file: BlobFile, signal?: AbortSignal): Promise<'created' | 'exists'> {
    const name = this.#name(key);
    try {
      await this.#upload(name, file, { IfNoneMatch: '*' }, signal);
      return 'created';
    } catch (error) {
      // After a try without an answer, the blob may be that of this call. It has these bytes either way.
      if (isRefusal(error, 412)) return 'exists';
      // A store may refuse a large body before it has read it. Then it closes the connection, and its answer
      // is lost.
      if (isConnectionLost(error) && (await this.#isStored(key, signal))) return 'exists';
      throw toAppError(error);
    }
  }

  /** False also if the store does not answer. */
  async #isStored(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.stat(key, signal).catch(() => undefined)) !== undefined;
  }

  async replace(key: string, file: BlobFile, signal?: AbortSignal): Promise<void> {
    const name = this.#name(key);
    await this.#upload(name, file, {}, signal).catch(rethrow);
  }

  async open(key: string, signal?: AbortSignal): Promise<{ size: number; stream: Readable } | undefined> {
    const command = new GetObjectCommand({ Bucket: this.#location.bucket, Key: this.#name(key) });
    try {
      const call = { deadline: this.#limits.read, tries: READ_TRIES, signal };
      const { result: output, permit } = await this.#begin(
        call,
        (abortSignal) => this.#client.send(command, { abortSignal }),
        ({ Body }) => (Body as IncomingMessage | undefined)?.destroy(),
      );
      const source = output.Body as IncomingMessage | undefined;
      const { ContentLength: size } = output;
      if (source === undefined || size === undefined) {
        source?.destroy();
        permit.released();
        throw unavailable(new Error('the store did not send the length of an object'));
      }
      const stream = new S3Body(source, {
        size,
        digest: digestFrom(output.ChecksumSHA256),
        pace: this.#limits.pace,
        permit,
        signal,
      });
      return { size, stream };
    } catch (error) {
      if (isRefusal(error, 404) && error.code !== 'NoSuchBucket') return undefined;
      throw toAppError(error);
    }
  }

  async stat(key: string, signal?: AbortSignal): Promise<BlobStat | undefined> {
    const Key = this.#name(key);
    const command = new HeadObjectCommand({
      Bucket: this.#location.bucket,
      Key,
      ChecksumMode: 'ENABLED',
    });
    try {
      const call = { deadline: this.#limits.read, tries: READ_TRIES, signal };
      const output = await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal }));
      const digest = digestFrom(output.ChecksumSHA256);
      return {
        key,
        size: output.ContentLength ?? 0,
        storedOn: wholeSeconds(output.LastModified),
        ...(digest !== undefined && { digest }),
      };
    } catch (error) {
      if (isRefusal(error, 404)) return undefined;
      throw toAppError(error);
    }
  }

  async copy(from: string, to: string, signal?: AbortSignal): Promise<boolean> {
    const { bucket } = this.#location;
    const source = [bucket, ...this.#name(from).split('/')].map(encodeURIComponent).join('/');
    const command = new CopyObjectCommand({
      Bucket: bucket,
      Key: this.#name(to),
      CopySource: source,
      ChecksumAlgorithm: 'SHA256',
      ...this.#encryption(),
    });
    try {
      const call = { deadline: this.#limits.background, tries: BACKGROUND_TRIES, signal };
      await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal }));
      return true;
    } catch (error) {
      if (isRefusal(error, 404) && error.code !== 'NoSuchBucket') return false;
      throw toAppError(error);
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#location.bucket, Key: this.#name(key) });
    // A second try could hide that the first one is still on its way: see `BlobDriver.delete`.
    const call = {
      ...{ deadline: this.#limits.background, tries: BACKGROUND_TRIES, signal },
      canRepeat: isRejected,
    };
    try {
      await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal }));
    } catch (error) {
      if (isRefusal(error, 404) && error.code !== 'NoSuchBucket') return;
      throw toAppError(error);
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<BlobStat, void, undefined> {
    // No key can start with the rest of such a prefix, and a store of files would resolve its dots.
    const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    if (start !== '' && !isBlobKey(start.slice(0, -1))) return;
    let token: string | undefined;
    do {
      const page: Awaited<ReturnType<S3Blobs['listPage']>> = await this.listPage(prefix, token, signal);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        const key = Key?.slice(this.#prefix.length) ?? '';
        if (isBlobKey(key)) yield { key, size: Size ?? 0, storedOn: wholeSeconds(LastModified) };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async listPage(prefix: string, token: string | undefined, signal?: AbortSignal, MaxKeys = 1_000) {
    const command = new ListObjectsV2Command({
      Bucket: this.#location.bucket,
      Prefix: this.#prefix + prefix,
      MaxKeys,
      ...(token !== undefined && { ContinuationToken: token }),
    });
    const call = { deadline: this.#limits.background, tries: BACKGROUND_TRIES, signal };
    return this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal })).catch(rethrow);
  }

  ensureAvailable(): void {
    this.#circuit.check();
  }

  async check(signal?: AbortSignal): Promise<void> {
    if ((await this.stat(CHECKED_KEY, signal)) !== undefined) return;
    // A HEAD does not tell a missing object from a missing bucket.
    await this.listPage(CHECKED_KEY, undefined, signal, 1);
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  /**
   * Puts one key twice. A store that ignores the condition accepts both, and would let two uploads overwrite
   * each other.
   * @throws Error with the reason, if the store cannot serve a library.
   */
  async probe(): Promise<void> {
    // No driver lists a key with `~`.
    const name = `${this.#prefix}~probe-${randomUUID()}`;
    const { bucket } = this.#location;
    const put = async (content: string) => {
      const Body = Buffer.from(content);
      const command = new PutObjectCommand({
        ...{ Bucket: bucket, Key: name, Body, IfNoneMatch: '*' },
        ChecksumSHA256: createHash('sha256').update(Body).digest('base64'),
        ...this.#encryption(),
      });
      const call = { deadline: this.#limits.background, tries: 1 };
      await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal }));
    };
    await this.#checkAbsent(name);
    try {
      await put('first');
      const second = await put('second').then(
        () => 200,
        (error: unknown) => {
          if (error instanceof RefusalError) return error.status;
          throw error;
        },
      );
      if (second === 412) return;
      throw new Error(
        `it has no conditional writes: a second PUT of one key with If-None-Match: * got ${second}, and not 412`,
      );
    } finally {
      const command = new DeleteObjectCommand({ Bucket: bucket, Key: name });
      const call = { deadline: this.#limits.background, tries: BACKGROUND_TRIES };
      await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal })).catch(
        () => undefined,
      );
    }
  }

  /** Without the right to list, S3 answers 403 for a missing object, which then looks like an outage. */
  async #checkAbsent(name: string): Promise<void> {
    const command = new GetObjectCommand({ Bucket: this.#location.bucket, Key: name });
    const call = { deadline: this.#limits.background, tries: BACKGROUND_TRIES };
    try {
      const { Body } = await this.#call(call, (abortSignal) => this.#client.send(command, { abortSignal }));
      (Body as IncomingMessage | undefined)?.destroy();
    } catch (error) {
      if (isRefusal(error, 404) && error.code !== 'NoSuchBucket') return;
      if (isRefusal(error, 403)) {
        throw new Error(`${error.message}; the key needs s3:GetObject and s3:ListBucket`);
      }
      throw error;
    }
  }

  #name(key: string): string {
    if (!isBlobKey(key)) throw new TypeError(`${JSON.stringify(key)} is not a blob key`);
    return this.#prefix + key;
  }

  #encryption(): Pick<PutObjectCommandInput, 'ServerSideEncryption' | 'SSEKMSKeyId'> {
    const { encryption } = this.#location;
    return {
      ...(encryption && { ServerSideEncryption: encryption.algorithm }),
      ...(encryption?.key !== undefined && { SSEKMSKeyId: encryption.key }),
    };
  }

  /** One PUT, which is atomic at any size that Vitrine stores. */
  async #upload(
    name: string,
    file: BlobFile,
    condition: Pick<PutObjectCommandInput, 'IfNoneMatch'>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    throwIfFired(signal);
    const digest = file.digest ?? (await withStorageErrors(digestOfFile(file.path)));
    const call = { deadline: this.#limits.upload, tries: READ_TRIES, retryUntil: RETRY_UNTIL, signal };
    await this.#call(call, (abortSignal) =>
      withFileBody(file, { ...this.#limits, probe: () => this.#probe() }, abortSignal, (Body, sendSignal) => {
        const command = new PutObjectCommand({
          ...{ Bucket: this.#location.bucket, Key: name, Body, ContentLength: file.size },
          ChecksumSHA256: Buffer.from(digest, 'hex').toString('base64'),
          ...condition,
          ...this.#encryption(),
        });
        return this.#client.send(command, { abortSignal: sendSignal });
      }),
    );
  }

  /** @throws AnswerTimeoutError if the store answers nothing. Any answer will do, and so will an error. */
  async #probe(): Promise<void> {
    const command = new HeadObjectCommand({ Bucket: this.#location.bucket, Key: this.#name(CHECKED_KEY) });
    try {
      await withDeadline((abortSignal) => this.#client.send(command, { abortSignal }), this.#limits.read);
    } catch (error) {
      if (error instanceof AnswerTimeoutError) throw new AnswerTimeoutError('the store hangs', true);
    }
  }

  /** Sends a request until it is answered. Throws as `#begin`. */
  async #call<T>(call: Call, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { result, permit } = await this.#begin(call, send);
    permit.succeeded();
    return result;
  }

  /**
   * Sends a request until the head of its answer arrives, at most `tries` times.
   * @param onLate disposes of an answer that comes after its deadline.
   * @returns the answer, and the permit that the caller reports the outcome to.
   * @throws RefusalError for an answer that a retry cannot change; AppError otherwise.
   */
  async #begin<T>(
    { deadline, tries, retryUntil = Number.POSITIVE_INFINITY, canRepeat = () => true, signal }: Call,
    send: (signal: AbortSignal) => Promise<T>,
    onLate: (result: T) => void = () => undefined,
  ): Promise<{ result: T; permit: Permit }> {
    throwIfFired(signal);
    const startedAt = performance.now();
    let failure: unknown;
    for (let number = 1; number <= tries; number += 1) {
      if (number > 1) {
        if (performance.now() - startedAt > retryUntil) break;
        await pauseBefore(number, signal);
      }
      let permit: Permit;
      try {
        permit = this.#circuit.enter();
      } catch (error) {
        throw failure === undefined ? error : unavailable(failure);
      }
      try {
        return { result: await withDeadline(send, deadline, { signal, onLate }), permit };
      } catch (error) {
        // The caller cancelled the call, or the local file cannot be read.
        if (isAppError(error)) {
          permit.released();
          throw error;
        }
        failure = error;
        const kind = kindOf(error);
        if (kind === 'failure') permit.failed(weightOf(error), error);
        else if (kind === 'setting') permit.released();
        else permit.succeeded();
        if (kind === 'refusal') throw new RefusalError(error as ServiceError);
        if (kind === 'setting' || !canRepeat(error)) break;
      }
    }
    throw unavailable(failure);
  }
}

interface Call {
  /** Milliseconds of each try. */
  readonly deadline: number;
  readonly tries: number;
  /** Milliseconds after which no further try starts. */
  readonly retryUntil?: number;
  /** False: this failure ends the call. */
  readonly canRepeat?: (failure: unknown) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Waits before the second try or a later one. The pause is random, so that callers do not retry together. */
async function pauseBefore(number: number, signal: AbortSignal | undefined): Promise<void> {
  const pause = RETRY_PAUSE * 2 ** (number - 2) * (0.5 + Math.random());
  await delay(pause, undefined, { ...(signal && { signal }) }).catch(() => undefined);
  throwIfFired(signal);
}

/** A HEAD has whole seconds, and a listing may have parts of them. */
function wholeSeconds(time: Date | undefined): Date {
  return new Date(Math.floor((time?.getTime() ?? 0) / 1_000) * 1_000);
}
