/**
 * UUIDs in text.
 */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The UUID of nothing. PostgreSQL stores it for the server as a whole, so no record may have it. */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/** The canonical form of a UUID, in lower case; undefined if the text is not a UUID, or the nil UUID. */
export function parseUUID(text: string): string | undefined {
  return UUID.test(text) && text !== NIL_UUID ? text.toLowerCase() : undefined;
}
