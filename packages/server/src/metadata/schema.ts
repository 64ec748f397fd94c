/**
 * Owns the tables as TypeScript sees them, and the one mapping between their rows and the entities.
 * Refuses to know how the tables come to be (migrations.ts) and what is asked of them (sql.ts, images.ts).
 *
 * Columns are text and whole numbers only, because these behave alike in SQLite and PostgreSQL: times are
 * milliseconds since 1970, truth is 0 or 1, lists are JSON.
 */
import type { Account, ApiKey, DisablePolicy, Scope } from '../account.ts';
import type { Image, ImageFormat } from '../image.ts';
import { fold } from '../text.ts';
import type { ImageUseRow, LineItemsRow, ProductRow } from './catalog-schema.ts';

export interface Schema {
  accounts: AccountRow;
  api_keys: ApiKeyRow;
  api_key_accounts: ApiKeyAccountRow;
  images: ImageRow;
  idempotency_keys: IdempotencyKeyRow;
  products: ProductRow;
  line_items: LineItemsRow;
  image_uses: ImageUseRow;
}

/**
 * The row is also the lock of its account: every transaction that adds, replaces or disables an image locks it
 * first, so the counters are always exact.
 */
export interface AccountRow {
  account_id: string;
  display_name: string;
  created_on: number;
  /** Null: the server's default. */
  image_quota: number | null;
  /** Images in all, and the `sequence` of the newest. */
  image_count: number;
  /** Images that are not disabled. */
  enabled_count: number;
  disable_policy: DisablePolicy;
}

export interface ApiKeyRow {
  public_key: string;
  key_id: string;
  secret_digest: string;
  name: string;
  /** 1: the key may act for every account; its rows in `api_key_accounts` are then none. */
  all_accounts: number;
  /** JSON list of scopes. */
  scopes: string;
  created_on: number;
}

export interface ApiKeyAccountRow {
  public_key: string;
  /** Keeps the accounts in the order they were given. */
  position: number;
  account_id: string;
}

export interface ImageRow {
  account_id: string;
  /**
   * 1 for the account's first image, 2 for its second, and so on. There are no gaps, because images are disabled
   * and never deleted; so a page of the list is a range of this column, however deep. Whoever makes images
   * deletable must number them anew or page otherwise.
   */
  sequence: number;
  image_id: string;
  public_id: string;
  digest: string;
  size: number;
  format: string;
  width: number;
  height: number;
  frames: number;
  transparent: number;
  alt_text: string | null;
  /** The alt text as it is searched. */
  folded_alt_text: string | null;
  created_on: number;
  updated_on: number;
  disabled_on: number | null;
}

export interface IdempotencyKeyRow {
  account_id: string;
  key: string;
  fingerprint: string;
  /** JSON of the ImageRow as it was when the upload was answered. */
  image: string;
  created_on: number;
}

export function accountFromRow(row: AccountRow): Account {
  return {
    accountID: row.account_id,
    displayName: row.display_name,
    createdOn: new Date(row.created_on),
    ...(row.image_quota === null ? {} : { imageQuota: row.image_quota }),
    ...(row.disable_policy === 'allow' ? {} : { disablePolicy: row.disable_policy }),
  };
}

export function rowFromAccount(account: Account): AccountRow {
  return {
    account_id: account.accountID,
    display_name: account.displayName,
    created_on: account.createdOn.getTime(),
    image_quota: account.imageQuota ?? null,
    image_count: 0,
    enabled_count: 0,
    disable_policy: account.disablePolicy ?? 'allow',
  };
}

export function keyFromRow(row: ApiKeyRow, accounts: readonly string[]): ApiKey {
  return {
    keyID: row.key_id,
    publicKey: row.public_key,
    secretDigest: row.secret_digest,
    name: row.name,
    accounts: row.all_accounts === 1 ? 'all' : accounts,
    scopes: JSON.parse(row.scopes) as Scope[],
    createdOn: new Date(row.created_on),
  };
}

export function rowFromKey(key: ApiKey): ApiKeyRow {
  return {
    public_key: key.publicKey,
    key_id: key.keyID,
    secret_digest: key.secretDigest,
    name: key.name,
    all_accounts: key.accounts === 'all' ? 1 : 0,
    scopes: JSON.stringify(key.scopes),
    created_on: key.createdOn.getTime(),
  };
}

export function imageFromRow(row: ImageRow): Image {
  return {
    imageID: row.image_id,
    accountID: row.account_id,
    publicID: row.public_id,
    ...(row.alt_text === null ? {} : { altText: row.alt_text }),
    createdOn: new Date(row.created_on),
    updatedOn: new Date(row.updated_on),
    ...(row.disabled_on === null ? {} : { disabledOn: new Date(row.disabled_on) }),
    original: {
      digest: row.digest,
      size: row.size,
      format: row.format as ImageFormat,
      width: row.width,
      height: row.height,
      frames: row.frames,
      transparent: row.transparent === 1,
    },
  };
}

/** The columns that describe the original: what a replacement changes as a whole. */
export function columnsOfOriginal(original: Image['original']) {
  return {
    digest: original.digest,
    size: original.size,
    format: original.format,
    width: original.width,
    height: original.height,
    frames: original.frames,
    transparent: original.transparent ? 1 : 0,
  };
}

/** The columns that an alt text fills: as it is, and as it is searched. */
export function columnsOfAltText(altText: string | undefined) {
  return {
    alt_text: altText ?? null,
    folded_alt_text: altText === undefined ? null : fold(altText),
  };
}
