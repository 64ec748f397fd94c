/**
 * The MoveRecords over any SQL database: the state and the seal of a library, and the rows of a target.
 *
 * The seal is a trigger on each table that refuses every change. So it holds for each process, also for one
 * that connects later. At a target each transaction opens the seal, writes and closes it. Other clients never
 * see it open, because both databases change triggers within transactions.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import { AppError, throwIfFired } from '../../errors.ts';
import {
  type CatchUpOptions,
  canonicalRow,
  type MoveRecords,
  type RecordChanges,
  type RowSource,
} from '../../maintenance/moving/records.ts';
import type { LibraryIdentity, LibraryState, Row, TableRows } from '../../maintenance/records.ts';
import { batchesOf, type Database, translateErrors } from '../dialect.ts';
import { LIBRARY_STATE } from '../schema/migrations.ts';
import type { Schema } from '../schema/tables.ts';
import {
  hasKeyOfAny,
  insertRows,
  keyText,
  PORTABLE_TABLES,
  readOriginals,
  readRowsByKey,
  readSchema,
  readTable,
  throwUnlessEmpty,
} from '../sql/snapshots.ts';

/** Rows of the source for which one transaction of the target stays open. */
const ROWS_PER_TRANSACTION = 20_000;

const SEAL_TRIES = 5;

export class SqlMoves implements MoveRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async identity(): Promise<LibraryIdentity | undefined> {
    const { applied } = await readSchema(this.#database);
    if (!applied.includes(LIBRARY_STATE)) return undefined;
    return translateErrors(this.#database, () => readIdentity(this.#database.db));
  }

  claim(libraryID: string, state: LibraryState & { kind: 'incoming' }): Promise<void> {
    return this.#transaction(async (trx) => {
      // Of this statement and a server that names its library at the same moment, one waits for the other.
      await trx
        .insertInto('library')
        .values({ only_row: 1, library_id: libraryID, state: JSON.stringify(state), blobs_epoch: null })
        .onConflict((conflict) => conflict.column('only_row').doNothing())
        .execute();
      const identity = await readIdentity(trx, this.#database.needsRowLocks);
      const stored = identity?.state;
      if (identity?.libraryID !== libraryID) {
        const text = `the target database belongs to another library, ${identity?.libraryID}: use an empty one`;
        throw new AppError('conflict', text);
      }
      if (stored === undefined || stored.kind === 'closed') {
        const text = `the target database is in use as this library already (${libraryID})`;
        throw new AppError('conflict', text);
      }
      await this.#close(trx);
      // After the seal, so that no command can add an account in between.
      if (stored.kind === 'incoming' && stored.runID === state.runID) await throwUnlessEmpty(trx);
      else await writeState(trx, state);
    });
  }

  async seal(state: LibraryState): Promise<void> {
    const seal = () =>
      this.#database.longTransaction(async (trx) => {
        await this.#close(trx);
        await writeState(trx, state);
      });
    await translateErrors(this.#database, async () => {
      for (let number = 1; ; number += 1) {
        try {
          return await seal();
        } catch (error) {
          // A deadlock with writers that lock the tables in another order.
          const isContention = this.#database.classifyError(error) === 'contention';
          if (!isContention || number === SEAL_TRIES) throw error;
        }
      }
    });
  }

  open({ excludesServers = false } = {}): Promise<void> {
    return this.#transaction(async (trx) => {
      await this.#open(trx);
      await trx
        .updateTable('library')
        .set({ state: null, ...(excludesServers && { blobs_epoch: randomUUID() }) })
        .execute();
    });
  }

  async catchUp(source: RowSource, { runID, onRows, signal }: CatchUpOptions): Promise<RecordChanges> {
    const changes: RecordChanges = { inserted: 0, updated: 0, deleted: 0 };
    const counts = new Map<string, number>();
    const batches = source.rows()[Symbol.asyncIterator]();
    try {
      for (let isDone = false; !isDone; ) {
        isDone = await this.#writeSealed(runID, async (trx) => {
          for (let rows = 0; rows < ROWS_PER_TRANSACTION; ) {
            throwIfFired(signal);
            const next = await batches.next();
            if (next.done) return true;
            const batch: TableRows = next.value;
            await applyRows(trx, batch, changes);
            counts.set(batch.table, (counts.get(batch.table) ?? 0) + batch.rows.length);
            rows += batch.rows.length;
            onRows?.(batch);
          }
          return false;
        });
      }
    } finally {
      await batches.return?.();
    }
    // Rows that refer to others go before them.
    await this.#writeSealed(runID, async (trx) => {
      for (const table of [...PORTABLE_TABLES].reverse()) {
        throwIfFired(signal);
        // The target has every row of the source now. With as many rows, it has no others.
        if ((await countRows(trx, table)) === (counts.get(table) ?? 0)) continue;
        changes.deleted += await deleteOthers(trx, table, source);
      }
    });
    return changes;
  }

  originals(prefix: string) {
    return readOriginals(this.#database.db, prefix);
  }

  /** Runs `work` in a transaction of the claimed target, with open tables. */
  #writeSealed<T>(runID: string, work: (trx: Transaction<Schema>) => Promise<T>): Promise<T> {
    return this.#transaction(async (trx) => {
      const { state } = (await readIdentity(trx, this.#database.needsRowLocks)) ?? {};
      if (state?.kind !== 'incoming' || state.runID !== runID) {
        throw new AppError('conflict', 'another run of "vitrine migrate" writes to this target now');
      }
      await this.#open(trx);
      const outcome = await work(trx);
      await this.#close(trx);
      return outcome;
    });
  }

  async #close(trx: Transaction<Schema>): Promise<void> {
    const { prepare, close } = this.#database.seal;
    for (const statement of [...prepare, ...PORTABLE_TABLES.flatMap(close)]) await statement.execute(trx);
  }

  async #open(trx: Transaction<Schema>): Promise<void> {
    const { open } = this.#database.seal;
    for (const statement of PORTABLE_TABLES.flatMap(open)) await statement.execute(trx);
  }

  #transaction<T>(work: (trx: Transaction<Schema>) => Promise<T>): Promise<T> {
    return translateErrors(this.#database, () => this.#database.longTransaction(work));
  }
}

/** See MoveRecords. @param locks locks the row until the end of the transaction. */
export async function readIdentity(db: Kysely<Schema>, locks = false): Promise<LibraryIdentity | undefined> {
  const row = await db
    .selectFrom('library')
    .select(['library_id', 'state'])
    .$if(locks, (query) => query.forUpdate())
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { library_id: libraryID, state } = row;
  return { libraryID, ...(state !== null && { state: JSON.parse(state) as LibraryState }) };
}

async function writeState(trx: Transaction<Schema>, state: LibraryState): Promise<void> {
  await trx
    .updateTable('library')
    .set({ state: JSON.stringify(state) })
    .execute();
}

/** Inserts the rows that are missing, and replaces those that differ. */
async function applyRows(
  trx: Transaction<Schema>,
  { table, rows }: TableRows,
  changes: RecordChanges,
): Promise<void> {
  const stored = await readRowsByKey(trx, table, rows);
  const missing: Row[] = [];
  const different: Row[] = [];
  for (const row of rows) {
    const current = stored.get(keyText(table, row));
    if (current === undefined) missing.push(row);
    else if (canonicalRow(current) !== canonicalRow(row)) different.push(row);
  }
  if (table === 'images') await freeDigests(trx, [...missing, ...different]);
  if (different.length > 0) {
    if (table === 'audit') throw foreignEntries();
    await insertRows(trx, { table, rows: different }, true);
  }
  await insertRows(trx, { table, rows: missing });
  changes.inserted += missing.length;
  changes.updated += different.length;
}

/**
 * Gives other images of the target that have the digests of these another digest. Two images may have
 * exchanged their files since the last pass, and the account may have each digest once only. The rows of the
 * others differ from the source, so they come later in the pass and get their own digest.
 */
async function freeDigests(trx: Transaction<Schema>, rows: readonly Row[]): Promise<void> {
  const wanted = new Map(rows.map((row) => [`${row.account_id} ${row.digest}`, row.sequence]));
  for (const batch of batchesOf(rows)) {
    const holders = await trx
      .selectFrom('images')
      .select(['account_id', 'sequence', 'digest'])
      .where('digest', 'in', [...new Set(batch.map(({ digest }) => String(digest)))])
      .execute();
    for (const { account_id, sequence, digest } of holders) {
      const owner = wanted.get(`${account_id} ${digest}`);
      if (owner === undefined || owner === sequence) continue;
      await trx
        .updateTable('images')
        .set({ digest: randomBytes(32).toString('hex') })
        .where('account_id', '=', account_id)
        .where('sequence', '=', sequence)
        .execute();
    }
  }
}

/** Deletes the rows that the source does not have. @returns their number. */
async function deleteOthers(trx: Transaction<Schema>, table: string, source: RowSource): Promise<number> {
  let count = 0;
  for await (const { rows } of readTable(trx, table)) {
    const others = await source.findAbsent(table, rows);
    if (others.length === 0) continue;
    if (table === 'audit') throw foreignEntries();
    await sql`delete from ${sql.table(table)} where ${hasKeyOfAny(table, others)}`.execute(trx);
    count += others.length;
  }
  return count;
}

async function countRows(trx: Transaction<Schema>, table: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(
    trx,
  );
  return Number(rows[0]?.count ?? 0);
}

/** The audit trail is append-only, so the target was in use after it was copied. */
function foreignEntries(): AppError {
  return new AppError(
    'conflict',
    'the target has entries in its audit trail that the source does not have, so it was in use: ' +
      'use an empty database',
  );
}
