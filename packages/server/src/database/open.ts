/**
 * Opens the configured database, for the server and for the command line.
 * It loads only the driver of that database, which keeps the start short.
 */
import type { MetadataStore } from './store.ts';

/** The kind of database and its location. */
export type DatabaseConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string };

/**
 * Opens the database as it is. Call `migrate` to bring its schema to this version.
 * @throws AppError `unavailable`.
 */
export async function openMetadata(database: DatabaseConfig): Promise<MetadataStore> {
  if (database.kind === 'postgres') {
    const { openPostgres } = await import('./postgres/postgres.ts');
    return openPostgres({ url: database.url });
  }
  const { openSqlite } = await import('./sqlite/sqlite.ts');
  return openSqlite({ path: database.path });
}
