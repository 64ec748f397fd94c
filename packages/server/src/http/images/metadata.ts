/**
 * The rules for the metadata of an image, in JSON of its own and in forms.
 */
import type { FieldErrors } from '../../errors.ts';
import {
  type Description,
  parseAltText,
  parseFileName,
  parseFocalPoint,
  parseTags,
  parseVisibility,
} from '../../image.ts';
import { asObject } from '../../validation/json.ts';

/** The fields of metadata, each with its rules. A field that is absent is not read. */
export const READERS = {
  altText: parseAltText,
  focalPoint: parseFocalPoint,
  tags: parseTags,
  fileName: parseFileName,
  visibility: parseVisibility,
};

export type MetadataField = keyof typeof READERS;

/** The description of an image, or the errors by field. */
export type DescriptionResult =
  | { readonly ok: true; readonly description: Description }
  | { readonly ok: false; readonly fields: FieldErrors };

/** Reads parsed metadata. It is flat, or nested under `metadata` as in the published cURL examples. */
export function readDescription(value: unknown): DescriptionResult {
  const metadata = metadataObject(value);
  if (metadata === undefined) {
    return { ok: false, fields: { altText: 'metadata must be a JSON object with altText' } };
  }
  const fields: Record<string, string> = {};
  let description: Description = { altText: undefined };
  for (const [name, read] of Object.entries(READERS)) {
    if (!(name in metadata)) continue;
    const result = read(metadata[name]);
    if (!result.ok) fields[name] = result.reason;
    else {
      const { ok, ...field } = result;
      description = { ...description, ...field };
    }
  }
  return Object.keys(fields).length > 0 ? { ok: false, fields } : { ok: true, description };
}

/** The object with the fields, also if it is nested under `metadata`. Undefined if there is none. */
export function metadataObject(value: unknown) {
  const outer = asObject(value);
  const isNested =
    outer !== undefined && 'metadata' in outer && !Object.keys(READERS).some((name) => name in outer);
  return isNested ? asObject(outer.metadata) : outer;
}
