/**
 * Opens the configured database, for the server and for the command line.
 * It loads only the driver of that database, which keeps the start short.
 */
import type { WarnLog } from '../telemetry/log.ts';
import type { MetadataStore } from './store.ts';

/** The kind of database and its location. */
export type DatabaseConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  | {
      readonly kind: 'postgres';
      readonly url: string;
      /** The most connections for requests. */
      readonly connections?: number;
    };

export interface OpenOptions {
  /** Gets a line when PostgreSQL is away, and when it answers again. */
  readonly log?: WarnLog;
  /** True: changes that public links show add a purge of caches. */
  readonly purges?: boolean;
}

/**
 * Opens the database as it is. Call `migrate` to bring its schema to this version.
 * @throws AppError `unavailable`.
 */
export async function openMetadata(
  database: DatabaseConfig,
  { log, purges = false }: OpenOptions = {},
): Promise<MetadataStore> {
  if (database.kind === 'postgres') {
    const { openPostgres } = await import('./postgres/postgres.ts');
    return openPostgres({ ...database, log, purges });
  }
  const { openSqlite } = await import('./sqlite/sqlite.ts');
  return openSqlite({ path: database.path, purges });
}
