/**
 * Maintenance of a whole library with all its accounts: verification and garbage collection.
 * Backup and restore are in `backup.ts` and `restore.ts`.
 */
import { type CollectOptions, GarbageCollection } from './collect.ts';
import type { CollectionSummary } from './collection-run.ts';
import type { MaintenanceRecords } from './records.ts';
import { type Finding, Verification, type VerificationDependencies, type VerifyOptions } from './verify.ts';

export interface MaintenanceDependencies extends VerificationDependencies {
  readonly now?: () => Date;
  /** Removals of originals at the same time. 1 if absent. */
  readonly removalsAtOnce?: number;
}

export class Maintenance {
  readonly #records: MaintenanceRecords;
  readonly #verification: Verification;
  readonly #collection: GarbageCollection;

  constructor(dependencies: MaintenanceDependencies) {
    const { records, blobs, now = () => new Date(), removalsAtOnce = 1 } = dependencies;
    this.#records = records;
    this.#verification = new Verification(dependencies);
    this.#collection = new GarbageCollection({ records, blobs, now, removalsAtOnce });
  }

  /** See `Verification.run`. */
  verify(options?: VerifyOptions): AsyncGenerator<Finding> {
    return this.#verification.run(options);
  }

  /** The most originals that `verify` checks. */
  countOriginals(): Promise<number> {
    return this.#records.countImages();
  }

  /** See `GarbageCollection.run`. */
  collect(options?: CollectOptions): Promise<CollectionSummary> {
    return this.#collection.run(options);
  }
}
