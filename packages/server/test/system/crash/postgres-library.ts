/**
 * A library whose records are in a real PostgreSQL: where they are, how they are read past the server, and when nothing
 * of a killed server is still at work on them.
 */
import type { TestPostgres } from '../../support/postgres.ts';
import type { Query } from './records.ts';

export interface PostgresLibrary {
  readonly url: string;
  readonly query: Query;
  /** A commit that was on its way when its server was killed may still be carried out: resolves when none is left. */
  readonly settled: () => Promise<void>;
}

/** The name by which the server's connections are known. */
const APPLICATION = 'vitrine';

export async function postgresLibrary(postgres: TestPostgres): Promise<PostgresLibrary> {
  const url = await postgres.createDatabase();
  const query: Query = (statement) => postgres.query(url, statement);
  const left = `select count(*) as n from pg_stat_activity
    where datname = current_database() and application_name = '${APPLICATION}'`;
  return {
    url,
    query,
    async settled() {
      while (Number((await query(left))[0]?.n) > 0) await new Promise(setImmediate);
    },
  };
}
