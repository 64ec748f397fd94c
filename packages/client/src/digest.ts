/**
 * Verifies the bytes of a response against its Repr-Digest header (RFC 9530).
 */

/** The most bytes of an original: 16 MiB. */
const MAX_ORIGINAL_BYTES = 16 * 1024 * 1024;

/**
 * Reads a whole body and verifies its SHA-256.
 * @throws TypeError if the header is missing, the digest differs, or the body is larger than 16 MiB.
 * @throws the error of the stream, if it fails.
 */
export async function readVerified(
  body: ReadableStream<Uint8Array> | null,
  headers: Headers,
): Promise<Uint8Array<ArrayBuffer>> {
  const expected = /(?:^|[\s,])sha-256=:([A-Za-z0-9+/]{43}=):/.exec(headers.get('repr-digest') ?? '')?.[1];
  const canHash = globalThis.crypto?.subtle !== undefined;
  if (expected === undefined || !canHash) {
    await body?.cancel().catch(() => undefined);
    throw new TypeError(
      canHash
        ? 'the Repr-Digest header has no SHA-256 digest'
        : 'crypto.subtle is missing: browsers provide it only on secure pages (HTTPS)',
    );
  }
  const bytes = await readAll(body);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  if (btoa(String.fromCharCode(...digest)) === expected) return bytes;
  throw new TypeError('the bytes do not have the digest of the Repr-Digest header');
}

async function readAll(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body?.getReader();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    size += next.value.length;
    if (size > MAX_ORIGINAL_BYTES) {
      await reader?.cancel().catch(() => undefined);
      throw new TypeError(`the body has more bytes than the limit: ${MAX_ORIGINAL_BYTES}`);
    }
    pieces.push(next.value);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
