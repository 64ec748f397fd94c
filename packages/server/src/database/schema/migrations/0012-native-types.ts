/** Native types on PostgreSQL: UUIDs, bytes and times take half the space in indexes (docs/adr/0059). */
import type { AnySchema, MigrationDialect, ReportProgress, ServedMigration } from '../migration.ts';

export function nativeTypesMigration({ nativeTypes }: MigrationDialect): ServedMigration {
  return {
    servesFrom: nativeTypes === undefined ? '0009-image-fields' : '0012-native-types',
    takesLong: async (db: AnySchema) => (await nativeTypes?.isLarge(db)) === true,
    async online(db: AnySchema, report: ReportProgress): Promise<void> {
      await nativeTypes?.copy(db, report);
    },
    async up(db: AnySchema): Promise<void> {
      await nativeTypes?.convert(db);
    },
  };
}
