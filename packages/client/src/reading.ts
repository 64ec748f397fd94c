/**
 * Reads fields of parsed JSON: strings, dates, numbers, arrays and objects.
 */

/** A record of the contract with some of its strings as Dates. */
export type WithDates<Wire, Times extends keyof Wire> = {
  [Key in keyof Wire]: Key extends Times ? Exclude<Wire[Key], string> | Date : Wire[Key];
};

/** Makes a reader of arrays from a reader of items. It throws a TypeError if the value is not an array. */
export function readListOf<Item>(read: (data: unknown) => Item): (data: unknown) => Item[] {
  return (data) => readArray(data, 'an array').map((item) => read(item));
}

/** @param expected names the value in the error. @throws TypeError if `data` is not an array. */
export function readArray(data: unknown, expected: string): unknown[] {
  if (Array.isArray(data)) return data;
  throw new TypeError(`${expected} was expected`);
}

/** @param expected names the value in the error. @throws TypeError if `data` is not an object. */
export function readObject(data: unknown, expected: string): Record<string, unknown> {
  if (typeof data === 'object' && data !== null && !Array.isArray(data))
    return data as Record<string, unknown>;
  throw new TypeError(`${expected} was expected`);
}

/** @throws TypeError with the name of the field. */
export function readText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`${field} must be a string`);
}

/** @throws TypeError with the name of the field. */
export function readNumber(value: unknown, field: string): number {
  if (typeof value === 'number') return value;
  throw new TypeError(`${field} must be a number`);
}

/** Reads an RFC 3339 string as a Date. @throws TypeError with the name of the field. */
export function readDate(value: unknown, field: string): Date {
  const date = new Date(readText(value, field));
  if (!Number.isNaN(date.getTime())) return date;
  throw new TypeError(`${field} must be a date and time`);
}

/** Reads optional fields as Dates. Absent fields are omitted. @throws TypeError with the field name. */
export function readDates<Field extends string>(
  data: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
): { [Key in Field]?: Date } {
  const dates: { [Key in Field]?: Date } = {};
  for (const field of fields) if (data[field] !== undefined) dates[field] = readDate(data[field], field);
  return dates;
}
