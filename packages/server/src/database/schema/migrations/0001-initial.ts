/** The first schema: accounts, keys, images and idempotency keys. */
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const initialMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .createTable('accounts')
      .addColumn('account_id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('display_name', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addColumn('image_quota', 'bigint')
      .addColumn('image_count', 'bigint', (column) => column.notNull())
      .addColumn('enabled_count', 'bigint', (column) => column.notNull())
      .execute();

    await db.schema
      .createTable('api_keys')
      .addColumn('public_key', 'text', (column) => column.primaryKey().notNull())
      .addColumn('key_id', 'text', (column) => column.notNull().unique())
      .addColumn('secret_digest', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('all_accounts', 'integer', (column) => column.notNull())
      .addColumn('scopes', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .execute();

    await db.schema
      .createTable('api_key_accounts')
      .addColumn('public_key', 'text', (column) =>
        column.notNull().references('api_keys.public_key').onDelete('cascade'),
      )
      .addColumn('position', 'integer', (column) => column.notNull())
      // Not a foreign key, because a key may name an account before it exists.
      .addColumn('account_id', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('api_key_accounts_key', ['public_key', 'position'])
      .execute();

    await db.schema
      .createTable('images')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('sequence', 'bigint', (column) => column.notNull())
      .addColumn('image_id', 'text', (column) => column.notNull())
      .addColumn('public_id', 'text', (column) => column.notNull().unique())
      .addColumn('digest', 'text', (column) => column.notNull())
      .addColumn('size', 'bigint', (column) => column.notNull())
      .addColumn('format', 'text', (column) => column.notNull())
      .addColumn('width', 'integer', (column) => column.notNull())
      .addColumn('height', 'integer', (column) => column.notNull())
      .addColumn('frames', 'integer', (column) => column.notNull())
      .addColumn('transparent', 'integer', (column) => column.notNull())
      .addColumn('alt_text', 'text')
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addColumn('updated_on', 'bigint', (column) => column.notNull())
      .addColumn('disabled_on', 'bigint')
      .addPrimaryKeyConstraint('images_key', ['account_id', 'sequence'])
      .addUniqueConstraint('images_image_id', ['account_id', 'image_id'])
      .addUniqueConstraint('images_digest', ['account_id', 'digest'])
      .execute();

    // Garbage collection looks up digests across accounts.
    await db.schema.createIndex('images_by_digest').on('images').column('digest').execute();

    await db.schema
      .createTable('idempotency_keys')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('key', 'text', (column) => column.notNull())
      .addColumn('fingerprint', 'text', (column) => column.notNull())
      .addColumn('image', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('idempotency_keys_key', ['account_id', 'key'])
      .execute();

    // For the removal of an account's expired keys, without a scan of its other keys.
    await db.schema
      .createIndex('idempotency_keys_by_age')
      .on('idempotency_keys')
      .columns(['account_id', 'created_on'])
      .execute();
  },
};
