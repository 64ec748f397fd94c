/** The MaintenanceRecords over any SQL database. Most methods call the other files of this folder. */
import type { Digest, Image } from '../../image.ts';
import type {
  AnalysedFacts,
  Candidate,
  CheckOptions,
  DatabaseDamage,
  LibraryState,
  MaintenanceRecords,
  NewCandidate,
  Snapshot,
  SweepOptions,
  SweepPosition,
  TableRows,
  TakeOptions,
} from '../../maintenance/records.ts';
import { BATCH_SIZE, type Database, scanInBatches, translateErrors } from '../dialect.ts';
import { joinBlobs } from '../moves/blobs-epoch.ts';
import { readIdentity } from '../moves/records.ts';
import { columnsOfFacts, type ImageRow, imageFromRow } from '../schema/tables.ts';
import {
  adoptReplacements,
  beginSweepPart,
  countCandidates,
  endSweepPart,
  findCandidates,
  forgetCandidate,
  listCandidates,
  recordCandidates,
  releaseCandidates,
  sweepPosition,
  takeCandidates,
} from './candidates.ts';
import { checkRecords } from './checks.ts';
import {
  deleteMarkers,
  findUnreferenced,
  garbageCollect,
  pauseCollection,
  resumeCollection,
} from './garbage.ts';
import { readSchema, restoreRecords, takeSnapshot } from './snapshots.ts';

export class SqlMaintenance implements MaintenanceRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  readSchema() {
    return readSchema(this.#database);
  }

  libraryID(): Promise<string | undefined> {
    return translateErrors(this.#database, async () => {
      const row = await this.#database.db.selectFrom('library').select('library_id').executeTakeFirst();
      return row?.library_id;
    });
  }

  libraryState(): Promise<LibraryState | undefined> {
    return translateErrors(this.#database, async () => (await readIdentity(this.#database.db))?.state);
  }

  joinBlobs(): Promise<void> {
    return joinBlobs(this.#database);
  }

  async nameLibrary(library_id: string): Promise<string> {
    await translateErrors(this.#database, () =>
      this.#database.db
        .insertInto('library')
        .values({ only_row: 1, library_id, state: null, blobs_epoch: null })
        .onConflict((conflict) => conflict.column('only_row').doNothing())
        .execute(),
    );
    return (await this.libraryID()) ?? library_id;
  }

  findDamage(): Promise<readonly DatabaseDamage[]> {
    return translateErrors(this.#database, () => this.#database.findDamage());
  }

  countImages(): Promise<number> {
    return translateErrors(this.#database, async () => {
      const { count } = await this.#database.db
        .selectFrom('accounts')
        .select(({ fn }) => fn.sum<number | string | null>('image_count').as('count'))
        .executeTakeFirstOrThrow();
      return Number(count ?? 0);
    });
  }

  async *imagesByOriginal(): AsyncGenerator<readonly Image[]> {
    let group: Image[] = [];
    for await (const rows of scanInBatches((last?: ImageRow) => this.#imagesAfter(last))) {
      for (const row of rows) {
        if (group.length > 0 && group[0]?.original.digest !== row.digest) {
          yield group;
          group = [];
        }
        group.push(imageFromRow(row));
      }
    }
    if (group.length > 0) yield group;
  }

  #imagesAfter({ digest, account_id } = { digest: '', account_id: '' }): Promise<ImageRow[]> {
    return translateErrors(this.#database, () =>
      this.#database.db
        .selectFrom('images')
        .selectAll()
        // The database uses the index for this condition. The second condition alone cannot use it.
        .where('digest', '>=', digest)
        .where((eb) => eb.or([eb('digest', '>', digest), eb('account_id', '>', account_id)]))
        .orderBy('digest')
        .orderBy('account_id')
        .limit(BATCH_SIZE)
        .execute(),
    );
  }

  unanalysedOriginals(after: Digest, limit: number): Promise<readonly Digest[]> {
    return translateErrors(this.#database, async () => {
      const rows = await this.#database.db
        .selectFrom('images')
        .select('digest')
        .distinct()
        .where('content', 'is', null)
        .where('digest', '>', after)
        .orderBy('digest')
        .limit(limit)
        .execute();
      return rows.map(({ digest }) => digest);
    });
  }

  storeAnalysis(digest: Digest, facts: AnalysedFacts): Promise<readonly string[]> {
    return translateErrors(this.#database, async () => {
      const rows = await this.#database.db
        .updateTable('images')
        .set(columnsOfFacts(facts))
        .where('digest', '=', digest)
        .where('content', 'is', null)
        .returning('public_id')
        .execute();
      return rows.map(({ public_id }) => public_id);
    });
  }

  checkRecords(options: CheckOptions) {
    return checkRecords(this.#database, options);
  }

  findUnreferenced(digests: readonly Digest[]): Promise<Map<Digest, Date | undefined>> {
    return findUnreferenced(this.#database, digests);
  }

  garbageCollect(digest: Digest, on: Date, remove: () => Promise<void>) {
    return garbageCollect(this.#database, digest, on, remove);
  }

  recordCandidates(candidates: readonly NewCandidate[]): Promise<void> {
    return recordCandidates(this.#database, candidates);
  }

  takeCandidates(options: TakeOptions): Promise<readonly Candidate[]> {
    return takeCandidates(this.#database, options);
  }

  releaseCandidates(runID: string): Promise<void> {
    return releaseCandidates(this.#database, runID);
  }

  forgetCandidate(candidate: Candidate): Promise<void> {
    return forgetCandidate(this.#database, candidate);
  }

  listCandidates(range: { readonly upTo?: Date; readonly after?: Date }) {
    return listCandidates(this.#database, range);
  }

  countCandidates(upTo: Date): Promise<number> {
    return countCandidates(this.#database, upTo);
  }

  findCandidates(digests: readonly Digest[]): Promise<Set<Digest>> {
    return findCandidates(this.#database, digests);
  }

  adoptReplacements(on: Date): Promise<boolean> {
    return adoptReplacements(this.#database, on);
  }

  sweepPosition(): Promise<SweepPosition> {
    return sweepPosition(this.#database);
  }

  beginSweepPart(options: SweepOptions): Promise<string | undefined> {
    return beginSweepPart(this.#database, options);
  }

  endSweepPart(prefix: string): Promise<void> {
    return endSweepPart(this.#database, prefix);
  }

  deleteMarkers(before: Date): Promise<void> {
    return deleteMarkers(this.#database, before);
  }

  pauseCollection(pauseID: string, until: Date): Promise<void> {
    return pauseCollection(this.#database, pauseID, until);
  }

  resumeCollection(pauseID: string): Promise<void> {
    return resumeCollection(this.#database, pauseID);
  }

  snapshot<T>(work: (snapshot: Snapshot) => Promise<T>, isSealed = false): Promise<T> {
    return takeSnapshot(this.#database, work, isSealed);
  }

  restore(schema: string, rows: AsyncIterable<TableRows>): Promise<void> {
    return restoreRecords(this.#database, schema, rows);
  }
}
