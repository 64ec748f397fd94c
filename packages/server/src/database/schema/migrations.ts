/**
 * The list of migrations. A released migration is never edited; a change is a new migration. Migrations run
 * on every database. Statements that differ come from the dialect.
 */
import type { Migration } from 'kysely/migration';
import type { MigrationDialect, ServedMigration } from './migration.ts';
import { initialMigration } from './migrations/0001-initial.ts';
import { accessMigration } from './migrations/0002-access.ts';
import { limitsMigration } from './migrations/0003-limits.ts';
import { catalogMigration } from './migrations/0004-catalog.ts';
import { focalPointsMigration } from './migrations/0005-focal-points.ts';
import { maintenanceMigration } from './migrations/0006-maintenance.ts';
import { libraryMigration } from './migrations/0007-library.ts';
import { productCategoriesMigration } from './migrations/0008-product-categories.ts';
import { imageFieldsMigration } from './migrations/0009-image-fields.ts';
import { eventsMigration } from './migrations/0010-events.ts';
import { collectionMigration } from './migrations/0011-collection.ts';
import { libraryStateMigration } from './migrations/0012-library-state.ts';
import { nativeTypesMigration } from './migrations/0012-native-types.ts';

/** Migrations by name. They are applied in the order of their names. */
export type Migrations = Readonly<Record<string, Migration | ServedMigration>>;

/** The migration since which a library may have a state. */
export const LIBRARY_STATE = '0012-library-state';

/** All migrations. A new one takes the next number, and stands in the second list. */
export function migrationsFor(dialect: MigrationDialect): Migrations {
  /** From before servers of two versions could share a library. */
  const earlier: Record<string, Migration> = {
    '0001-initial': initialMigration,
    '0002-access': accessMigration(dialect),
    '0003-limits': limitsMigration,
    '0004-catalog': catalogMigration,
    '0005-focal-points': focalPointsMigration,
    '0006-maintenance': maintenanceMigration,
    '0007-library': libraryMigration,
    '0008-product-categories': productCategoriesMigration,
    '0009-image-fields': imageFieldsMigration(dialect),
  };
  const served: Record<string, ServedMigration> = {
    '0010-events': eventsMigration(dialect),
    '0011-collection': collectionMigration,
    [LIBRARY_STATE]: libraryStateMigration,
    '0012-native-types': nativeTypesMigration(dialect),
  };
  return { ...earlier, ...served };
}

/** Migrations without which this version serves a library too. */
export const OPTIONAL_MIGRATIONS: ReadonlySet<string> = new Set(['0012-native-types']);

/** The names of all migrations, in order. */
export function migrationNames(): string[] {
  const noDialect: MigrationDialect = {
    appendOnly: () => [],
    codePointText: 'text',
    maintainUsed: [],
    indexSearchTexts: [],
    notifyImageChanges: [],
    nativeTypes: undefined,
  };
  return Object.keys(migrationsFor(noDialect)).sort();
}
