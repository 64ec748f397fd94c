/**
 * The MaintenanceRecords over any SQL database: which statement is in which file. Refuses to know dialects.
 */
import type { Digest, Image } from '../../image.ts';
import type {
  CheckOptions,
  DatabaseDamage,
  MaintenanceRecords,
  Snapshot,
  TableRows,
} from '../../maintenance/records.ts';
import { type Database, guarded } from '../dialect.ts';
import { type ImageRow, imageFromRow } from '../schema/tables.ts';
import { checkRecords } from './checks.ts';
import {
  collectOriginal,
  forgetCollected,
  holdOriginals,
  releaseOriginals,
  unnamedDigests,
} from './garbage.ts';
import { readSchema, restoreRecords, takeSnapshot } from './snapshots.ts';

const BATCH = 500;

export class SqlMaintenance implements MaintenanceRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  schema() {
    return readSchema(this.#database);
  }

  libraryID(): Promise<string | undefined> {
    return guarded(this.#database, async () => {
      const row = await this.#database.db.selectFrom('library').select('library_id').executeTakeFirst();
      return row?.library_id;
    });
  }

  async nameLibrary(library_id: string): Promise<string> {
    await guarded(this.#database, () =>
      this.#database.db
        .insertInto('library')
        .values({ only_row: 1, library_id })
        .onConflict((conflict) => conflict.column('only_row').doNothing())
        .execute(),
    );
    return (await this.libraryID()) ?? library_id;
  }

  damage(): Promise<readonly DatabaseDamage[]> {
    return guarded(this.#database, () => this.#database.damage());
  }

  countImages(): Promise<number> {
    return guarded(this.#database, async () => {
      const { count } = await this.#database.db
        .selectFrom('accounts')
        .select(({ fn }) => fn.sum<number | string | null>('image_count').as('count'))
        .executeTakeFirstOrThrow();
      return Number(count ?? 0);
    });
  }

  async *imagesByOriginal(): AsyncGenerator<readonly Image[]> {
    let group: Image[] = [];
    for (let after = { digest: '', account_id: '' }; ; ) {
      const rows = await guarded(this.#database, () => this.#imagesAfter(after));
      for (const row of rows) {
        if (group.length > 0 && group[0]?.original.digest !== row.digest) {
          yield group;
          group = [];
        }
        group.push(imageFromRow(row));
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last;
    }
    if (group.length > 0) yield group;
  }

  #imagesAfter({ digest, account_id }: Pick<ImageRow, 'digest' | 'account_id'>): Promise<ImageRow[]> {
    return (
      this.#database.db
        .selectFrom('images')
        .selectAll()
        // The first condition is the one that an index is read by.
        .where('digest', '>=', digest)
        .where((eb) => eb.or([eb('digest', '>', digest), eb('account_id', '>', account_id)]))
        .orderBy('digest')
        .orderBy('account_id')
        .limit(BATCH)
        .execute()
    );
  }

  checkRecords(options: CheckOptions) {
    return checkRecords(this.#database, options);
  }

  unnamed(digests: readonly Digest[]): Promise<Map<Digest, Date | undefined>> {
    return unnamedDigests(this.#database, digests);
  }

  collect(digest: Digest, on: Date, remove: () => Promise<void>) {
    return collectOriginal(this.#database, digest, on, remove);
  }

  forgetCollected(before: Date): Promise<void> {
    return forgetCollected(this.#database, before);
  }

  hold(holdID: string, until: Date): Promise<void> {
    return holdOriginals(this.#database, holdID, until);
  }

  release(holdID: string): Promise<void> {
    return releaseOriginals(this.#database, holdID);
  }

  snapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    return takeSnapshot(this.#database, work);
  }

  restore(schema: string, rows: AsyncIterable<TableRows>): Promise<void> {
    return restoreRecords(this.#database, schema, rows);
  }
}
