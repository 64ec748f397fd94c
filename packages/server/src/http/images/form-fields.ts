/**
 * The metadata of a form: a metadata part with JSON, single fields such as `altText=…`, `metadata[altText]=…`
 * and `focalPoint[x]=0.5`, or both.
 */
import { isDeepStrictEqual } from 'node:util';
import { AppError } from '../../errors.ts';
import {
  type DescriptionResult,
  type MetadataField,
  metadataObject,
  READERS,
  readDescription,
} from './metadata.ts';

/** A part of a form with a single field of metadata. */
export interface FormField {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * How the text of a form field becomes a value. `text`: it is the value. `numbers`: an object of numbers, as
 * JSON or one form field for each. `list`: a list of texts, as JSON or one form field for each.
 */
type Kind = 'text' | 'numbers' | 'list';

const KINDS: Readonly<Record<MetadataField, Kind>> = {
  altText: 'text',
  focalPoint: 'numbers',
  tags: 'list',
  fileName: 'text',
  visibility: 'text',
};

/** An empty input of a page does not clear these fields. The others have a meaning for it. */
const KEPT_IF_EMPTY: ReadonlySet<MetadataField> = new Set(['fileName', 'visibility']);

/** The most characters of a name. */
const MAX_NAME_LENGTH = 100;

/** A field of the metadata and the place in it: `metadata[focalPoint][x]` is x of focalPoint. */
interface Place {
  readonly field: MetadataField;
  /** `[]`: the whole field. */
  readonly keys: readonly string[];
}

/** True if a form field of this name is metadata. */
export function isMetadataField(name: string | undefined): boolean {
  return name !== undefined && placeOf(name) !== undefined;
}

/**
 * Reads the metadata of a form.
 * @param part the metadata part. Undefined if there is none.
 * @param fields the other parts with metadata, such as `altText`.
 * @returns undefined if the form has no metadata.
 * @throws AppError `invalid-request` if the part is not JSON, `invalid-metadata` if it is not UTF-8.
 */
export function readFormDescription(
  part: Uint8Array | undefined,
  fields: readonly FormField[],
): DescriptionResult | undefined {
  if (part === undefined && fields.length === 0) return undefined;
  const value = part === undefined ? {} : parseJSON(part);
  const metadata = metadataObject(value);
  if (metadata === undefined || fields.length === 0) return readDescription(value);
  const merged: Record<string, unknown> = { ...metadata };
  const contradictions: Record<string, string> = {};
  for (const [field, values] of metadataValues(fields)) {
    const all = field in metadata ? [metadata[field], ...values] : values;
    const [first, ...others] = all.map((each) => READERS[field](each));
    if (others.some((other) => !isDeepStrictEqual(first, other))) {
      contradictions[field] = `${field} has different values in two parts of the form: send it once`;
    }
    merged[field] = all[0];
  }
  const result = readDescription(merged);
  if (Object.keys(contradictions).length === 0) return result;
  return { ok: false, fields: { ...(!result.ok && result.fields), ...contradictions } };
}

/**
 * The values of each metadata field of the form. A field has several values if the form has it in several
 * places, and they may contradict each other.
 */
function metadataValues(fields: readonly FormField[]): Map<MetadataField, unknown[]> {
  const whole = new Map<MetadataField, string[]>();
  const parts = new Map<MetadataField, [key: string, text: string][]>();
  for (const { name, bytes } of fields) {
    const place = placeOf(name);
    if (place === undefined) continue;
    const value = decodeUTF8(bytes, name);
    const { field, keys } = place;
    if (value === '' && KEPT_IF_EMPTY.has(field)) continue;
    if (keys.length === 0) whole.set(field, [...(whole.get(field) ?? []), value]);
    else parts.set(field, [...(parts.get(field) ?? []), [keys.join('.'), value]]);
  }
  const values = new Map<MetadataField, unknown[]>();
  for (const field of new Set([...whole.keys(), ...parts.keys()])) {
    values.set(field, valuesOf(KINDS[field], whole.get(field) ?? [], parts.get(field) ?? []));
  }
  return values;
}

function valuesOf(kind: Kind, whole: readonly string[], parts: readonly [string, string][]): unknown[] {
  switch (kind) {
    case 'text':
      // A text has no parts. The rules of the field refuse the object.
      return [...whole, ...(parts.length > 0 ? [Object.fromEntries(parts)] : [])];
    case 'numbers':
      return [...whole.map(fromJSON), ...objectsOf(parts)];
    case 'list':
      return [[...whole, ...parts.map(([, text]) => text)].flatMap(itemsOf)];
  }
}

/** Objects of numbers, where each key occurs once. Empty inputs of a page mean that there is no value. */
function objectsOf(parts: readonly [string, string][]): unknown[] {
  const objects: Record<string, unknown>[] = [];
  for (const [key, text] of parts) {
    const object = objects.find((each) => !Object.hasOwn(each, key));
    const value = text.trim() === '' ? null : fromJSON(text);
    if (object) object[key] = value;
    else objects.push(Object.assign(Object.create(null), { [key]: value }));
  }
  return objects.map((object) => (Object.values(object).every((value) => value === null) ? null : object));
}

/** The items of a JSON list, or one text, which may be `null`. An empty input of a page is no item. */
function itemsOf(text: string): unknown[] {
  if (text.trim() === '') return [];
  const value = fromJSON(text);
  return Array.isArray(value) ? value : [text];
}

/** The value of a JSON text. An empty text is null. A text that is not JSON stays as it is. */
function fromJSON(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `metadata[focalPoint][x]`, `metadata.focalPoint.x`, `focalPoint[x]` and `focalPoint.x` are one place. */
function placeOf(name: string): Place | undefined {
  if (name.length > MAX_NAME_LENGTH) return undefined;
  const path = name.replace(/\[([^[\]]*)\]/g, '.$1').split('.');
  if (path[0] === 'metadata' && path.length > 1) path.shift();
  const [field = '', ...keys] = path;
  return Object.hasOwn(KINDS, field) ? { field: field as MetadataField, keys } : undefined;
}

function parseJSON(bytes: Uint8Array): unknown {
  const text = decodeUTF8(bytes, 'metadata');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('invalid-request', 'the metadata part is not valid JSON', { cause });
  }
}

/**
 * Decodes UTF-8.
 * @throws AppError `invalid-metadata` for invalid UTF-8. A lenient decoder would silently store replacement
 * characters.
 */
function decodeUTF8(bytes: Uint8Array, part: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const field = placeOf(part)?.field ?? 'altText';
    const reason = `${field} must be valid Unicode: the part ${part} is not valid UTF-8`;
    throw new AppError('invalid-metadata', reason, { cause, fields: { [field]: reason } });
  }
}
