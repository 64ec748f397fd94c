/**
 * Chooses the format of a rendition by the Accept header. The result is one of four formats, so client input
 * never reaches a cache key. The reasons are in docs/adr/0047.
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

/** The facts about an original that decide its format. */
export type NegotiatedOriginal = Pick<
  Original,
  'format' | 'width' | 'height' | 'size' | 'transparent' | 'analysis'
>;

// More digits than the three of the standard are accepted, and `.2`: the default of Java has that form.
const QVALUE = /^(?:0\.?|0?\.\d+|1(?:\.0*)?)$/;
const WILDCARDS = new Set(['*/*', 'image/*', '*']);

/** A PNG with fewer bytes for each pixel is a graphic. Photographs have two and more. */
const GRAPHIC_BYTES_PER_PIXEL = 1;

/** Every client shows these two. They are sent to clients that accept none of the offered formats. */
const CLASSICS: readonly OutputFormat[] = ['jpeg', 'png'];

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
  const preferenceOf = (format: OutputFormat, otherwise: number): Preference => {
    const own =
      qByType.get(FORMATS[format].mediaType) ?? (format === 'jpeg' ? qByType.get('image/jpg') : undefined);
    if (own !== undefined) return { q: own, named: true };
    // Only an explicit AVIF counts: some clients that send */* cannot read it.
    return { q: format === 'avif' ? 0 : otherwise, named: false };
  };
  const preferencesWith = (otherwise: number): Record<OutputFormat, Preference> => ({
    webp: preferenceOf('webp', otherwise),
    jpeg: preferenceOf('jpeg', otherwise),
    png: preferenceOf('png', otherwise),
    avif: preferenceOf('avif', otherwise),
  });
  const preferences = preferencesWith(wildcard ?? 0);
  if (Object.values(preferences).some(({ q }) => q > 0)) return preferences;
  // A header that accepts no format gets an image all the same, but none with an explicit q=0.
  return preferencesWith(1);
}

/**
 * The format of the answer to this Accept header, never the status 406.
 *
 * The highest q wins. On equal q, the order is that of `offers`; the format of the original comes after WebP,
 * and before JPEG and PNG. WebP and AVIF are only for clients that name them. A photograph becomes a PNG only
 * if JPEG is not accepted. A transparent image becomes a JPEG only if nothing else is accepted.
 * @param offers the formats to choose from, each once. If none of them is accepted, JPEG and PNG are used.
 */
export function negotiate(
  header: string | undefined,
  original: NegotiatedOriginal,
  offers: readonly OutputFormat[],
): OutputFormat {
  const preferences = parseAccept(header);
  const isAccepted = (format: OutputFormat): boolean => preferences[format].q > 0;
  const isShown = (format: OutputFormat): boolean => CLASSICS.includes(format) || preferences[format].named;
  const prefersJPEG = isAccepted('jpeg') && isPhotograph(original);
  const isSuitable = (format: OutputFormat): boolean => {
    if (!isAccepted(format)) return false;
    return original.transparent ? FORMATS[format].transparency : format !== 'png' || !prefersJPEG;
  };
  return (
    favourite(orderOf(offers, original.format).filter(isShown).filter(isSuitable), preferences) ??
    favourite(CLASSICS.filter(isSuitable), preferences) ??
    // A wildcard accepts WebP too, which is better than a format that the header excludes.
    (offers.includes('webp') && isSuitable('webp') ? 'webp' : undefined) ??
    favourite(CLASSICS.filter(isAccepted), preferences) ??
    (original.transparent ? 'png' : 'jpeg')
  );
}

/** The formats in the order that decides on equal q. */
function orderOf(offers: readonly OutputFormat[], own: OutputFormat): readonly OutputFormat[] {
  if (!offers.includes(own)) return offers;
  const place = offers.findIndex(
    (format, index) => CLASSICS.includes(format) || offers[index - 1] === 'webp',
  );
  const ordered = place < 0 ? offers : [...offers.slice(0, place), own, ...offers.slice(place)];
  return [...new Set(ordered)];
}

/** The first format with the highest q. */
function favourite(
  formats: readonly OutputFormat[],
  preferences: Readonly<Record<OutputFormat, Preference>>,
): OutputFormat | undefined {
  let best = formats[0];
  for (const format of formats) if (best && preferences[format].q > preferences[best].q) best = format;
  return best;
}

/**
 * True if a PNG of the opaque picture would be many times heavier than a JPEG. That is so for each original
 * with lossy compression, whose noise a PNG would keep.
 */
function isPhotograph({ format, width, height, size, transparent, analysis }: NegotiatedOriginal): boolean {
  if (transparent) return false;
  if (format === 'jpeg') return true;
  if (analysis) return analysis.content === 'photo';
  // Without an analysis, the weight tells. Most WebP files are photographs, and their weight tells nothing.
  return format === 'webp' || size >= GRAPHIC_BYTES_PER_PIXEL * width * height;
}
