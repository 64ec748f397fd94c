/**
 * Keys that can be rotated, expire and be revoked; tokens; the audit trail. Existing keys keep their secrets.
 */
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { AnySchema, MigrationDialect } from '../migration.ts';

export function accessMigration(dialect: MigrationDialect): Migration {
  return {
    async up(db: AnySchema): Promise<void> {
      await db.schema.alterTable('accounts').addColumn('suspended_on', 'bigint').execute();
      for (const column of ['expires_on', 'last_used_on', 'revoked_on']) {
        await db.schema.alterTable('api_keys').addColumn(column, 'bigint').execute();
      }
      // For the list of an account's keys.
      await db.schema
        .createIndex('api_key_accounts_by_account')
        .on('api_key_accounts')
        .column('account_id')
        .execute();

      await db.schema
        .createTable('key_secrets')
        .addColumn('key_id', 'text', (column) =>
          column.notNull().references('api_keys.key_id').onDelete('cascade'),
        )
        .addColumn('digest', 'text', (column) => column.notNull())
        .addColumn('created_on', 'bigint', (column) => column.notNull())
        .addColumn('valid_until', 'bigint')
        .addPrimaryKeyConstraint('key_secrets_key', ['key_id', 'digest'])
        .execute();
      await sql`insert into key_secrets (key_id, digest, created_on)
        select key_id, secret_digest, created_on from api_keys`.execute(db);
      await db.schema.alterTable('api_keys').dropColumn('secret_digest').execute();

      await db.schema
        .createTable('tokens')
        .addColumn('token_id', 'text', (column) => column.primaryKey().notNull())
        .addColumn('family', 'text', (column) => column.notNull())
        .addColumn('kind', 'text', (column) => column.notNull())
        .addColumn('digest', 'text', (column) => column.notNull().unique())
        .addColumn('key_id', 'text', (column) =>
          column.notNull().references('api_keys.key_id').onDelete('cascade'),
        )
        .addColumn('secret_digest', 'text', (column) => column.notNull())
        .addColumn('grants', 'text', (column) => column.notNull())
        .addColumn('created_on', 'bigint', (column) => column.notNull())
        .addColumn('expires_on', 'bigint', (column) => column.notNull())
        .addColumn('used_on', 'bigint')
        .addColumn('revoked_on', 'bigint')
        .execute();
      await db.schema.createIndex('tokens_by_family').on('tokens').column('family').execute();
      await db.schema.createIndex('tokens_by_age').on('tokens').columns(['key_id', 'expires_on']).execute();

      await db.schema
        .createTable('audit')
        // Not a foreign key, because entries of the server have no account.
        .addColumn('account_id', 'text', (column) => column.notNull())
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .addColumn('happened_on', 'bigint', (column) => column.notNull())
        .addColumn('action', 'text', (column) => column.notNull())
        .addColumn('subject_id', 'text', (column) => column.notNull())
        .addColumn('actor', 'text', (column) => column.notNull())
        .addColumn('key_id', 'text')
        .addColumn('token_id', 'text')
        .addColumn('request_id', 'text')
        .addColumn('address', 'text')
        .addColumn('operator', 'text')
        .addColumn('digest_before', 'text')
        .addColumn('digest_after', 'text')
        .addColumn('details', 'text')
        .addPrimaryKeyConstraint('audit_key', ['account_id', 'sequence'])
        .execute();
      for (const statement of dialect.appendOnly('audit')) await sql.raw(statement).execute(db);

      await db.schema
        .createTable('audit_heads')
        .addColumn('account_id', 'text', (column) => column.primaryKey().notNull())
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .execute();
    },
  };
}
