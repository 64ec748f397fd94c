/**
 * Maintenance of a whole library, all accounts together: what is checked and mended, and what is collected. Owns what counts
 * as damage, what may be made anew, and how long what nothing names is kept. Refuses to know SQL, pixels and terminals.
 * Never touches an original that something names. backup.ts and restore.ts have the copies.
 */
import { createHash } from 'node:crypto';
import { STALE_UPLOAD } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Ladders } from '../delivery/ladders.ts';
import type { DamagedRendition } from '../delivery/rendition-cache.ts';
import { AppError, isAppError, throwIfFired } from '../errors.ts';
import type { Digest, Image } from '../image.ts';
import { type Rung, rungBlobName, rungsOf } from '../imaging/ladder.ts';
import type { Processor } from '../imaging/processor.ts';
import { strangersBecause } from './installation.ts';
import type { MaintenanceRecords } from './records.ts';

/** How long what nothing names is kept, in milliseconds, unless somebody says otherwise. */
export const DEFAULT_GRACE = 24 * 60 * 60 * 1000;

/** How long it is remembered what was collected: longer than any upload that may have stored it before can take. */
const COLLECTED_MEMORY = 24 * 60 * 60 * 1000;

/** Originals that are looked at together: their records in one query, their files at the same time. */
const BATCH = 500;
const AT_ONCE = 4;

/** Rungs of a picture that is large enough for all: what is left to look at is guessed by it. */
const MOST_RUNGS = 2;

export type FindingKind =
  | 'schema'
  | 'library'
  | 'database'
  | 'counters'
  | 'uses'
  | 'record'
  | 'original-missing'
  | 'original-damaged'
  | 'rung-missing'
  | 'rung-damaged'
  | 'rendition-damaged';

/** Something that is not as it should be. */
export interface Finding {
  readonly kind: FindingKind;
  readonly accountID?: string;
  readonly imageID?: string;
  readonly digest?: Digest;
  /** A sentence for people. */
  readonly text: string;
  /** True if it was mended, or was dropped and will be made when it is asked for. */
  readonly repaired: boolean;
}

export interface VerifyOptions {
  /** Makes anew what is derived. Never touches originals, nor what anybody said. */
  readonly repair?: boolean;
  /** False: passes over the decoding of rungs, which takes most of the time. */
  readonly rungs?: boolean;
  /** Told of every original that was looked at. */
  readonly onOriginal?: () => void;
  /** Ends it, with AppError `cancelled` or the reason: what is looked at comes to its end, and nothing more is begun. */
  readonly signal?: AbortSignal;
}

export interface CollectOptions {
  /** Milliseconds for which something must have been named by nothing. */
  readonly grace?: number;
  /** Only says what would be collected. */
  readonly dryRun?: boolean;
  /** Told of every original that was collected, or would be. */
  readonly onOriginal?: (digest: Digest, size: number) => void;
  /** Told before all originals are looked at, and again before all rungs are; with how many there are, more or less. */
  readonly onStage?: (what: 'originals' | 'rungs', total: number) => void | Promise<void>;
  /** Told of each of them. */
  readonly onLooked?: () => void;
  /** Ends it, with AppError `cancelled` or the reason, between two originals. What was collected is. */
  readonly signal?: AbortSignal;
}

/** What was collected, or would be. */
export interface Collection {
  originals: number;
  rungs: number;
  /** Of both together. */
  bytes: number;
  stagedFiles: number;
  /** Originals that nothing names, but for less than the grace. */
  waiting: number;
}

export interface MaintenanceDependencies {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly ladders: Ladders;
  /** The damaged files of the cache of renditions on disk. */
  readonly damagedRenditions: () => AsyncIterable<DamagedRendition>;
  readonly now?: () => Date;
}

export class Maintenance {
  readonly #records: MaintenanceRecords;
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #ladders: Ladders;
  readonly #damagedRenditions: MaintenanceDependencies['damagedRenditions'];
  readonly #now: () => Date;

  constructor(dependencies: MaintenanceDependencies) {
    this.#records = dependencies.records;
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#ladders = dependencies.ladders;
    this.#damagedRenditions = dependencies.damagedRenditions;
    this.#now = dependencies.now ?? (() => new Date());
  }

  /**
   * Looks at everything: the database, every record, every byte of every original, every rung and cached rendition. Beside
   * a server that works, what changes in between is no finding.
   * @throws AppError `unavailable` if the database or the blobs cannot be read at all.
   */
  async *verify(options: VerifyOptions = {}): AsyncGenerator<Finding> {
    const { repair = false, onOriginal, signal } = options;
    const maintenance = this.#records;
    const obstacle = await this.#obstacle();
    if (obstacle !== undefined) {
      yield { ...obstacle, repaired: false };
      return;
    }
    const damage = await maintenance.findDamage();
    for (const { text } of damage) yield { kind: 'database', text, repaired: false };
    if (damage.some(({ isReadable }) => !isReadable)) return;
    if (repair) await this.#blobs.takeBackRemovals();
    yield* maintenance.checkRecords({ repair, signal });
    for await (const groups of inGroups(maintenance.imagesByOriginal(), AT_ONCE)) {
      throwIfFired(signal);
      const found = await Promise.all(
        groups.map(async (images) => {
          const findings = await this.#verifyOriginal(images, options);
          onOriginal?.();
          return findings;
        }),
      );
      yield* found.flat();
    }
    for await (const { digest, plan, drop } of this.#damagedRenditions()) {
      throwIfFired(signal);
      if (repair) await drop();
      const text = `the cached rendition ${plan} is damaged`;
      yield { kind: 'rendition-damaged', digest, text, repaired: repair };
    }
  }

  /** Why nothing that the records say, or do not say, may be held against these blobs. */
  async #obstacle(): Promise<Pick<Finding, 'kind' | 'text'> | undefined> {
    const { applied, known } = await this.#records.readMigrations();
    if (applied.at(-1) !== known.at(-1) || applied.length !== known.length) {
      const text = `the database has the schema ${applied.at(-1) ?? '(none)'} and this version needs ${known.at(-1)}: start the server once, or run the version that made it`;
      return { kind: 'schema', text };
    }
    const text = await strangersBecause({ records: this.#records, blobs: this.#blobs });
    return text === undefined ? undefined : { kind: 'library', text };
  }

  /** How many originals `verify` looks at, at most. */
  countOriginals(): Promise<number> {
    return this.#records.countImages();
  }

  /** @param images all of one original. */
  async #verifyOriginal(images: readonly Image[], options: VerifyOptions): Promise<Finding[]> {
    const { repair = false, rungs = true, signal } = options;
    const [first] = images;
    if (first === undefined) return [];
    const { original } = first;
    // What is no digest has been told as a record that cannot be, and has no place where bytes could be.
    if (!/^[0-9a-f]{64}$/.test(original.digest)) return [];
    const damage = await this.#damageOf(original.digest, signal);
    if (damage !== undefined) {
      // It may have been replaced, and collected, since the record was read.
      if ((await this.#records.findUnreferenced([original.digest])).size > 0) return [];
      return images.map((image) => ({ ...damage, ...nameOf(image), repaired: false }));
    }
    const wrong = images.filter((image) => image.original.size !== original.size);
    const findings = wrong.map((image): Finding => {
      const text = `the record says ${image.original.size} bytes, and another one of the same bytes ${original.size}`;
      return { kind: 'record', ...nameOf(image), text, repaired: false };
    });
    const stored = await this.#blobs.statOriginal(original.digest);
    if (stored !== undefined && stored.size !== original.size) {
      const text = `the record says ${original.size} bytes, and the original has ${stored.size}`;
      findings.push({ kind: 'record', ...nameOf(first), text, repaired: false });
    }
    return [...findings, ...(rungs ? await this.#verifyLadder(first, repair, signal) : [])];
  }

  /** What is wrong with the bytes of an original: nothing if every one is as it was uploaded. */
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
      // One that cannot be read is a finding; where nothing can, there is nothing to be found.
      await this.#blobs.check(signal);
      return { kind: 'original-damaged', text: `the original cannot be read: ${reasonOf(error)}` };
    }
    const found = hash.digest('hex');
    if (found === digest) return undefined;
    return {
      kind: 'original-damaged',
      text: `the original is altered: its ${size} bytes have the digest ${found}`,
    };
  }

  async #verifyLadder(image: Image, repair: boolean, signal: AbortSignal | undefined): Promise<Finding[]> {
    const { original } = image;
    const { digest } = original;
    const wrong: { rung: Rung; kind: 'rung-missing' | 'rung-damaged'; text: string }[] = [];
    for (const rung of rungsOf(original)) {
      const problem = await this.#problemOfRung(digest, rung, signal);
      if (problem === undefined) continue;
      const kind = problem === 'is missing' ? 'rung-missing' : 'rung-damaged';
      wrong.push({ rung, kind, text: `the rung ${rung.name} ${problem}` });
    }
    if (wrong.length === 0) return [];
    const findings = (repaired: (rung: Rung) => boolean): Finding[] =>
      wrong.map(({ rung, kind, text }) => ({ kind, ...nameOf(image), text, repaired: repaired(rung) }));
    if (!repair) return findings(() => false);
    // What cannot be made now is made when somebody needs it; but what is damaged must not be shown till then.
    for (const { rung } of wrong) await this.#blobs.dropRung(digest, rungBlobName(rung));
    await this.#ladders.rebuild(digest, original);
    const made = new Set<Rung>();
    for (const { rung } of wrong) {
      if (await this.#blobs.hasRung(digest, rungBlobName(rung))) made.add(rung);
    }
    return findings((rung) => made.has(rung));
  }

  /** Why a rung is not what the ladder says, to follow "the rung …". */
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
      return `cannot be looked at: ${reasonOf(error)}`;
    }
  }

  /**
   * Removes what nothing names, and has not for the grace: originals with their rungs, rungs without originals, what a
   * crash left in staging. However short the grace, and whatever is uploaded at the same time on whichever node, no image
   * loses its bytes: see MaintenanceRecords.garbageCollect.
   * @throws AppError `conflict` if a backup needs what is there (what was collected before stays so), or if the database
   * is not that of these blobs or has not the schema of this version.
   */
  async collect(options: CollectOptions = {}): Promise<Collection> {
    const { grace = DEFAULT_GRACE, dryRun = false, onOriginal, onStage, onLooked, signal } = options;
    const done: Collection = { originals: 0, rungs: 0, bytes: 0, stagedFiles: 0, waiting: 0 };
    const maintenance = this.#records;
    const obstacle = await this.#obstacle();
    if (obstacle !== undefined) throw new AppError('conflict', obstacle.text);
    if (!dryRun) await this.#blobs.takeBackRemovals();
    const now = this.#now().getTime();
    const isOld = (...times: (Date | undefined)[]) =>
      times.every((time) => time === undefined || now - time.getTime() >= grace);

    let looked = 0;
    await onStage?.('originals', await maintenance.countImages());
    for await (const batch of inGroups(this.#blobs.originals(signal), BATCH)) {
      const unnamed = await maintenance.findUnreferenced(batch.map(({ digest }) => digest));
      for (const { digest, size, storedOn } of batch) {
        throwIfFired(signal);
        looked += 1;
        onLooked?.();
        if (!unnamed.has(digest)) continue;
        if (!isOld(storedOn, unnamed.get(digest))) {
          done.waiting += 1;
          continue;
        }
        if (!dryRun && !(await this.#collectOriginal(digest))) continue;
        done.originals += 1;
        done.bytes += size;
        onOriginal?.(digest, size);
      }
    }
    // An original that is there was looked at above, and takes its rungs along.
    await onStage?.('rungs', looked * MOST_RUNGS);
    for await (const batch of inGroups(this.#blobs.rungs(signal), BATCH)) {
      const unnamed = await maintenance.findUnreferenced(batch.map(({ digest }) => digest));
      for (const { digest, name, size, storedOn } of batch) {
        throwIfFired(signal);
        onLooked?.();
        if (!unnamed.has(digest) || !isOld(storedOn)) continue;
        if ((await this.#blobs.statOriginal(digest)) !== undefined) continue;
        // If the same picture is uploaded right now, its ladder is made anew when it is missed.
        if (!dryRun) await this.#blobs.dropRung(digest, name);
        done.rungs += 1;
        done.bytes += size;
      }
    }
    const stale = new Date(now - Math.max(grace, STALE_UPLOAD));
    done.stagedFiles = await this.#blobs.sweepStaging(stale, dryRun);
    if (!dryRun) await maintenance.deleteMarkers(new Date(now - COLLECTED_MEMORY));
    return done;
  }

  /** True if it is gone; false if somebody wants it after all. */
  async #collectOriginal(digest: Digest): Promise<boolean> {
    const removal = this.#blobs.removalOf(digest);
    // Somebody else has removed it since it was listed.
    if (!(await removal.prepare())) return false;
    let outcome: Awaited<ReturnType<MaintenanceRecords['garbageCollect']>>;
    try {
      outcome = await this.#records.garbageCollect(digest, this.#now(), removal.remove);
    } catch (error) {
      // If that fails as well, the next collection does it.
      await removal.takeBack().catch(() => undefined);
      throw error;
    }
    if (outcome === 'collected') {
      await removal.finish();
      // Only now, when nobody who writes records waits for it. Whoever stored the bytes anew meanwhile keeps their rungs; if
      // they come between these two lines, the ladder is made anew when it is missed.
      const isBack = (await this.#blobs.statOriginal(digest)) !== undefined;
      if (!isBack) await this.#blobs.dropRungs(digest);
    } else await removal.takeBack();
    if (outcome !== 'paused') return outcome === 'collected';
    throw new AppError(
      'conflict',
      'a backup is being made and needs what is there: try again when it is done (or, if it was killed, in 15 minutes)',
    );
  }
}

function nameOf({ accountID, imageID, original }: Image) {
  return { accountID, imageID, digest: original.digest };
}

function reasonOf(error: AppError): string {
  if (error.fields?.image !== undefined) return error.fields.image;
  return error.cause instanceof Error ? error.cause.message : error.message;
}

async function* inGroups<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const item of items) {
    group.push(item);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
