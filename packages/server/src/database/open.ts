/**
 * Opens the database that a configuration names: for the server, and for the command line beside it. Only what is used
 * is loaded, since a start should not wait for a driver of another database.
 */
import type { MetadataStore } from './store.ts';

/** Where records live. */
export type DatabaseConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string };

/** The schema is `migrate`'s to make. @throws AppError `unavailable`. */
export async function openMetadata(database: DatabaseConfig): Promise<MetadataStore> {
  if (database.kind === 'postgres') {
    const { openPostgres } = await import('./postgres.ts');
    return openPostgres({ url: database.url });
  }
  const { openSqlite } = await import('./sqlite/sqlite.ts');
  return openSqlite({ path: database.path });
}
