/**
 * Chooses the format of a rendition by the Accept header. The result is one of four formats, so client input
 * never reaches a cache key.
 */
import { FORMATS, type Original, type OutputFormat } from '../../image.ts';

// The rest of a longer header is ignored. The Accept header of a browser has about 100 characters.
const MAX_HEADER = 4_096;

/** The preference of an Accept header for one format. */
export interface Preference {
  /** 0..1. 0: not acceptable. */
  readonly q: number;
  /** True if the header names the format itself, not only `image/*` or another wildcard. */
  readonly named: boolean;
}

const QVALUE = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;
const WILDCARDS = new Set(['*/*', 'image/*', '*']);

/**
 * Reads an Accept header (RFC 9110, section 12.5.1) for the four formats. A named range has precedence over a
 * wildcard in any order. Malformed ranges are ignored. The higher q of a repeated range counts.
 */
export function parseAccept(header: string | undefined): Record<OutputFormat, Preference> {
  const qByType = new Map<string, number>();
  let wildcard: number | undefined;
  for (const range of (header ?? '*/*').slice(0, MAX_HEADER).split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => /^q\s*=/.test(parameter));
    const text = weight === undefined ? '1' : weight.replace(/^q\s*=\s*/, '');
    if (type === '' || !QVALUE.test(text)) continue;
    const q = Number(text);
    if (WILDCARDS.has(type)) wildcard = Math.max(wildcard ?? 0, q);
    else qByType.set(type, Math.max(qByType.get(type) ?? 0, q));
  }
  // A header without a valid range means any format.
  if (qByType.size === 0 && wildcard === undefined) wildcard = 1;
  const preferenceOf = (format: OutputFormat): Preference => {
    const own =
      qByType.get(FORMATS[format].mediaType) ?? (format === 'jpeg' ? qByType.get('image/jpg') : undefined);
    if (own !== undefined) return { q: own, named: true };
    // Only an explicit AVIF counts: some clients that send */* cannot read it.
    return { q: format === 'avif' ? 0 : (wildcard ?? 0), named: false };
  };
  return {
    webp: preferenceOf('webp'),
    jpeg: preferenceOf('jpeg'),
    png: preferenceOf('png'),
    avif: preferenceOf('avif'),
  };
}

/**
 * The format of the answer to this Accept header. If the header accepts none of the four formats, the answer
 * has the format of the original, never the status 406.
 *
 * The highest q wins. The order on equal q: WebP if named, the format of the original, AVIF if named, the
 * others. A transparent image becomes a JPEG only if nothing else is accepted.
 */
export function negotiate(
  header: string | undefined,
  original: Pick<Original, 'format' | 'transparent'>,
): OutputFormat {
  const preferences = parseAccept(header);
  const order: OutputFormat[] = [
    ...(preferences.webp.named ? (['webp'] as const) : []),
    original.format,
    ...(preferences.avif.named ? (['avif'] as const) : []),
    'webp',
    'jpeg',
    'png',
  ];
  const accepted = [...new Set(order)].filter((format) => preferences[format].q > 0);
  const keepsAlpha = accepted.filter((format) => FORMATS[format].transparency);
  const candidates = original.transparent && keepsAlpha.length > 0 ? keepsAlpha : accepted;
  let best = candidates[0];
  if (best === undefined) return original.format;
  for (const format of candidates) if (preferences[format].q > preferences[best].q) best = format;
  return best;
}
