/**
 * Owns conditional requests (RFC 9110, section 13) for renditions and originals: is what the client has still current? Pure.
 */

/** How long after a change no date may stand for it, in milliseconds. Dates have whole seconds; two are enough. */
const SETTLING_TIME = 2_000;

/** What a conditional request may be compared with. */
export interface Validators {
  /** Entity tag with its quotes, `W/` in front if weak. */
  readonly etag: string;
  /** Milliseconds since 1970, in whole seconds; undefined while no date can stand for what there is. */
  readonly lastModified: number | undefined;
}

/**
 * The Last-Modified of something that was changed at `updatedOn`: the next whole second, so that whoever got an
 * earlier state within the same second, and only knows when, is never told that it is current. Undefined for the
 * first two seconds: until then another change could get the same date, and a date may not lie in the future.
 * @param now milliseconds since 1970.
 */
export function lastModified(updatedOn: Date, now: number): number | undefined {
  if (now - updatedOn.getTime() < SETTLING_TIME) return undefined;
  return Math.ceil(updatedOn.getTime() / 1000) * 1000;
}

/**
 * True if a GET or HEAD is to be answered with 304. `If-None-Match` (a list of tags, compared weakly, or `*`)
 * decides alone where it is present; `If-Modified-Since` only counts without it, and only if it is an HTTP date.
 */
export function isNotModified(
  headers: { 'if-none-match'?: string | undefined; 'if-modified-since'?: string | undefined },
  current: Validators,
): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    // What nearly all send: the tag that they were given.
    if (ifNoneMatch === current.etag || ifNoneMatch.trim() === '*') return true;
    const wanted = opaque(current.etag);
    return entityTags(ifNoneMatch).some((tag) => opaque(tag) === wanted);
  }
  const ifModifiedSince = headers['if-modified-since'];
  if (ifModifiedSince === undefined || current.lastModified === undefined) return false;
  const since = parseDate(ifModifiedSince);
  return since !== undefined && current.lastModified <= since;
}

/** False if `If-Match` (a list of tags, compared strongly, or `*`) is there and names other bytes than the strong `etag`. */
export function isMatched(headers: { 'if-match'?: string | undefined }, etag: string): boolean {
  const ifMatch = headers['if-match'];
  return ifMatch === undefined || ifMatch.trim() === '*' || entityTags(ifMatch).includes(etag);
}

const ASCTIME = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4})$/;
const RFC_850 = /^[A-Z][a-z]{5,8}, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d:\d\d:\d\d) GMT$/;

/**
 * An HTTP date in any of its three forms (RFC 9110, section 5.6.7), in milliseconds since 1970. Everything else that
 * JavaScript takes for a date is none: "1" would be a day in 2001.
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
    // Two digits of a year mean no more than 50 years ahead.
    const century = Number(year) + 2000 > new Date().getUTCFullYear() + 50 ? 19 : 20;
    return parseDateAndTime(`${day} ${month} ${century}${year} ${time} GMT`);
  }
  const [, dateAndTime] = /^[A-Z][a-z]{2}, (.*)$/.exec(text) ?? [];
  return dateAndTime === undefined ? undefined : parseDateAndTime(dateAndTime);
}

/** `06 Nov 1994 08:49:37 GMT`, exactly. What comes back written otherwise was no such date. */
function parseDateAndTime(text: string): number | undefined {
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toUTCString().slice('Sun, '.length) === text
    ? time
    : undefined;
}

/** The well-formed entity tags of a list; anything else in it is passed over. */
function entityTags(list: string): string[] {
  return list.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}
