/**
 * Chunks of PNG: how they are written, checked and taken out.
 */
import { crc32 } from 'node:zlib';

export const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Bytes of the length, the type and the checksum. */
export const CHUNK_OVERHEAD = 12;

/** A whole chunk: length, type, body and checksum. */
export function pngChunk(type: string, body: Buffer): Buffer {
  const whole = Buffer.alloc(CHUNK_OVERHEAD + body.length);
  whole.writeUInt32BE(body.length, 0);
  whole.write(type, 4, 'latin1');
  body.copy(whole, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, whole.length - 4)), whole.length - 4);
  return whole;
}

/** True if the checksum of the whole chunk is right. */
export function isIntact(whole: Buffer): boolean {
  return crc32(whole.subarray(4, whole.length - 4)) === whole.readUInt32BE(whole.length - 4);
}

/**
 * The file without pHYs, the density in pixels per metre. The encoder always writes one: from the original,
 * or a default that depends on the format of the original.
 * @param file that libpng wrote
 */
export function withoutDensity(file: Buffer): Buffer {
  for (let at = PNG_SIGNATURE.length; at + CHUNK_OVERHEAD <= file.length; ) {
    const end = at + CHUNK_OVERHEAD + file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    if (type === 'pHYs') return Buffer.concat([file.subarray(0, at), file.subarray(end)]);
    if (type === 'IDAT') break;
    at = end;
  }
  return file;
}
