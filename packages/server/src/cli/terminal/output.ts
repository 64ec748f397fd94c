/**
 * The output formats of all commands: lines for one record, and JSON for scripts. table.ts has the lists.
 */

/** Characters that change the reading direction of the text after them. */
const DIRECTION_MARKS = '\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069';
const DIRECTION_MARK = new RegExp(`[${DIRECTION_MARKS}]`, 'g');

/** Characters that JSON may contain unescaped, and that can control a terminal. */
const UNSAFE_IN_JSON = new RegExp(`[\\u007f-\\u009f\\u2028\\u2029${DIRECTION_MARKS}]`, 'g');

/** JSON as a result of a command. */
export function formatJSON(value: unknown): string {
  return `${stringifyJSON(value, 2)}\n`;
}

/** JSON whose texts cannot control a terminal. It has the same value as that of JSON.stringify. */
export function stringifyJSON(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    UNSAFE_IN_JSON,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A number with its noun, such as "1 original" and "2 originals". */
export function formatCount(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

/** One record, with a line for each field. Undefined fields have no line. */
export function formatRecord(fields: Readonly<Record<string, string | number | undefined>>): string {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${sanitizeLine(String(value))}\n`).join('');
}

/** The text on one line, without control characters and without marks that change the reading direction. */
export function sanitizeLine(text: string): string {
  return text.replace(DIRECTION_MARK, '').replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}
