/**
 * The row types of the tables, and the mapping between rows and entities. The migrations make the tables.
 *
 * Columns are only texts and whole numbers, because these behave alike in SQLite and PostgreSQL. Times are
 * milliseconds since 1970, booleans are 0 or 1, lists are JSON.
 */
import type { Account, AccountSet, ApiKey, DisablePolicy, KeySecret, Scope } from '../../access/account.ts';
import type { Actor, AuditAction, AuditEntry, NewAuditEntry } from '../../access/audit.ts';
import type { StoredToken, Token, TokenPair } from '../../access/records.ts';
import type { Analysis, Description, Image, ImageFormat, Visibility } from '../../image.ts';
import { foldForSearch } from '../../validation/text.ts';
import type { ImageUseRow, LineItemsRow, ProductRow } from './catalog-tables.ts';
import type {
  CollectedOriginalRow,
  CollectionHoldRow,
  CollectionLockRow,
  CollectionSweepClaimRow,
  CollectionSweepRow,
  UnreferencedOriginalRow,
} from './collection-tables.ts';

export interface Schema {
  accounts: AccountRow;
  api_keys: ApiKeyRow;
  api_key_accounts: ApiKeyAccountRow;
  key_secrets: KeySecretRow;
  tokens: TokenRow;
  audit: AuditRow;
  audit_heads: AuditHeadRow;
  events: EventRow;
  purges: PurgeRow;
  images: ImageRow;
  image_tags: ImageTagRow;
  image_search: ImageSearchRow;
  idempotency_keys: IdempotencyKeyRow;
  products: ProductRow;
  line_items: LineItemsRow;
  image_uses: ImageUseRow;
  collected_originals: CollectedOriginalRow;
  collection_holds: CollectionHoldRow;
  collection_locks: CollectionLockRow;
  collection_sweeps: CollectionSweepRow;
  collection_sweep_claims: CollectionSweepClaimRow;
  unreferenced_originals: UnreferencedOriginalRow;
  library: LibraryRow;
}

/**
 * The row is also the lock of its account. Every transaction that adds, replaces or disables an image locks
 * it first, so the counters are always exact.
 */
export interface AccountRow {
  account_id: string;
  display_name: string;
  created_on: number;
  suspended_on: number | null;
  /** Null: the default of the server. */
  image_quota: number | null;
  /** The number of images, which is also the `sequence` of the newest one. */
  image_count: number;
  /** The number of images that are not disabled. */
  enabled_count: number;
  /** Null: the default of the server. 0: no limit. */
  byte_quota: number | null;
  /** The bytes of the originals of images that are not disabled. */
  byte_count: number;
  disable_policy: DisablePolicy;
}

export interface ApiKeyRow {
  public_key: string;
  key_id: string;
  name: string;
  /** 1: the key may act for every account, and has no rows in `api_key_accounts`. */
  all_accounts: number;
  /** JSON list of scopes. */
  scopes: string;
  created_on: number;
  expires_on: number | null;
  last_used_on: number | null;
  revoked_on: number | null;
}

export interface KeySecretRow {
  key_id: string;
  digest: string;
  created_on: number;
  /** Null: the newest secret, which has no end. */
  valid_until: number | null;
}

export interface TokenRow {
  token_id: string;
  family: string;
  kind: string;
  digest: string;
  key_id: string;
  /** The digest of the secret with which the token was requested. */
  secret_digest: string;
  /** JSON list of pairs: a scope and its accounts. */
  grants: string;
  created_on: number;
  expires_on: number;
  used_on: number | null;
  revoked_on: number | null;
}

export interface AuditRow {
  /** Empty: the server as a whole. */
  account_id: string;
  sequence: number;
  happened_on: number;
  action: string;
  subject_id: string;
  actor: string;
  key_id: string | null;
  token_id: string | null;
  request_id: string | null;
  address: string | null;
  operator: string | null;
  digest_before: string | null;
  digest_after: string | null;
  /** JSON object. */
  details: string | null;
}

/**
 * The `sequence` of the newest entry, and that of the newest event. The row is also the lock for adding the
 * next ones.
 */
export interface AuditHeadRow {
  account_id: string;
  sequence: number;
  event_sequence: number;
}

/** An event of an account. Old events are removed. */
export interface EventRow {
  account_id: string;
  /** Counts the events of the account: 1, 2, 3, without gaps, in the order of the commits. */
  sequence: number;
  type: string;
  created_on: number;
  /** JSON object. */
  data: string;
}

/** An image whose public links caches still have to drop. See sql/purges.ts. */
export interface PurgeRow {
  purge_id: string;
  public_id: string;
  created_on: number;
  /** The end of a claim, or of the pause after a failure. */
  not_before: number;
  attempts: number;
}

export interface ApiKeyAccountRow {
  public_key: string;
  /** The index of the account in the list of the key. */
  position: number;
  account_id: string;
}

/** A tag of an image, folded without regard to case. Derived from `images.tags`. */
export interface ImageTagRow {
  account_id: string;
  tag: string;
  sequence: number;
}

/** The texts of an image in which a search looks. Derived from `images`. */
export interface ImageSearchRow {
  account_id: string;
  sequence: number;
  /** The folded alt text, file name and tags, each on a line, and two empty lines at the end. */
  content: string;
}

export interface ImageRow {
  account_id: string;
  /**
   * 1 for the account's first image, 2 for its second, and so on. There are no gaps, because images are
   * disabled and never deleted. So each page of the list is a range of this column. If images become
   * deletable, paging must change.
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
  /** Whether there is an alt text. An index with the text itself would be too large. */
  has_alt_text: number;
  /** Millionths of the width and height, from the left and top. Both are null or neither is. */
  focal_x: number | null;
  focal_y: number | null;
  file_name: string | null;
  /** The start of the folded file name. An image without a name has the last code point. */
  sort_name: string;
  /** JSON list of texts. */
  tags: string;
  version: number;
  visibility: string;
  /** The analysis of the original: its three columns are null until it is analysed. */
  content: string | null;
  placeholder: string | null;
  color: string | null;
  /** Whether a product or line item shows the image. Triggers on `image_uses` maintain it. */
  used: number;
  created_on: number;
  updated_on: number;
  disabled_on: number | null;
}

export interface IdempotencyKeyRow {
  account_id: string;
  key: string;
  fingerprint: string;
  /** JSON of the ImageRow as it was in the answer to the upload. */
  image: string;
  created_on: number;
}

/** The ID of this library. See maintenance/installation.ts. */
export interface LibraryRow {
  only_row: 1;
  library_id: string;
  /** JSON of a LibraryState: see maintenance/moving/records.ts. Null: the library is in use here. */
  state: string | null;
  /** Another text after each move of the blobs alone. A server that knows another one adds no originals. */
  blobs_epoch: string | null;
}

export function accountFromRow(row: AccountRow): Account {
  return {
    accountID: row.account_id,
    displayName: row.display_name,
    createdOn: new Date(row.created_on),
    ...(row.suspended_on === null ? {} : { suspendedOn: new Date(row.suspended_on) }),
    ...(row.image_quota === null ? {} : { imageQuota: row.image_quota }),
    ...(row.byte_quota === null ? {} : { byteQuota: row.byte_quota }),
    ...(row.disable_policy === 'allow' ? {} : { disablePolicy: row.disable_policy }),
  };
}

export function rowFromAccount(account: Account): AccountRow {
  return {
    account_id: account.accountID,
    display_name: account.displayName,
    created_on: account.createdOn.getTime(),
    suspended_on: account.suspendedOn?.getTime() ?? null,
    image_quota: account.imageQuota ?? null,
    image_count: 0,
    enabled_count: 0,
    byte_quota: account.byteQuota ?? null,
    byte_count: 0,
    disable_policy: account.disablePolicy ?? 'allow',
  };
}

export function keyFromRow(row: ApiKeyRow, accounts: readonly string[]): ApiKey {
  return {
    keyID: row.key_id,
    publicKey: row.public_key,
    name: row.name,
    accounts: row.all_accounts === 1 ? 'all' : accounts,
    scopes: JSON.parse(row.scopes) as Scope[],
    createdOn: new Date(row.created_on),
    ...(row.expires_on === null ? {} : { expiresOn: new Date(row.expires_on) }),
    ...(row.last_used_on === null ? {} : { lastUsedOn: new Date(row.last_used_on) }),
    ...(row.revoked_on === null ? {} : { revokedOn: new Date(row.revoked_on) }),
  };
}

export function rowFromKey(key: ApiKey): ApiKeyRow {
  return {
    public_key: key.publicKey,
    key_id: key.keyID,
    name: key.name,
    all_accounts: key.accounts === 'all' ? 1 : 0,
    scopes: JSON.stringify(key.scopes),
    created_on: key.createdOn.getTime(),
    expires_on: key.expiresOn?.getTime() ?? null,
    last_used_on: key.lastUsedOn?.getTime() ?? null,
    revoked_on: key.revokedOn?.getTime() ?? null,
  };
}

export function secretFromRow(row: Omit<KeySecretRow, 'key_id'>): KeySecret {
  return {
    digest: row.digest,
    createdOn: new Date(row.created_on),
    ...(row.valid_until === null ? {} : { validUntil: new Date(row.valid_until) }),
  };
}

export function tokenFromRow(row: TokenRow): Omit<StoredToken, 'owner'> {
  return {
    tokenID: row.token_id,
    kind: row.kind as StoredToken['kind'],
    digest: row.digest,
    grants: new Map(JSON.parse(row.grants) as [Scope, AccountSet][]),
    expiresOn: new Date(row.expires_on),
    family: row.family,
    secretDigest: row.secret_digest,
    ...(row.used_on === null ? {} : { usedOn: new Date(row.used_on) }),
    ...(row.revoked_on === null ? {} : { revokedOn: new Date(row.revoked_on) }),
  };
}

export function rowFromToken(token: Token, pair: TokenPair): TokenRow {
  return {
    token_id: token.tokenID,
    family: pair.family,
    kind: token.kind,
    digest: token.digest,
    key_id: pair.keyID,
    secret_digest: pair.secretDigest,
    grants: JSON.stringify([...token.grants]),
    created_on: pair.createdOn.getTime(),
    expires_on: token.expiresOn.getTime(),
    used_on: null,
    revoked_on: null,
  };
}

export function rowFromAudit(account_id: string, sequence: number, entry: NewAuditEntry): AuditRow {
  const { by } = entry;
  return {
    account_id,
    sequence,
    happened_on: entry.on.getTime(),
    action: entry.action,
    subject_id: entry.subjectID,
    actor: by.kind,
    key_id: by.kind === 'key' ? by.keyID : null,
    token_id: by.kind === 'key' ? (by.tokenID ?? null) : null,
    request_id: by.kind === 'key' ? by.requestID : null,
    address: by.kind === 'key' ? by.address : null,
    operator: by.kind === 'operator' ? by.name : null,
    digest_before: entry.before ?? null,
    digest_after: entry.after ?? null,
    details: entry.details === undefined ? null : JSON.stringify(entry.details),
  };
}

export function auditFromRow(row: AuditRow): AuditEntry {
  return {
    ...(row.account_id === '' ? {} : { accountID: row.account_id }),
    sequence: row.sequence,
    on: new Date(row.happened_on),
    by: actorFromRow(row),
    action: row.action as AuditAction,
    subjectID: row.subject_id,
    ...(row.digest_before === null ? {} : { before: row.digest_before }),
    ...(row.digest_after === null ? {} : { after: row.digest_after }),
    ...(row.details === null ? {} : { details: JSON.parse(row.details) as Record<string, unknown> }),
  };
}

function actorFromRow(row: AuditRow): Actor {
  if (row.actor === 'operator') return { kind: 'operator', name: row.operator ?? '' };
  if (row.actor === 'server') return { kind: 'server' };
  return {
    kind: 'key',
    keyID: row.key_id ?? '',
    ...(row.token_id === null ? {} : { tokenID: row.token_id }),
    requestID: row.request_id ?? '',
    address: row.address ?? '',
  };
}

/**
 * The row of an idempotency key: the image as it was in the first answer. An earlier release may have written
 * it, before there were some of the columns.
 */
export type RememberedRow = Partial<ImageRow> &
  Pick<
    ImageRow,
    | 'account_id'
    | 'image_id'
    | 'public_id'
    | 'digest'
    | 'size'
    | 'format'
    | 'width'
    | 'height'
    | 'frames'
    | 'transparent'
    | 'alt_text'
    | 'created_on'
    | 'updated_on'
    | 'disabled_on'
  >;

export function imageFromRow(row: RememberedRow): Image {
  return {
    imageID: row.image_id,
    accountID: row.account_id,
    publicID: row.public_id,
    ...(row.alt_text === null ? {} : { altText: row.alt_text }),
    ...(typeof row.focal_x === 'number' &&
      typeof row.focal_y === 'number' && {
        focalPoint: { x: row.focal_x / FOCAL_UNIT, y: row.focal_y / FOCAL_UNIT },
      }),
    ...(row.file_name && { fileName: row.file_name }),
    tags: JSON.parse(row.tags ?? '[]') as string[],
    version: row.version ?? 1,
    visibility: (row.visibility ?? 'public') as Visibility,
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
      ...analysisFromRow(row),
    },
  };
}

function analysisFromRow({ content, placeholder, color }: RememberedRow): { analysis?: Analysis } {
  if (!content || !placeholder || !color) return {};
  return { analysis: { content: content as Analysis['content'], placeholder, color } };
}

/** The columns of the original. A replacement changes all of them. */
export function columnsOfOriginal(original: Image['original']) {
  return {
    digest: original.digest,
    size: original.size,
    format: original.format,
    ...columnsOfFacts(original),
  };
}

/** The columns of what a decode shows. */
export function columnsOfFacts({
  width,
  height,
  frames,
  transparent,
  analysis,
}: Pick<Image['original'], 'width' | 'height' | 'frames' | 'transparent' | 'analysis'>) {
  const { content = null, placeholder = null, color = null } = analysis ?? {};
  return { width, height, frames, transparent: transparent ? 1 : 0, content, placeholder, color };
}

/** Parts of a side. A focal point is stored as a whole number of them. */
const FOCAL_UNIT = 1_000_000;

/** The columns of a description. The last two are absent if the description does not change them. */
export function columnsOfDescription(description: Description) {
  const { altText, focalPoint, tags = [], fileName, visibility } = description;
  return {
    alt_text: altText ?? null,
    has_alt_text: altText === undefined ? 0 : 1,
    focal_x: focalPoint ? Math.round(focalPoint.x * FOCAL_UNIT) : null,
    focal_y: focalPoint ? Math.round(focalPoint.y * FOCAL_UNIT) : null,
    tags: JSON.stringify(tags),
    ...(fileName !== undefined && { file_name: fileName, sort_name: sortNameOf(fileName) }),
    ...(visibility !== undefined && { visibility }),
  };
}

/** The last code point, which no name contains: images without a name are last. */
const NO_NAME = '\u{10ffff}';

/**
 * The longest `sort_name`, in UTF-16 units. Folding can make a name eighteen times longer, and an index of
 * PostgreSQL takes 2 700 bytes.
 */
const MAX_SORT_NAME = 200;

export function sortNameOf(fileName: string | null): string {
  if (fileName === null) return NO_NAME;
  return foldForSearch(fileName).slice(0, MAX_SORT_NAME).toWellFormed();
}
