/**
 * Conditional requests (RFC 9110, section 13) for renditions and originals.
 */

/**
 * Milliseconds after a change in which there is no Last-Modified. Dates have whole seconds, so two are
 * enough.
 */
const SETTLING_TIME = 2_000;

/** The present state, which a conditional request is compared with. */
export interface Validators {
  /** Entity tag with its quotes, with `W/` in front if weak. */
  readonly etag: string;
  /** Milliseconds since 1970, in whole seconds. Undefined shortly after a change. */
  readonly lastModified: number | undefined;
}

/**
 * The Last-Modified after a change at `updatedOn`: the next whole second. A client may have got an earlier
 * state within the same second, and its date must not match the new state. Undefined for the first two
 * seconds. Another change could get the same date until then, and a date may not be in the future.
 * @param now milliseconds since 1970.
 */
export function lastModified(updatedOn: Date, now: number): number | undefined {
  if (now - updatedOn.getTime() < SETTLING_TIME) return undefined;
  return Math.ceil(updatedOn.getTime() / 1000) * 1000;
}

/**
 * True if the answer to a GET or HEAD is 304. `If-None-Match` is a list of tags, compared weakly, or `*`. If
 * it is present, `If-Modified-Since` is ignored. A date that is not an HTTP date is ignored too.
 */
export function isNotModified(
  headers: { 'if-none-match'?: string | undefined; 'if-modified-since'?: string | undefined },
  current: Validators,
): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    // The usual case: one tag, exactly as it was sent. It needs no parsing.
    if (ifNoneMatch === current.etag || ifNoneMatch.trim() === '*') return true;
    const currentTag = opaqueTag(current.etag);
    return entityTags(ifNoneMatch).some((tag) => opaqueTag(tag) === currentTag);
  }
  const ifModifiedSince = headers['if-modified-since'];
  if (ifModifiedSince === undefined || current.lastModified === undefined) return false;
  const since = parseDate(ifModifiedSince);
  return since !== undefined && current.lastModified <= since;
}

/** False if `If-Match` is present and neither `*` nor a list with the strong `etag`. */
export function isMatched(headers: { 'if-match'?: string | undefined }, etag: string): boolean {
  const ifMatch = headers['if-match'];
  return ifMatch === undefined || ifMatch.trim() === '*' || entityTags(ifMatch).includes(etag);
}

const ASCTIME = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4})$/;
const RFC_850 = /^[A-Z][a-z]{5,8}, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d:\d\d:\d\d) GMT$/;

/**
 * An HTTP date in any of its three forms (RFC 9110, section 5.6.7), in milliseconds since 1970. Undefined for
 * other texts, even if JavaScript reads them as dates: it reads "1" as a day in 2001.
 */
function parseDate(text: string): number | undefined {
  const asctime = ASCTIME.exec(text);
  if (asctime) {
    const [, month, day = '', time, year] = asctime;
    return parseDateAndTime(`${day.replace(' ', '0')} ${month} ${year} ${time} GMT`);
  }
  const rfc850 = RFC_850.exec(text);
  if (rfc850) {
    const [, day, month, year, time] = rfc850;
    // A year of two digits is at most 50 years in the future.
    const century = Number(year) + 2000 > new Date().getUTCFullYear() + 50 ? 19 : 20;
    return parseDateAndTime(`${day} ${month} ${century}${year} ${time} GMT`);
  }
  const [, dateAndTime] = /^[A-Z][a-z]{2}, (.*)$/.exec(text) ?? [];
  return dateAndTime === undefined ? undefined : parseDateAndTime(dateAndTime);
}

/** Parses exactly the form `06 Nov 1994 08:49:37 GMT`. A day such as 31 February is undefined. */
function parseDateAndTime(text: string): number | undefined {
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toUTCString().slice('Sun, '.length) === text
    ? time
    : undefined;
}

/** The well-formed entity tags of a list. */
function entityTags(list: string): string[] {
  return list.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}

function opaqueTag(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}
