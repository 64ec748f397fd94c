/**
 * Owns files on their way in: their names, how a stream becomes one, and how those that a crash left are swept. Refuses to
 * know what becomes of them.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, opendir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { AppError, cancellation, throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import { onFile } from './file-errors.ts';

/** A staged file that is older than this, in milliseconds, is left over from a crash. No upload takes as long. */
export const STALE_UPLOAD = 60 * 60 * 1000;

/** A complete file in staging, with what was learnt on its way in. Its owner discards it. */
export interface StagedBlob extends AsyncDisposable {
  readonly path: string;
  /** Length in bytes. */
  readonly size: number;
  readonly digest: Digest;
  /**
   * Removes the file. May be called any number of times; what was kept of it stays. Never rejects: a file that cannot
   * be removed is swept later, and what was done with it is done.
   */
  discard(): Promise<void>;
}

const STAGED_SUFFIX = '.part';

/** A new, unused name for a file in staging, of the form that `sweepStaged` recognises. */
export function stagingName(): string {
  return `${randomUUID()}${STAGED_SUFFIX}`;
}

/** Streams the source into a new file in the folder: see `BlobStore.stage`. */
export async function stageFile(
  folder: string,
  source: Readable | AsyncIterable<Uint8Array>,
  options: { limit: number; signal?: AbortSignal | undefined },
): Promise<StagedBlob> {
  // From here on the source may fail at any time, also while nobody iterates: that must not end the process.
  if (source instanceof Readable) source.on('error', () => {});
  throwIfFired(options.signal);
  const path = join(folder, stagingName());
  const discard = () => rm(path, { force: true }).catch(() => {});
  try {
    const handle = await onFile(open(path, 'wx', 0o600));
    let received: { size: number; digest: Digest };
    try {
      received = await receive(source, handle, options.limit, options.signal);
    } finally {
      await onFile(handle.close());
    }
    return { path, ...received, discard, [Symbol.asyncDispose]: discard };
  } catch (error) {
    await discard();
    throw error;
  }
}

/** Runs `use` with a file in the folder that has these bytes. */
export async function withStagedFile(
  folder: string,
  bytes: Uint8Array,
  use: (file: { path: string; size: number }) => Promise<unknown>,
): Promise<void> {
  const path = join(folder, stagingName());
  try {
    await onFile(writeFile(path, bytes, { flag: 'wx', mode: 0o600 }));
    await use({ path, size: bytes.byteLength });
  } finally {
    // A leftover is swept later.
    await rm(path, { force: true }).catch(() => {});
  }
}

/** Removes what was left in the folder and last written before the date: see `BlobStore.sweepStaging`. */
export async function sweepStaged(folder: string, olderThan: Date, onlyCount: boolean): Promise<number> {
  let removed = 0;
  for await (const entry of await onFile(opendir(folder))) {
    if (!entry.isFile() || !entry.name.endsWith(STAGED_SUFFIX)) continue;
    const path = join(folder, entry.name);
    const { mtime } = await lstat(path).catch(() => ({ mtime: undefined }));
    // Without a time it is gone already: its owner discarded it meanwhile.
    if (mtime === undefined || mtime >= olderThan) continue;
    if (!onlyCount) await onFile(rm(path, { force: true }));
    removed += 1;
  }
  return removed;
}

/** Copies the source into the file until it ends, counting and digesting. Errors are as `stage` has them. */
async function receive(
  source: Readable | AsyncIterable<Uint8Array>,
  handle: FileHandle,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<{ size: number; digest: Digest }> {
  const hash = createHash('sha256');
  let size = 0;
  const chunks = iterate(source);
  // One listener for the whole, not a race per chunk: a client that drips single bytes would pile up reactions.
  let interrupt = (_error: unknown): void => {};
  const onAbort = () => signal && interrupt(cancellation(signal));
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      throwIfFired(signal);
      const next = await new Promise<IteratorResult<unknown, unknown>>((resolve, reject) => {
        interrupt = reject;
        chunks.next().then(resolve, (error: unknown) => reject(sourceFault(error)));
      });
      if (next.done) return { size, digest: hash.digest('hex') };
      const chunk = next.value;
      if (!(chunk instanceof Uint8Array)) throw new TypeError('A source of a blob must give bytes');
      size += chunk.byteLength;
      if (size > limit) throw new AppError('too-large', `The file is larger than ${limit} bytes`);
      hash.update(chunk);
      await onFile(handle.writeFile(chunk));
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // Not awaited: it would queue behind a chunk that may never come.
    chunks.return?.()?.catch(() => {});
  }
}

function iterate(source: Readable | AsyncIterable<Uint8Array>): AsyncIterator<unknown> {
  return source instanceof Readable
    ? source.iterator({ destroyOnReturn: false })
    : source[Symbol.asyncIterator]();
}

// A connection that breaks off under an upload is the client's doing and nobody's defect.
function sourceFault(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error) || !('code' in error)) return error;
  const brokenOff = ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ABORT_ERR'];
  return brokenOff.includes(String(error.code))
    ? new AppError('cancelled', 'The upload broke off', { cause: error })
    : error;
}
