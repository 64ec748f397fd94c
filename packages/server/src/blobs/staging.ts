/**
 * Files in the staging folder: uploads on their way to the blobs, and local copies of blobs.
 * A crash may leave files there; `sweepStaged` removes them.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, opendir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { AppError, cancellation, isAppError, throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import type { BlobDriver } from './driver.ts';
import { withStorageErrors } from './file-errors.ts';

/**
 * The time in milliseconds since the last write at which a staged file is a left-over of a crash. An upload
 * may take longer, but it never pauses as long.
 */
export const STALE_UPLOAD = 60 * 60 * 1000;

/** A complete local file, only to be read. */
export interface LocalFile {
  readonly path: string;
  /** Length in bytes. */
  readonly size: number;
}

/** A complete file in staging. Its owner discards it. */
export interface StagedBlob extends LocalFile, AsyncDisposable {
  readonly digest: Digest;
  /**
   * Removes the file; blobs that were stored from it stay. May be called again. Never rejects: a file that
   * cannot be removed is swept later.
   */
  discard(): Promise<void>;
}

/** Opens a blob of the driver; undefined if it does not exist. */
export type OpenBlob = (
  signal: AbortSignal | undefined,
) => Promise<{ size: number; stream: Readable } | undefined>;

const STAGED_SUFFIX = '.part';

/** A broken copy is not tried again after this time, in milliseconds: a request waits for it. */
const RETRY_UNTIL = 1_000;

/** A new, unused file name in the form that `sweepStaged` recognises. */
export function stagingName(): string {
  return `${randomUUID()}${STAGED_SUFFIX}`;
}

/** Streams the source into a new file in the folder: see `BlobStore.stage`. */
export async function stageFile(
  folder: string,
  source: Readable | AsyncIterable<Uint8Array>,
  options: { limit: number; signal?: AbortSignal | undefined },
): Promise<StagedBlob> {
  // The source may fail at any time, also while it is not read. That must not end the process.
  if (source instanceof Readable) source.on('error', () => {});
  throwIfFired(options.signal);
  const path = join(folder, stagingName());
  const discard = () => rm(path, { force: true }).catch(() => {});
  try {
    const handle = await withStorageErrors(open(path, 'wx', 0o600));
    let received: { size: number; digest: Digest };
    try {
      received = await receive(source, handle, options.limit, options.signal);
    } finally {
      await withStorageErrors(handle.close());
    }
    return { path, ...received, discard, [Symbol.asyncDispose]: discard };
  } catch (error) {
    await discard();
    throw error;
  }
}

/** Runs `use` with a new file in the folder that has these bytes. Removes the file afterwards. */
export async function withStagedFile(
  folder: string,
  bytes: Uint8Array,
  use: (file: LocalFile) => Promise<unknown>,
): Promise<void> {
  const path = join(folder, stagingName());
  try {
    await withStorageErrors(writeFile(path, bytes, { flag: 'wx', mode: 0o600 }));
    await use({ path, size: bytes.byteLength });
  } finally {
    // A file that cannot be removed is swept later.
    await rm(path, { force: true }).catch(() => {});
  }
}

/**
 * Runs `use` with a local file that holds the blob, until `use` settles: the file of the driver, or a copy in
 * staging.
 * @param digest if it is given, a copy is verified by length and SHA-256. A file of the driver is never
 * verified.
 * @returns undefined, without a call of `use`, if the blob does not exist.
 * @throws AppError `unavailable` if the blob cannot be copied or does not match the digest; any error of
 * `use`.
 */
export async function withLocalFile<T>(
  driver: BlobDriver,
  key: string,
  use: (file: LocalFile) => Promise<T>,
  { digest, signal }: { digest?: Digest | undefined; signal?: AbortSignal | undefined } = {},
): Promise<T | undefined> {
  const path = driver.localPath?.(key);
  if (path !== undefined) {
    const stat = await driver.stat(key, signal);
    return stat && use({ path, size: stat.size });
  }
  const open: OpenBlob = (openSignal) => driver.open(key, openSignal);
  const copy = await stageVerified(driver.stagingFolder, key, open, { digest, signal });
  if (copy === undefined) return undefined;
  await using owned = copy;
  return await use(owned);
}

/**
 * Copies a blob of a remote store into a new file in the folder.
 * @param open opens the blob. It is called again if the bytes break off soon after the start.
 * @param options `digest`: the SHA-256 that the bytes must have; absent: `open` verifies them.
 * @returns undefined if the blob does not exist.
 * @throws AppError `unavailable` if the blob cannot be copied or does not match the digest.
 */
export async function stageVerified(
  folder: string,
  key: string,
  open: OpenBlob,
  { digest, signal }: { digest?: Digest | undefined; signal?: AbortSignal | undefined } = {},
): Promise<StagedBlob | undefined> {
  const startedAt = performance.now();
  for (let canRetry = true; ; canRetry = false) {
    const blob = await open(signal);
    if (blob === undefined) return undefined;
    try {
      const copy = await copyToStaging(folder, blob, signal);
      if (copy.size === blob.size && (digest ?? copy.digest) === copy.digest) return copy;
      await copy.discard();
      throw new AppError('unavailable', 'The original cannot be read now', {
        cause: new Error(`The bytes of the blob ${key} do not match its digest`),
      });
    } catch (error) {
      const isSoon = performance.now() - startedAt < RETRY_UNTIL;
      if (!canRetry || !isSoon || !isAppError(error, 'unavailable')) throw error;
    } finally {
      blob.stream.destroy();
    }
  }
}

async function copyToStaging(
  folder: string,
  { size, stream }: { size: number; stream: Readable },
  signal: AbortSignal | undefined,
): Promise<StagedBlob> {
  try {
    return await stageFile(folder, stream, { limit: size, signal });
  } catch (error) {
    // `stageFile` reports a broken source as cancelled by the client. Here the source is the backend.
    if (signal?.aborted || !(isAppError(error, 'cancelled') || isAppError(error, 'too-large'))) throw error;
    throw new AppError('unavailable', 'The stored file cannot be read now', { cause: error });
  }
}

/** Removes left-over files that were last written before the date: see `BlobStore.sweepStaging`. */
export async function sweepStaged(folder: string, olderThan: Date, onlyCount: boolean): Promise<number> {
  let count = 0;
  for await (const entry of await withStorageErrors(opendir(folder))) {
    if (!entry.isFile() || !entry.name.endsWith(STAGED_SUFFIX)) continue;
    const path = join(folder, entry.name);
    const { mtime } = await lstat(path).catch(() => ({ mtime: undefined }));
    // The time is undefined if the owner has discarded the file since the listing.
    if (mtime === undefined || mtime >= olderThan) continue;
    if (!onlyCount) await withStorageErrors(rm(path, { force: true }));
    count += 1;
  }
  return count;
}

/**
 * Copies the source into the file until its end. Counts and hashes the bytes. Throws the errors of `stage`.
 */
async function receive(
  source: Readable | AsyncIterable<Uint8Array>,
  handle: FileHandle,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<{ size: number; digest: Digest }> {
  const hash = createHash('sha256');
  let size = 0;
  const chunks = iterate(source);
  // One listener for all chunks. A race for each chunk would pile up reactions if a client sends single
  // bytes.
  let interrupt = (_error: unknown): void => {};
  const onAbort = () => signal && interrupt(cancellation(signal));
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      throwIfFired(signal);
      const next = await new Promise<IteratorResult<unknown, unknown>>((resolve, reject) => {
        interrupt = reject;
        chunks.next().then(resolve, (error: unknown) => reject(toSourceError(error)));
      });
      if (next.done) return { size, digest: hash.digest('hex') };
      const chunk = next.value;
      if (!(chunk instanceof Uint8Array)) throw new TypeError('The source of a blob must yield bytes');
      size += chunk.byteLength;
      if (size > limit) throw new AppError('too-large', `The file is larger than ${limit} bytes`);
      hash.update(chunk);
      await withStorageErrors(handle.writeFile(chunk));
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // Not awaited, because it would wait for a chunk that may never arrive.
    chunks.return?.()?.catch(() => {});
  }
}

function iterate(source: Readable | AsyncIterable<Uint8Array>): AsyncIterator<unknown> {
  return source instanceof Readable
    ? source.iterator({ destroyOnReturn: false })
    : source[Symbol.asyncIterator]();
}

/** A connection that the client closes during an upload is `cancelled`, and no defect of the server. */
function toSourceError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error) || !('code' in error)) return error;
  const codes = ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ABORT_ERR'];
  return codes.includes(String(error.code))
    ? new AppError('cancelled', 'The upload was interrupted', { cause: error })
    : error;
}
