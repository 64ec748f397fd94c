/**
 * Owns conditional requests (RFC 9110, section 13) for renditions: is what the client has still current? Pure.
 */

/** What a conditional request may be compared with. */
export interface Validators {
  /** Entity tag with its quotes, `W/` in front if weak. */
  readonly etag: string;
  readonly lastModified: Date;
}

/**
 * True if a GET or HEAD is to be answered with 304. `If-None-Match` (a list of tags, compared weakly, or `*`)
 * decides alone where it is present; `If-Modified-Since` only counts without it.
 */
export function isNotModified(
  headers: { 'if-none-match'?: string | undefined; 'if-modified-since'?: string | undefined },
  current: Validators,
): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return true;
    const wanted = opaque(current.etag);
    return entityTags(ifNoneMatch).some((tag) => opaque(tag) === wanted);
  }
  const since = Date.parse(headers['if-modified-since'] ?? '');
  // HTTP dates have whole seconds, so the milliseconds of ours must not count.
  return !Number.isNaN(since) && Math.floor(current.lastModified.getTime() / 1000) * 1000 <= since;
}

/** The well-formed entity tags of a list; anything else in it is passed over. */
function entityTags(list: string): string[] {
  return list.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}
