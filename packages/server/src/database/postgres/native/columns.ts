/**
 * The native types of columns, by their names: a name has the same type in every table. Columns that are not
 * here keep the type that the portable migrations give them.
 */

import { NIL_UUID } from '../../../validation/uuid.ts';

export type NativeType = 'uuid' | 'bytea' | 'timestamptz' | 'code points';

const COLUMNS: Readonly<Record<NativeType, readonly string[]>> = {
  uuid: [
    'account_id',
    'image_id',
    'product_id',
    'line_items_id',
    'key_id',
    'token_id',
    'family',
    'subject_id',
  ],
  bytea: ['digest', 'secret_digest', 'digest_before', 'digest_after'],
  timestamptz: [
    'created_on',
    'updated_on',
    'disabled_on',
    'suspended_on',
    'expires_on',
    'last_used_on',
    'revoked_on',
    'used_on',
    'valid_until',
    'happened_on',
    'collected_on',
    'held_until',
    'unreferenced_on',
    'completed_on',
    'not_before',
  ],
  // A comparison of bytes. The rules of a language are slower, and mean nothing for random characters.
  'code points': ['public_id'],
};

const TYPES = new Map(
  Object.entries(COLUMNS).flatMap(([type, names]) => names.map((name) => [name, type as NativeType])),
);

/** The native type of a column. @param type its type before: only texts and whole numbers are converted. */
export function nativeTypeOf(name: string, type: string): NativeType | undefined {
  const native = TYPES.get(name);
  if (native === undefined) return undefined;
  return type === (native === 'timestamptz' ? 'bigint' : 'text') ? native : undefined;
}

/** The type in a definition of a column. */
export function definitionOf(type: NativeType): string {
  return type === 'code points' ? 'text collate "C"' : type;
}

const NIL = `'${NIL_UUID}'`;

/** The expression of the native value. An empty text is the nil UUID: audit entries of the server. */
export function converted(type: NativeType | undefined, value: string): string {
  switch (type) {
    case undefined:
    case 'code points':
      return value;
    case 'uuid':
      return `(case when ${value} = '' then ${NIL} else ${value} end)::uuid`;
    case 'bytea':
      return `decode(${value}, 'hex')`;
    case 'timestamptz':
      return `(timestamptz 'epoch' + ${value} * interval '1 millisecond')`;
  }
}

/** The condition of values that have no native form. */
export function isUnconvertible(type: NativeType | undefined, value: string): string | undefined {
  switch (type) {
    case 'uuid':
      return `${value} !~ '^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$'`;
    case 'bytea':
      return `${value} !~ '^([0-9a-f]{2})*$'`;
    case 'timestamptz':
      return `abs(${value}) > 8640000000000000`;
    default:
      return undefined;
  }
}
