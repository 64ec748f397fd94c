/**
 * The digest that an answer says its bytes have (RFC 9530), and whether they have it. Refuses to know where they come from.
 */

/** Bytes that no original has more of. */
const MAX_ORIGINAL_BYTES = 16 * 1024 * 1024;

/**
 * The bytes of a body, once they are known to be what the server says they are.
 * @throws TypeError if it says nothing, something else, or sends more than an original may have; whatever the stream fails with.
 */
export async function readChecked(
  body: ReadableStream<Uint8Array> | null,
  headers: Headers,
): Promise<Uint8Array<ArrayBuffer>> {
  const said = /(?:^|[\s,])sha-256=:([A-Za-z0-9+/]{43}=):/.exec(headers.get('repr-digest') ?? '')?.[1];
  const able = globalThis.crypto?.subtle !== undefined;
  if (said === undefined || !able) {
    await body?.cancel().catch(() => undefined);
    throw new TypeError(
      able
        ? 'it does not say which digest its bytes have'
        : 'this page has no digests to check with: browsers keep them to secure pages',
    );
  }
  const bytes = await readAll(body);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  if (btoa(String.fromCharCode(...digest)) === said) return bytes;
  throw new TypeError('its bytes do not have the digest that it says');
}

async function readAll(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body?.getReader();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    size += next.value.length;
    if (size > MAX_ORIGINAL_BYTES) {
      await reader?.cancel().catch(() => undefined);
      throw new TypeError(`it has more bytes than the limit, ${MAX_ORIGINAL_BYTES}`);
    }
    pieces.push(next.value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
