/** Counts and digests of the rows of tables, to compare two databases. */
import { createHash } from 'node:crypto';
import { throwIfFired } from '../../errors.ts';
import type { MaintenanceRecords, TableRows } from '../records.ts';
import { canonicalRow } from './records.ts';

export interface TableDigest {
  readonly rows: number;
  /** The same for the same rows in any order, in any database. */
  readonly digest: string;
}

const MODULUS = 1n << 256n;

/** Takes the rows of tables in any order. */
export class TableDigests {
  readonly #sums = new Map<string, { rows: number; sum: bigint }>();

  add({ table, rows }: TableRows): void {
    const entry = this.#sums.get(table) ?? { rows: 0, sum: 0n };
    for (const row of rows) {
      const digest = createHash('sha256').update(canonicalRow(row)).digest('hex');
      // A sum does not depend on the order, which the databases do not share for texts.
      entry.sum = (entry.sum + BigInt(`0x${digest}`)) % MODULUS;
    }
    entry.rows += rows.length;
    this.#sums.set(table, entry);
  }

  /** By table. A table without rows is absent. */
  result(): Record<string, TableDigest> {
    return Object.fromEntries(
      [...this.#sums].map(([table, { rows, sum }]) => [
        table,
        { rows, digest: sum.toString(16).padStart(64, '0') },
      ]),
    );
  }
}

/** The digests of all tables of a sealed database. */
export function digestTables(
  records: Pick<MaintenanceRecords, 'snapshot'>,
  signal?: AbortSignal,
): Promise<Record<string, TableDigest>> {
  return records.snapshot(async (snapshot) => {
    const digests = new TableDigests();
    for await (const batch of snapshot.rows()) {
      throwIfFired(signal);
      digests.add(batch);
    }
    return digests.result();
  }, true);
}
