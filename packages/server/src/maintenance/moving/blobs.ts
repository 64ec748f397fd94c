/**
 * Copies originals and rungs that a target lacks, and verifies those that it has. A listing shows which ones
 * are there, so a pass that has nothing to copy asks once for a thousand of them.
 */
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOfFile } from '../../blobs/file-digest.ts';
import type { StagedBlob } from '../../blobs/staging.ts';
import type { BlobStore, StoredOriginal, StoredRung } from '../../blobs/store.ts';
import { forEachConcurrently } from '../../concurrency/for-each-concurrently.ts';
import { isAppError, throwIfFired } from '../../errors.ts';
import { type Digest, MAX_ORIGINAL_BYTES } from '../../image.ts';
import type { MissingOriginal } from '../backup-format.ts';
import type { MoveRecords } from './records.ts';

/** Originals whose names and sizes are in memory at the same time, on average. */
const ORIGINALS_PER_SHARD = 20_000;

/** Milliseconds for which a blob is tried again while a store is away. */
const PATIENCE = 10 * 60 * 1_000;
/** The shortest and longest pause before another try, in milliseconds; doubled after each try. */
const MIN_PAUSE = 250;
const MAX_PAUSE = 5_000;

/** Reads of an original that breaks off. */
const READ_TRIES = 2;

type Original = Pick<StoredOriginal, 'digest' | 'size'>;

export interface CopyBlobsOptions {
  /** The records at the target. They say which blobs it needs. */
  readonly records: Pick<MoveRecords, 'originals'>;
  readonly source: BlobStore;
  readonly target: BlobStore;
  /** The expected number of originals. */
  readonly total: number;
  /** Blobs that are copied at the same time. */
  readonly concurrency: number;
  /** Called for each original that the target has now. */
  readonly onOriginal?: () => void;
  /** Called when a store does not answer, before another try. */
  readonly onRetry?: (error: Error) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface BlobChanges {
  originals: number;
  rungs: number;
  /** Bytes of both. */
  bytes: number;
  /** Originals that are missing or damaged at the source. */
  readonly missing: MissingOriginal[];
}

/**
 * Copies the originals that the target lacks, and the rungs of its originals. Each original is verified by
 * its digest while it is read, and by the checksum of the target when it is stored.
 */
export async function copyBlobs(options: CopyBlobsOptions): Promise<BlobChanges> {
  const changes: BlobChanges = { originals: 0, rungs: 0, bytes: 0, missing: [] };
  for (const prefix of shardsFor(options.total)) await copyShard(prefix, options, changes);
  return changes;
}

/** The beginnings of digests that together are all digests, so that each has some thousand originals. */
export function shardsFor(total: number): string[] {
  let shards = [''];
  const hex = [...'0123456789abcdef'];
  while (total / shards.length > ORIGINALS_PER_SHARD) {
    shards = shards.flatMap((shard) => hex.map((digit) => shard + digit));
  }
  return shards;
}

/** The sizes of the stored originals of a shard, by digest. */
export async function sizesOfOriginals(
  blobs: Pick<BlobStore, 'listOriginals'>,
  start: string,
  signal: AbortSignal | undefined,
): Promise<Map<Digest, number>> {
  const sizes = new Map<Digest, number>();
  for await (const { digest, size } of blobs.listOriginals({ start, signal })) sizes.set(digest, size);
  return sizes;
}

async function copyShard(prefix: string, options: CopyBlobsOptions, changes: BlobChanges): Promise<void> {
  const { records, source, target, concurrency, onOriginal, signal } = options;
  const stored = await sizesOfOriginals(target, prefix, signal);
  const needed = new Set<Digest>();
  await forEachConcurrently(records.originals(prefix), concurrency, async (original) => {
    needed.add(original.digest);
    if (stored.get(original.digest) !== original.size) await copyOriginal(original, options, changes);
    onOriginal?.();
  });
  stored.clear();

  const storedRungs = new Map<string, number>();
  for await (const rung of target.listRungs({ start: prefix, signal }))
    storedRungs.set(rungText(rung), rung.size);
  const lackingRungs = async function* () {
    for await (const rung of source.listRungs({ start: prefix, signal })) {
      if (needed.has(rung.digest) && storedRungs.get(rungText(rung)) !== rung.size) yield rung;
    }
  };
  await forEachConcurrently(lackingRungs(), concurrency, async (rung) => {
    const bytes = await copyRung(rung, options);
    // A rung that was removed since the listing can be made again.
    if (bytes === undefined) return;
    changes.rungs += 1;
    changes.bytes += bytes;
  });
}

function rungText({ digest, name }: Pick<StoredRung, 'digest' | 'name'>): string {
  return `${digest}/${name}`;
}

/** @param isDamaged the target has other bytes, perhaps with a checksum that belongs to the right ones. */
async function copyOriginal(
  { digest }: Original,
  options: CopyBlobsOptions,
  changes: BlobChanges,
  isDamaged = false,
): Promise<void> {
  const outcome = await whileUnavailable(options, () => tryCopy(digest, options, isDamaged));
  if (typeof outcome === 'string') changes.missing.push({ digest, reason: outcome });
  else {
    changes.originals += 1;
    changes.bytes += outcome;
  }
}

/**
 * @returns the number of bytes, or the reason why the source does not have the original.
 * @throws AppError `unavailable` if a store does not answer.
 */
async function tryCopy(
  digest: Digest,
  { source, target, signal }: CopyBlobsOptions,
  isDamaged: boolean,
): Promise<number | string> {
  let reason = '';
  for (let number = 1; number <= READ_TRIES; number += 1) {
    const blob = await source.openOriginal(digest, signal);
    if (blob === undefined) return 'it is not stored';
    let file: StagedBlob;
    try {
      file = await target.stage(blob.stream, { limit: MAX_ORIGINAL_BYTES, signal });
    } catch (error) {
      if (!isAppError(error) || signal?.aborted || error.code === 'storage-full') throw error;
      // If both stores answer, this original is at fault: it is truncated, or its block is damaged.
      await source.check(signal);
      await target.check(signal);
      reason = `it cannot be read: ${error.message}`;
      continue;
    } finally {
      blob.stream.destroy();
    }
    await using owned = file;
    if (owned.digest !== digest) return 'its bytes do not have the digest';
    await (isDamaged ? target.replaceOriginal(owned, signal) : target.storeOriginal(owned, signal));
    return owned.size;
  }
  return reason;
}

/** @returns the number of bytes; undefined if the source does not have the rung any more. */
function copyRung(
  { digest, name }: Pick<StoredRung, 'digest' | 'name'>,
  options: CopyBlobsOptions,
): Promise<number | undefined> {
  const { source, target, signal } = options;
  const store = async (path: string) => {
    const { size } = await stat(path);
    await target.storeRungFile(digest, name, { path, size }, signal);
    return size;
  };
  return whileUnavailable(options, () => source.withRungFile(digest, name, store, signal));
}

export interface VerifyBlobsOptions extends CopyBlobsOptions {
  /** Reads every original and every rung. Otherwise the checksums of the target count, if it has them. */
  readonly reads: boolean;
}

export interface BlobVerification {
  /** The numbers of blobs that were verified. */
  readonly originals: number;
  readonly rungs: number;
  /** Damaged blobs that were copied again. */
  readonly repaired: BlobChanges;
}

/**
 * Verifies every original of the target, by the checksum of the store or by its bytes. With `reads`, also
 * compares every rung with that of the source. Copies damaged ones again.
 */
export async function verifyBlobs(options: VerifyBlobsOptions): Promise<BlobVerification> {
  const { source, target, concurrency, reads, onOriginal, signal } = options;
  const repaired: BlobChanges = { originals: 0, rungs: 0, bytes: 0, missing: [] };
  let [originals, rungs] = [0, 0];
  await forEachConcurrently(target.listOriginals({ signal }), concurrency, async (original) => {
    const check = () => target.isOriginalIntact(original, { reads, signal });
    if (!(await whileUnavailable(options, check))) await copyOriginal(original, options, repaired, true);
    originals += 1;
    onOriginal?.();
  });
  if (!reads) return { originals, rungs, repaired };
  await forEachConcurrently(target.listRungs({ signal }), concurrency, async (rung) => {
    rungs += 1;
    const digestIn = (store: BlobStore) =>
      whileUnavailable(options, () => readRungDigest(rung, store, signal));
    const expected = await digestIn(source);
    // The source may have lost its rung. Both can be made again.
    if (expected === undefined || expected === (await digestIn(target))) return;
    repaired.bytes += (await copyRung(rung, options)) ?? 0;
    repaired.rungs += 1;
  });
  return { originals, rungs, repaired };
}

/**
 * @returns undefined if the rung is not stored, or its bytes are damaged.
 * @throws AppError `unavailable` if the store does not answer.
 */
async function readRungDigest(
  { digest, name }: Pick<StoredRung, 'digest' | 'name'>,
  store: BlobStore,
  signal: AbortSignal | undefined,
): Promise<Digest | undefined> {
  try {
    return await store.withRungFile(digest, name, digestOfFile, signal);
  } catch (error) {
    if (signal?.aborted || !isAppError(error, 'unavailable')) throw error;
    await store.check(signal);
    return undefined;
  }
}

/** Tries again while a store does not answer. */
async function whileUnavailable<T>(
  { onRetry, signal }: Pick<CopyBlobsOptions, 'onRetry' | 'signal'>,
  work: () => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  for (let pause = MIN_PAUSE; ; pause = Math.min(MAX_PAUSE, pause * 2)) {
    try {
      return await work();
    } catch (error) {
      const isPatient = performance.now() - startedAt < PATIENCE;
      if (!isPatient || signal?.aborted || !isAppError(error, 'unavailable')) throw error;
      onRetry?.(error);
      await delay(pause, undefined, { signal }).catch(() => throwIfFired(signal));
    }
  }
}
