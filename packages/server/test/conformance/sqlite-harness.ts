/**
 * The harness of the metadata suite over SQLite files in a temporary folder.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';

/**
 * @param subfolder the path of the files below the temporary folder; the store creates it.
 * @param wrap replaces each opened store, such as with an observed one.
 */
export async function createSqliteHarness({
  subfolder = '',
  wrap = (store: MetadataStore) => store,
} = {}): Promise<MetadataHarness> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-sqlite-'));
  const pathOf = (name: string) => join(folder, subfolder, name);
  const stores: MetadataStore[] = [];
  const open = async (name = 'vitrine.db', options = {}) => {
    const store = wrap(await openSqlite({ path: pathOf(name), ...options }));
    stores.push(store);
    return store;
  };
  const store = await open();
  await store.migrate();
  return {
    store,
    openAnother: (options) => open('vitrine.db', options),
    openEmpty: () => open('unused.db'),
    async reopen() {
      await store.close();
      return open();
    },
    hasNativeTypes: false,
    async run(statement) {
      const other = new DatabaseSync(pathOf('vitrine.db'));
      try {
        other.exec(statement);
      } finally {
        other.close();
      }
    },
    async destroy() {
      for (const each of stores) await each.close();
      await rm(folder, { recursive: true });
    },
  };
}
