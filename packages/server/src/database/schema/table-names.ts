/**
 * The names of the tables of a library. `kysely_migration` and the like are not among them.
 */
import type { Schema } from './tables.ts';

const NAMES: Readonly<Record<keyof Schema, true>> = {
  accounts: true,
  api_keys: true,
  api_key_accounts: true,
  key_secrets: true,
  tokens: true,
  audit: true,
  audit_heads: true,
  events: true,
  purges: true,
  images: true,
  image_tags: true,
  image_search: true,
  idempotency_keys: true,
  products: true,
  line_items: true,
  image_uses: true,
  collected_originals: true,
  collection_holds: true,
  collection_locks: true,
  collection_sweeps: true,
  collection_sweep_claims: true,
  unreferenced_originals: true,
  library: true,
};

export const TABLE_NAMES: ReadonlySet<string> = new Set(Object.keys(NAMES));
