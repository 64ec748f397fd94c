/** The result codes of SQLite, and how to find them in errors. */

// Primary result codes. An extended code has its primary one in the low byte.
export const BUSY = 5;
export const LOCKED = 6;
export const READONLY = 8;
export const IOERR = 10;
const CORRUPT = 11;
export const FULL = 13;
export const CANTOPEN = 14;
const NOTADB = 26;

// Extended result codes.
export const CONSTRAINT_PRIMARYKEY = 1_555;
export const CONSTRAINT_TRIGGER = 1_811;
export const CONSTRAINT_UNIQUE = 2_067;

/** The extended result code of an error of node:sqlite, or of a thread; undefined for other errors. */
export function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

/** The primary result code of an error; undefined for errors that are not of SQLite. */
export function primaryCode(error: unknown): number | undefined {
  const code = resultCode(error);
  return code === undefined ? undefined : code & 0xff;
}

/** True if the file is damaged, or is not a database. */
export function isDamage(error: unknown): boolean {
  const code = primaryCode(error);
  return code === CORRUPT || code === NOTADB;
}
