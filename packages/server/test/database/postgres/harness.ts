/** The stores of one conformance test over PostgreSQL, or over a pooler in front of it. */
import { openPostgres, type PostgresOptions } from '../../../src/database/postgres/postgres.ts';
import type { MetadataHarness } from '../../conformance/metadata.ts';
import type { TestPostgres } from '../../support/postgres.ts';

/** @param through changes the address of a database, for example to that of a pooler. */
export async function createHarness(
  server: TestPostgres,
  through: (url: string) => string = (url) => url,
  options: Omit<PostgresOptions, 'url'> = {},
): Promise<MetadataHarness> {
  const open = (url: string, others: Omit<PostgresOptions, 'url'> = {}) =>
    openPostgres({ ...options, ...others, url: through(url) });
  const url = await server.createDatabase();
  const store = await open(url);
  const stores = [store];
  const openAnother = async (others?: Omit<PostgresOptions, 'url'>) => {
    const other = await open(url, others);
    stores.push(other);
    return other;
  };
  return {
    store,
    openAnother,
    async reopen() {
      stores.splice(stores.indexOf(store), 1);
      await store.close();
      return openAnother();
    },
    async openEmpty() {
      const other = await open(await server.createEmptyDatabase());
      stores.push(other);
      return other;
    },
    run: (statement) => server.query(url, statement),
    hasNativeTypes: true,
    async destroy() {
      for (const each of stores) await each.close();
    },
  };
}
