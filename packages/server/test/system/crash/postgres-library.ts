/**
 * A library with its records in a real PostgreSQL, where the commits of a killed server may still finish.
 */
import type { TestPostgres } from '../../support/postgres.ts';
import type { Query } from './check/records.ts';

export interface PostgresLibrary {
  readonly url: string;
  readonly query: Query;
  /** Resolves when no session of a killed server is left, so that none of its commits can still happen. */
  readonly waitForSessions: () => Promise<void>;
}

/** The `application_name` of the server's connections. */
const APPLICATION = 'vitrine';

export async function createPostgresLibrary(postgres: TestPostgres): Promise<PostgresLibrary> {
  const url = await postgres.createDatabase();
  const query: Query = (statement) => postgres.query(url, statement);
  const countSessions = `select count(*) as n from pg_stat_activity
    where datname = current_database() and application_name = '${APPLICATION}'`;
  return {
    url,
    query,
    async waitForSessions() {
      while (Number((await query(countSessions))[0]?.n) > 0) await new Promise(setImmediate);
    },
  };
}
