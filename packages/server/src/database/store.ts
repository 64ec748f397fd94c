/**
 * The MetadataStore: the sum of the ports that the capabilities own. Each `records.ts` has the vocabulary of its part.
 * `test/conformance/metadata.ts` is this contract in executable form and runs whole against every database.
 *
 * Guarantees to every caller:
 * - A resolved promise means that the change is durable: it survives a crash of the process and of the machine.
 * - Races of duplicates, quotas and disabling are settled in one transaction, on this node and on others.
 *   A check before the change only saves work.
 * - Expected refusals are values (`kind`), so that forgetting one does not compile. Only faults are thrown:
 *   `AppError('unavailable')` if the database cannot be reached or is busy for too long, and
 *   `AppError('storage-full')` if it has no room.
 * - A search reads many records of one account. It waits in a fair queue, one account after the other.
 *   Beyond the account's limit it is `AppError('rate-limited')`. If its signal fires before it begins, it is
 *   `AppError('cancelled')`.
 * - Text comes back exactly as it was stored. Times are kept to the millisecond.
 */
import type { AccountRecords, AuditRecords, KeyRecords, TokenRecords } from '../access/records.ts';
import type { CatalogRecords } from '../catalog/records.ts';
import type { PublicImageRecords } from '../delivery/public-images.ts';
import type { ImageRecords } from '../images/records.ts';
import type { MaintenanceRecords } from '../maintenance/records.ts';

export interface MetadataStore extends ImageRecords, CatalogRecords, PublicImageRecords {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly audit: AuditRecords;
  readonly maintenance: MaintenanceRecords;

  /** Brings the schema to this version. Several processes may call it at once. A newer schema is refused. */
  migrate(): Promise<void>;
  /** Resolves if the records can be read and written now. Rejects with `cancelled` when the signal fires. */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
