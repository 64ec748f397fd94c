/**
 * Owns the reading of untyped JSON into records of the catalogue: names, descriptions, numbers, lists. What is wrong
 * goes to the violations, at its place; what a function returns is of use only if nothing was.
 * Refuses to know any record.
 */
import { type TextRules, textProblem } from './text.ts';
import type { Path, Violations } from './violations.ts';

/** The longest title or name, in Unicode code points. */
export const MAX_NAME_LENGTH = 200;
/** The longest description, in Unicode code points. */
export const MAX_DESCRIPTION_LENGTH = 5_000;

/** Why a text is no description, to follow the name of the field; undefined if it is one. */
export type DescriptionRule = (text: string) => string | undefined;

export type JSONObject = { readonly [key: string]: unknown };

/** A JSON object; undefined for anything else. */
export function asObject(value: unknown): JSONObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JSONObject)
    : undefined;
}

/** A required text of one line that is not blank. */
export function readName(value: unknown, path: Path, violations: Violations): string {
  return readText(value, path, { max: MAX_NAME_LENGTH, controls: 'none' }, violations) ?? '';
}

/** An optional text of one line; absent, `null` and empty all mean none. */
export function readOptionalName(value: unknown, path: Path, violations: Violations): string | undefined {
  return value === undefined || value === null || value === ''
    ? undefined
    : readText(value, path, { max: MAX_NAME_LENGTH, controls: 'none' }, violations);
}

/** An optional Markdown text; absent, `null` and empty all mean none. */
export function readDescription(
  value: unknown,
  path: Path,
  rule: DescriptionRule,
  violations: Violations,
): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') violations.add(path, 'description must be a string');
  else {
    const problem = textProblem('description', value, {
      max: MAX_DESCRIPTION_LENGTH,
      controls: 'document',
    });
    // A text beyond the limits is not worth a parser's time.
    const reason = problem ?? prefixed('description', rule(value));
    if (reason !== undefined) violations.add(path, reason);
    return value;
  }
  return undefined;
}

/** A required whole number within bounds; undefined if it is none. */
export function readWhole(
  value: unknown,
  path: Path,
  { min, max }: { readonly min: number; readonly max: number },
  violations: Violations,
): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  violations.add(path, `${String(path.at(-1))} must be a whole number from ${min} to ${max}`);
  return undefined;
}

/** How a list may be, and where what is wrong with it as a whole is told: 422s have no place for that of their own. */
export interface ListRules {
  readonly max: number;
  /** The field of an element that tells of the list; absent: the element itself does. */
  readonly field?: string;
}

/**
 * The elements of an optional list, at most `max` of them. That it is no list is told at its first element, and that
 * it is too long at the first one too many.
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
    const reason =
      textProblem(name, value, rules) ?? (value.trim() === '' ? `${name} must not be blank` : undefined);
    if (reason !== undefined) violations.add(path, reason);
    return value;
  }
  return undefined;
}

function prefixed(name: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${name} ${problem}`;
}
