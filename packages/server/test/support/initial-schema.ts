/**
 * A database of the first version: its exact schema and a few records, for tests of later migrations.
 * Do not edit it. A released schema does not change.
 */

export const ACCOUNTS = {
  withImages: '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb',
  empty: '0f0e0d0c-0b0a-4908-8706-050403020100',
} as const;

/** A public key and the digest of its secret. */
export const KEY = { publicKey: 'first', secretDigest: 'ab'.repeat(32) } as const;

/** Sizes in bytes of the originals of `withImages`: two enabled images and a disabled one. */
export const SIZES = { first: 16_777_216, second: 5_000, disabled: 300 } as const;

const image = (sequence: number, size: number, disabledOn: string) => `insert into images values (
  '${ACCOUNTS.withImages}', ${sequence}, '7cec5bd3-6340-4de4-a923-bf6ec0f7e92${sequence}', 'public_id_no_________${sequence}',
  '${String(sequence).repeat(64)}', ${size}, 'png', 10, 20, 1, 0, 'alt ${sequence}', 1000, 2000, ${disabledOn})`;

/** Statements for both SQLite and PostgreSQL. */
export const INITIAL_DATABASE: readonly string[] = [
  `create table "kysely_migration" ("name" varchar(255) not null primary key, "timestamp" varchar(255) not null)`,
  `create table "kysely_migration_lock" ("id" varchar(255) not null primary key, "is_locked" integer default 0 not null)`,
  `create table "accounts" ("account_id" text not null primary key, "display_name" text not null, "created_on" bigint not null, "image_quota" bigint, "image_count" bigint not null, "enabled_count" bigint not null)`,
  `create table "api_keys" ("public_key" text not null primary key, "key_id" text not null unique, "secret_digest" text not null, "name" text not null, "all_accounts" integer not null, "scopes" text not null, "created_on" bigint not null)`,
  `create table "api_key_accounts" ("public_key" text not null references "api_keys" ("public_key") on delete cascade, "position" integer not null, "account_id" text not null, constraint "api_key_accounts_key" primary key ("public_key", "position"))`,
  `create table "images" ("account_id" text not null references "accounts" ("account_id"), "sequence" bigint not null, "image_id" text not null, "public_id" text not null unique, "digest" text not null, "size" bigint not null, "format" text not null, "width" integer not null, "height" integer not null, "frames" integer not null, "transparent" integer not null, "alt_text" text, "created_on" bigint not null, "updated_on" bigint not null, "disabled_on" bigint, constraint "images_key" primary key ("account_id", "sequence"), constraint "images_image_id" unique ("account_id", "image_id"), constraint "images_digest" unique ("account_id", "digest"))`,
  `create index "images_by_digest" on "images" ("digest")`,
  `create table "idempotency_keys" ("account_id" text not null references "accounts" ("account_id"), "key" text not null, "fingerprint" text not null, "image" text not null, "created_on" bigint not null, constraint "idempotency_keys_key" primary key ("account_id", "key"))`,
  `create index "idempotency_keys_by_age" on "idempotency_keys" ("account_id", "created_on")`,
  `insert into kysely_migration values ('0001-initial', '2026-11-01T00:00:00.000Z')`,
  `insert into kysely_migration_lock values ('migration_lock', 0)`,
  `insert into accounts values ('${ACCOUNTS.withImages}', 'Holding', 500, null, 3, 2)`,
  `insert into accounts values ('${ACCOUNTS.empty}', 'Empty', 600, 7, 0, 0)`,
  `insert into api_keys values ('${KEY.publicKey}', 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11', '${KEY.secretDigest}', 'A key', 1, '["images.read"]', 700)`,
  image(1, SIZES.first, 'null'),
  image(2, SIZES.second, 'null'),
  image(3, SIZES.disabled, '3000'),
];
