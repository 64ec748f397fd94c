/**
 * Reads fields of untyped JSON: names, descriptions, numbers and lists. Each problem is added to the
 * violations. The returned value may be used only if there is no violation.
 */
import { parseText, type TextRules } from './text.ts';
import type { Path, Violations } from './violations.ts';

/** The longest title or name, in Unicode code points. */
export const MAX_NAME_LENGTH = 200;
/** The longest description, in Unicode code points. */
export const MAX_DESCRIPTION_LENGTH = 5_000;

/** Why a text is not a valid description, without the name of the field; undefined if it is valid. */
export type DescriptionRule = (text: string) => string | undefined;

export type JSONObject = { readonly [key: string]: unknown };

/** A JSON object; undefined for anything else. */
export function asObject(value: unknown): JSONObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JSONObject)
    : undefined;
}

/** A required text of one line. It must not be blank. */
export function readName(value: unknown, path: Path, violations: Violations): string {
  return readText(value, path, { max: MAX_NAME_LENGTH, controls: 'none' }, violations) ?? '';
}

/** An optional text of one line; absent, `null` and empty mean none. */
export function readOptionalName(value: unknown, path: Path, violations: Violations): string | undefined {
  return value === undefined || value === null || value === ''
    ? undefined
    : readText(value, path, { max: MAX_NAME_LENGTH, controls: 'none' }, violations);
}

/** An optional Markdown text; absent, `null` and empty mean none. */
export function readDescription(
  value: unknown,
  path: Path,
  rule: DescriptionRule,
  violations: Violations,
): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') violations.add(path, 'description must be a string');
  else {
    const result = parseText('description', value, { max: MAX_DESCRIPTION_LENGTH, controls: 'text' });
    // The rule may parse the text, so it runs only within the limits.
    const reason = result.ok ? prefixed('description', rule(result.text)) : result.reason;
    if (reason !== undefined) violations.add(path, reason);
    return result.ok ? result.text : undefined;
  }
  return undefined;
}

/** A required whole number within bounds; undefined if the value is invalid. */
export function readWholeNumber(
  value: unknown,
  path: Path,
  { min, max }: { readonly min: number; readonly max: number },
  violations: Violations,
): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  violations.add(path, `${String(path.at(-1))} must be a whole number from ${min} to ${max}`);
  return undefined;
}

export interface ListRules {
  /** The most elements. */
  readonly max: number;
  /** The field of an element that gets the violations of the whole list; absent: the element itself. */
  readonly field?: string;
}

/**
 * The elements of an optional list, at most `max`. A 422 has no place for problems of the whole list. So a
 * value that is not an array is reported at the first element. A list that is too long is reported at the
 * first element beyond the limit.
 */
export function readList(
  value: unknown,
  path: Path,
  { max, field }: ListRules,
  violations: Violations,
): readonly unknown[] {
  const name = String(path.at(-1));
  const at = (index: number) => [...path, index, ...(field === undefined ? [] : [field])];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    violations.add(at(0), `${name} must be an array`);
    return [];
  }
  if (value.length > max) violations.add(at(max), `${name} must have at most ${max} elements`);
  return value.slice(0, max);
}

function readText(value: unknown, path: Path, rules: TextRules, violations: Violations): string | undefined {
  const name = String(path.at(-1));
  if (value === undefined || value === null) violations.add(path, `${name} is required`);
  else if (typeof value !== 'string') violations.add(path, `${name} must be a string`);
  else {
    const result = parseText(name, value, rules);
    if (!result.ok) violations.add(path, result.reason);
    else if (result.text.trim() === '') violations.add(path, `${name} must not be blank`);
    else return result.text;
  }
  return undefined;
}

function prefixed(name: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${name} ${problem}`;
}
