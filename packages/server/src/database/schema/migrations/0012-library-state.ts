/** The state of a library that is being moved to another place, and the epoch of its blobs (ADR 64). */
import type { AnySchema, ServedMigration } from '../migration.ts';

/** Its name comes before the native types, which may wait for `vitrine migrate`. */
export const libraryStateMigration: ServedMigration = {
  // Earlier versions ignore the state. The seal that belongs to it refuses their writes.
  servesFrom: '0009-image-fields',
  async up(db: AnySchema): Promise<void> {
    for (const column of ['state', 'blobs_epoch']) {
      await db.schema.alterTable('library').addColumn(column, 'text').execute();
    }
  },
};
