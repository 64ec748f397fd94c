/**
 * Owns the choice of a rendition's format from an Accept header. Pure. The header is reduced to one of four formats
 * here, so that nothing a client writes reaches a cache key.
 */
import { FORMATS, type Original, type OutputFormat } from '../../image.ts';

// Past this nothing is read: a browser's Accept is about 100 characters long.
const MAX_HEADER = 4_096;

/** What an Accept header says about one format. */
export interface Preference {
  /** 0..1; 0 is "not acceptable". */
  readonly q: number;
  /** True if the header names the format itself, and not just `image/*` or a wildcard. */
  readonly named: boolean;
}

const QVALUE = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;
const WILDCARDS = new Set(['*/*', 'image/*', '*']);

/**
 * Reads an Accept header (RFC 9110, section 12.5.1) for our four formats. A named range counts before a wildcard,
 * whatever their order. Ranges that are malformed are passed over; of a range given twice the higher q counts.
 */
export function parseAccept(header: string | undefined): Record<OutputFormat, Preference> {
  const named = new Map<string, number>();
  let wildcard: number | undefined;
  for (const range of (header ?? '*/*').slice(0, MAX_HEADER).split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => /^q\s*=/.test(parameter));
    const text = weight === undefined ? '1' : weight.replace(/^q\s*=\s*/, '');
    if (type === '' || !QVALUE.test(text)) continue;
    const q = Number(text);
    if (WILDCARDS.has(type)) wildcard = Math.max(wildcard ?? 0, q);
    else named.set(type, Math.max(named.get(type) ?? 0, q));
  }
  // An empty header, or one with no range that can be read, asks for nothing in particular.
  if (named.size === 0 && wildcard === undefined) wildcard = 1;
  const of = (format: OutputFormat): Preference => {
    const own =
      named.get(FORMATS[format].mediaType) ?? (format === 'jpeg' ? named.get('image/jpg') : undefined);
    if (own !== undefined) return { q: own, named: true };
    // AVIF is for who names it: clients that send */* may still throw on it.
    return { q: format === 'avif' ? 0 : (wildcard ?? 0), named: false };
  };
  return { webp: of('webp'), jpeg: of('jpeg'), png: of('png'), avif: of('avif') };
}

/**
 * The format that a client gets who sent this Accept header. There is always one: an Accept that allows nothing we
 * have is answered in the original's own format, never with 406.
 *
 * The highest q wins. On equal q: WebP if named, the original's own format, AVIF if named, the others. A transparent
 * image becomes a JPEG only if nothing else is accepted.
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
