/**
 * How records are read out of parsed JSON: their texts, dates, numbers and lists, and a type for records with dates. Looks
 * only at what this client or its callers rely on. Refuses to know any record, and how an answer came.
 */

/** A record of the wire in which these texts are dates. */
export type WithDates<Wire, Times extends keyof Wire> = {
  [Key in keyof Wire]: Key extends Times ? Exclude<Wire[Key], string> | Date : Wire[Key];
};

/** A reader of lists of what another reads. Its TypeErrors are those of the other, or that it is no array. */
export function listOf<Item>(read: (data: unknown) => Item): (data: unknown) => Item[] {
  return (data) => readArray(data, 'an array').map((item) => read(item));
}

/** Parsed JSON that must be an array. @throws TypeError naming what was expected. */
export function readArray(data: unknown, what: string): unknown[] {
  if (Array.isArray(data)) return data;
  throw new TypeError(`${what} was expected`);
}

/** Parsed JSON that must be an object. @throws TypeError naming what was expected. */
export function readObject(data: unknown, what: string): Record<string, unknown> {
  if (typeof data === 'object' && data !== null && !Array.isArray(data))
    return data as Record<string, unknown>;
  throw new TypeError(`${what} was expected`);
}

/** @throws TypeError naming the field. */
export function readText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`${field} must be a string`);
}

/** @throws TypeError naming the field. */
export function readNumber(value: unknown, field: string): number {
  if (typeof value === 'number') return value;
  throw new TypeError(`${field} must be a number`);
}

/** An RFC 3339 text as a date. @throws TypeError naming the field. */
export function readDate(value: unknown, field: string): Date {
  const date = new Date(readText(value, field));
  if (!Number.isNaN(date.getTime())) return date;
  throw new TypeError(`${field} must be a date and time`);
}

/** Those of the fields that are there, as dates: to be spread over a record. @throws TypeError naming the field. */
export function readDates<Field extends string>(
  data: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
): { [Key in Field]?: Date } {
  const dates: { [Key in Field]?: Date } = {};
  for (const field of fields) if (data[field] !== undefined) dates[field] = readDate(data[field], field);
  return dates;
}
