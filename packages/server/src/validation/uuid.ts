/**
 * UUIDs in text.
 */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The canonical form of a UUID, in lower case; undefined if the text is not a UUID. */
export function parseUUID(text: string): string | undefined {
  return UUID.test(text) ? text.toLowerCase() : undefined;
}
