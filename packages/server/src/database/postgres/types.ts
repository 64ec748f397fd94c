/**
 * The native types of PostgreSQL and their portable values. UUIDs are texts, bytes are lower-case hexadecimal
 * digits, and times are milliseconds since 1970. All other values stay as pg has them.
 *
 * Values are converted by the types that PostgreSQL reports, never by the names of columns. So the same
 * statements work on the schema of the first release, whose columns are texts and numbers.
 */

import { NIL_UUID } from '../../validation/uuid.ts';

const INT8 = 20;
const BYTEA = 17;
const TIMESTAMPTZ = 1184;
const UUID = 2950;

/** Reads the text form of a value. */
export type Reader = (text: string) => unknown;

/** The readers by the OIDs of types. */
export const READERS: ReadonlyMap<number, Reader> = new Map<number, Reader>([
  // Read as a number, because counters stay far below 2^53.
  [INT8, Number],
  [BYTEA, readBytes],
  [TIMESTAMPTZ, readTime],
  // An empty text is the `account_id` of audit entries of the server. Both are first in every order.
  [UUID, (text) => (text === NIL_UUID ? '' : text)],
]);

/** The writers by the OIDs of types. They return the text form; undefined for a value that the type lacks. */
export const WRITERS: ReadonlyMap<number, (value: unknown) => string | undefined> = new Map([
  [BYTEA, writeBytes],
  [TIMESTAMPTZ, writeTime],
  [UUID, writeUUID],
]);

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const BYTES = /^(?:[0-9a-f]{2})*$/;

function writeUUID(value: unknown): string | undefined {
  if (value === '') return NIL_UUID;
  const isUUID = typeof value === 'string' && CANONICAL_UUID.test(value) && value !== NIL_UUID;
  return isUUID ? value : undefined;
}

function writeBytes(value: unknown): string | undefined {
  return typeof value === 'string' && BYTES.test(value) ? `\\x${value}` : undefined;
}

/** Both settings of bytea_output: `\\x` and digits, or bytes of which some are escaped with octal digits. */
function readBytes(text: string): string {
  if (text.startsWith('\\x')) return text.slice(2);
  const unescaped = text.replace(/\\(\d{3}|\\)/g, (_, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8)),
  );
  return Buffer.from(unescaped, 'latin1').toString('hex');
}

/** Milliseconds that a Date can have. */
const MAX_TIME = 8.64e15;

function writeTime(value: unknown): string | undefined {
  if (typeof value !== 'number' || Number.isNaN(value)) return undefined;
  // Such a time is only a limit in a comparison, as in “all that ever expire”.
  if (Math.abs(value) > MAX_TIME) return value > 0 ? 'infinity' : '-infinity';
  const date = new Date(value);
  const year = date.getUTCFullYear();
  const rest = date.toISOString().slice(-'-00-00T00:00:00.000Z'.length);
  // There is no year 0: before year 1 is year 1 before Christ.
  if (year < 1) return `${String(1 - year).padStart(4, '0')}${rest} BC`;
  return `${String(year).padStart(4, '0')}${rest}`;
}

const TIME =
  /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?( BC)?$/;

/** The form of DateStyle ISO, in any time zone. */
function readTime(text: string): number {
  const match = TIME.exec(text);
  if (match === null) {
    if (text === 'infinity') return Number.POSITIVE_INFINITY;
    if (text === '-infinity') return Number.NEGATIVE_INFINITY;
    throw new TypeError('the setting DateStyle of PostgreSQL must be ISO');
  }
  const [, year, month, day, hour, minute, second, fraction = '', sign, ...offset] = match;
  const [hours = 0, minutes = 0, seconds = 0] = offset.slice(0, 3).map((part) => Number(part ?? 0));
  const microseconds = Number(fraction.padEnd(6, '0'));
  const date = new Date(0);
  date.setUTCFullYear(
    offset[3] === undefined ? Number(year) : 1 - Number(year),
    Number(month) - 1,
    Number(day),
  );
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  const shift = ((hours * 60 + minutes) * 60 + seconds) * 1_000;
  return date.getTime() - (sign === '-' ? -shift : shift) + Math.round(microseconds / 1_000);
}
