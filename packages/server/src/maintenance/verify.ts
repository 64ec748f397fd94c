/**
 * Verifies a whole library: the database, every record, every byte of every original, every rung and every
 * cached rendition. It can repair derived data. It never changes an original, or anything that a client sent.
 */
import { createHash } from 'node:crypto';
import type { BlobStore } from '../blobs/store.ts';
import type { Ladders } from '../delivery/ladders.ts';
import type { DamagedRendition } from '../delivery/rendition-cache.ts';
import { type AppError, isAppError, throwIfFired } from '../errors.ts';
import { type Digest, type Image, isDigest } from '../image.ts';
import { type Rung, rungBlobName, rungsOf } from '../imaging/ladder.ts';
import type { Processor } from '../imaging/processor.ts';
import { inGroups } from './groups.ts';
import { findObstacle } from './installation.ts';
import type { MaintenanceRecords } from './records.ts';

/** Originals that are verified at the same time. */
const CONCURRENCY = 4;

export type FindingKind =
  | 'schema'
  | 'library'
  | 'database'
  | 'counters'
  | 'uses'
  | 'record'
  | 'analysis'
  | 'original-missing'
  | 'original-damaged'
  | 'rung-missing'
  | 'rung-damaged'
  | 'rendition-damaged';

/** A problem of the library. */
export interface Finding {
  readonly kind: FindingKind;
  readonly accountID?: string;
  readonly imageID?: string;
  readonly digest?: Digest;
  /** A sentence for operators. */
  readonly text: string;
  /** True if it was repaired, or if the file was removed and is made again on the next request. */
  readonly repaired: boolean;
}

export interface VerifyOptions {
  /** Makes derived data again: counters, uses, analyses, rungs, cached renditions. */
  readonly repair?: boolean;
  /** False: skips the decode of rungs, which takes most of the time. */
  readonly rungs?: boolean;
  /** Called after each original. */
  readonly onOriginal?: () => void;
  /** Stops the run with AppError `cancelled` or the reason of the signal. Running checks finish first. */
  readonly signal?: AbortSignal;
}

export interface VerificationDependencies {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly ladders: Ladders;
  /** The damaged files of the rendition cache on disk. */
  readonly damagedRenditions: () => AsyncIterable<DamagedRendition>;
}

export class Verification {
  readonly #records: MaintenanceRecords;
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #ladders: Ladders;
  readonly #damagedRenditions: VerificationDependencies['damagedRenditions'];

  constructor(dependencies: VerificationDependencies) {
    this.#records = dependencies.records;
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#ladders = dependencies.ladders;
    this.#damagedRenditions = dependencies.damagedRenditions;
  }

  /**
   * Yields each finding. A server may run at the same time; its changes are no findings.
   * @throws AppError `unavailable` if the database or the blobs cannot be read at all.
   */
  async *run(options: VerifyOptions = {}): AsyncGenerator<Finding> {
    const { repair = false, onOriginal, signal } = options;
    const obstacle = await findObstacle({ records: this.#records, blobs: this.#blobs });
    if (obstacle !== undefined) {
      yield { ...obstacle, repaired: false };
      return;
    }
    const damage = await this.#records.findDamage();
    for (const { text } of damage) yield { kind: 'database', text, repaired: false };
    if (damage.some(({ isReadable }) => !isReadable)) return;
    if (repair) await this.#blobs.undoUnfinishedRemovals();
    yield* this.#records.checkRecords({ repair, signal });
    for await (const groups of inGroups(this.#records.imagesByOriginal(), CONCURRENCY)) {
      throwIfFired(signal);
      const findings = await Promise.all(
        groups.map(async (images) => {
          const ofOriginal = await this.#verifyOriginal(images, options);
          onOriginal?.();
          return ofOriginal;
        }),
      );
      yield* findings.flat();
    }
    for await (const { digest, plan, drop } of this.#damagedRenditions()) {
      throwIfFired(signal);
      if (repair) await drop();
      const text = `the cached rendition ${plan} is damaged`;
      yield { kind: 'rendition-damaged', digest, text, repaired: repair };
    }
  }

  /** @param images all images with the same original. */
  async #verifyOriginal(images: readonly Image[], options: VerifyOptions): Promise<Finding[]> {
    const { repair = false, rungs = true, signal } = options;
    const [first] = images;
    if (first === undefined) return [];
    const { original } = first;
    // A malformed digest was reported by checkRecords. It cannot be the key of a blob.
    if (!isDigest(original.digest)) return [];
    const damage = await this.#damageOf(original.digest, signal);
    if (damage !== undefined) {
      // The image may have been replaced, and its original garbage-collected, since the record was read.
      if ((await this.#records.findUnreferenced([original.digest])).size > 0) return [];
      return images.map((image) => ({ ...damage, ...idsOf(image), repaired: false }));
    }
    const inconsistent = images.filter((image) => image.original.size !== original.size);
    const findings = inconsistent.map((image): Finding => {
      const text =
        `the record has a size of ${image.original.size} bytes, ` +
        `and another record of the same original has ${original.size}`;
      return { kind: 'record', ...idsOf(image), text, repaired: false };
    });
    const stored = await this.#blobs.statOriginal(original.digest);
    if (stored !== undefined && stored.size !== original.size) {
      const text = `the record has a size of ${original.size} bytes, and the original has ${stored.size}`;
      findings.push({ kind: 'record', ...idsOf(first), text, repaired: false });
    }
    return [
      ...findings,
      ...(repair ? await this.#analyse(images, signal) : []),
      ...(rungs ? await this.#verifyLadder(first, repair, signal) : []),
    ];
  }

  /**
   * Analyses an original of an earlier release, which the server does in the background too. So a missing
   * analysis is a finding only when it is repaired.
   */
  async #analyse(images: readonly Image[], signal: AbortSignal | undefined): Promise<Finding[]> {
    const unanalysed = images.filter((image) => image.original.analysis === undefined);
    const [first] = unanalysed;
    if (first === undefined) return [];
    const { digest } = first.original;
    try {
      const analyse = (path: string) => this.#processor.ingest(path, signal);
      const { inspection } = await this.#blobs.withOriginalFile(digest, analyse, signal);
      const { analysis, ...facts } = inspection;
      if (analysis === undefined) return [];
      await this.#records.storeAnalysis(digest, { ...facts, analysis });
      const text = 'the picture was not analysed';
      return unanalysed.map((image) => ({ kind: 'analysis', ...idsOf(image), text, repaired: true }));
    } catch (error) {
      if (!isAppError(error) || signal?.aborted) throw error;
      const text = `the picture cannot be analysed: ${reasonOf(error)}`;
      return unanalysed.map((image) => ({ kind: 'analysis', ...idsOf(image), text, repaired: false }));
    }
  }

  /** The damage of an original; undefined if its bytes have the digest. */
  async #damageOf(
    digest: Digest,
    signal: AbortSignal | undefined,
  ): Promise<Pick<Finding, 'kind' | 'text'> | undefined> {
    const hash = createHash('sha256');
    let size = 0;
    try {
      const blob = await this.#blobs.openOriginal(digest, signal);
      if (blob === undefined) return { kind: 'original-missing', text: 'the original is not stored' };
      for await (const chunk of blob.stream as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
      }
    } catch (error) {
      if (!isAppError(error) || signal?.aborted) throw error;
      // One unreadable original is a finding. If no blob can be read, the check throws.
      await this.#blobs.check(signal);
      return { kind: 'original-damaged', text: `the original cannot be read: ${reasonOf(error)}` };
    }
    const actual = hash.digest('hex');
    if (actual === digest) return undefined;
    return {
      kind: 'original-damaged',
      text: `the original is altered: its ${size} bytes have the digest ${actual}`,
    };
  }

  async #verifyLadder(image: Image, repair: boolean, signal: AbortSignal | undefined): Promise<Finding[]> {
    const { original } = image;
    const { digest } = original;
    const damaged: { rung: Rung; kind: 'rung-missing' | 'rung-damaged'; text: string }[] = [];
    for (const rung of rungsOf(original)) {
      const problem = await this.#problemOfRung(digest, rung, signal);
      if (problem === undefined) continue;
      const kind = problem === 'is missing' ? 'rung-missing' : 'rung-damaged';
      damaged.push({ rung, kind, text: `the rung ${rung.name} ${problem}` });
    }
    if (damaged.length === 0) return [];
    const findings = (isRepaired: (rung: Rung) => boolean): Finding[] =>
      damaged.map(({ rung, kind, text }) => ({ kind, ...idsOf(image), text, repaired: isRepaired(rung) }));
    if (!repair) return findings(() => false);
    // A damaged rung must not be delivered. If the rebuild fails, the next request rebuilds the ladder.
    for (const { rung } of damaged) await this.#blobs.dropRung(digest, rungBlobName(rung));
    await this.#ladders.rebuild(digest, original);
    const rebuilt = new Set<Rung>();
    for (const { rung } of damaged) {
      if (await this.#blobs.hasRung(digest, rungBlobName(rung))) rebuilt.add(rung);
    }
    return findings((rung) => rebuilt.has(rung));
  }

  /** The problem of a rung as the end of the sentence "the rung …"; undefined if there is none. */
  async #problemOfRung(
    digest: Digest,
    rung: Rung,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    try {
      const decoded = await this.#blobs.withRungFile(
        digest,
        rungBlobName(rung),
        (path) => this.#processor.ingest(path, signal),
        signal,
      );
      if (decoded === undefined) return 'is missing';
      const { width, height, format } = decoded.inspection;
      if (width === rung.width && height === rung.height && format === rung.format) return undefined;
      return `is a ${format} of ${width}x${height}, and not a ${rung.format} of ${rung.width}x${rung.height}`;
    } catch (error) {
      if (!isAppError(error) || signal?.aborted) throw error;
      if (error.code === 'invalid-image') return `does not decode: ${reasonOf(error)}`;
      await this.#blobs.check(signal);
      return `cannot be read: ${reasonOf(error)}`;
    }
  }
}

function idsOf({ accountID, imageID, original }: Image) {
  return { accountID, imageID, digest: original.digest };
}

function reasonOf(error: AppError): string {
  if (error.fields?.image !== undefined) return error.fields.image;
  return error.cause instanceof Error ? error.cause.message : error.message;
}
