/**
 * The MetadataStore: the sum of the ports that the capabilities own. Each `records.ts` has the vocabulary of
 * its part. `test/conformance/metadata.ts` tests this contract against every database.
 *
 * Guarantees to every caller:
 * - A resolved promise means that the change is durable: it survives a crash of the process and of the
 *   machine.
 * - Races of duplicates, quotas and disabling are settled in one transaction, on this node and on others.
 *   A check before the change only saves work.
 * - Expected refusals are values (`kind`), so that forgetting one does not compile. Only faults are thrown:
 *   `AppError('unavailable')` if the database cannot be reached or is busy for too long, and
 *   `AppError('storage-full')` if its disk is full.
 * - A search reads many records of one account. It waits in a fair queue, in which accounts take turns.
 *   Beyond the limit of the account it is `AppError('rate-limited')`. If its signal fires before it starts,
 *   it is `AppError('cancelled')`.
 * - Text is returned exactly as it was stored. Times have a precision of one millisecond.
 */
import type { AccountRecords, AuditRecords, KeyRecords, TokenRecords } from '../access/records.ts';
import type { CatalogRecords } from '../catalog/records.ts';
import type { ListenOptions, PublicImageRecords, RecordChanges } from '../delivery/records.ts';
import type { EventRecords, PurgeRecords } from '../events/records.ts';
import type { ImageRecords } from '../images/records.ts';
import type { MoveRecords } from '../maintenance/moving/records.ts';
import type { MaintenanceRecords } from '../maintenance/records.ts';
import type { MigrateOptions, MigrateOutcome } from './schema/migrate.ts';

export interface MetadataStore extends ImageRecords, CatalogRecords, PublicImageRecords {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly audit: AuditRecords;
  readonly events: EventRecords;
  readonly purges: PurgeRecords;
  readonly maintenance: MaintenanceRecords;
  readonly moves: MoveRecords;

  /**
   * Brings the schema to this version. Several processes may call it at once.
   * @throws AppError `unavailable` for a newer schema that this version cannot serve, and if other
   * transactions hold locks for too long.
   */
  migrate(options?: Omit<MigrateOptions, 'upTo'>): Promise<MigrateOutcome>;
  /**
   * Starts to hear the changes of all nodes, in the background. Undefined on SQLite, which cannot do it.
   */
  listen(options: ListenOptions): RecordChanges | undefined;
  /**
   * Checks that records can be read and written now.
   * @throws AppError `unavailable`; `cancelled` when the signal fires, but only after the running statement
   * has ended.
   */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
