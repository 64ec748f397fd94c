/** A focal point for each image, in millionths of a side. */
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const focalPointsMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    for (const column of ['focal_x', 'focal_y']) {
      await db.schema.alterTable('images').addColumn(column, 'integer').execute();
    }
  },
};
