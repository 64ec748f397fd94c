/**
 * Owns how SQLite's result codes are found in errors. Refuses to know what is done about them.
 */

// Primary result codes; an extended code has its primary one in the low byte.
const CORRUPT = 11;
const NOTADB = 26;

/** The extended result code of an error of node:sqlite, or of the threads; undefined: it is another error. */
export function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

/** True if the error says that the file is damaged, or is no database. */
export function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && [CORRUPT, NOTADB].includes(code & 0xff);
}
