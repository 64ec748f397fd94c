/**
 * The EXIF orientation, the only field of EXIF that is read. Renditions must not publish places, names,
 * serial numbers and thumbnails, and parsers of these fields have had security holes.
 */

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;
const ENTRY_BYTES = 12;

/**
 * The orientation in a TIFF block of EXIF, 1..8. 1 for a block without orientation and for a damaged block.
 */
export function readOrientation(tiff: Buffer): number {
  // Only JPEG needs the prefix, but some encoders write it into PNG and WebP too.
  const body = hasJpegPrefix(tiff) ? tiff.subarray(6) : tiff;
  if (body.length < 14) return 1;
  const order = body.toString('latin1', 0, 2);
  if (order !== 'II' && order !== 'MM') return 1;
  const little = order === 'II';
  const u16 = (at: number): number => (little ? body.readUInt16LE(at) : body.readUInt16BE(at));
  const u32 = (at: number): number => (little ? body.readUInt32LE(at) : body.readUInt32BE(at));
  if (u16(2) !== 42) return 1;
  const directory = u32(4);
  if (directory + 2 > body.length) return 1;
  const entries = u16(directory);
  for (let i = 0; i < entries; i += 1) {
    const at = directory + 2 + i * ENTRY_BYTES;
    if (at + ENTRY_BYTES > body.length) return 1;
    if (u16(at) !== ORIENTATION_TAG || u16(at + 2) !== SHORT) continue;
    const value = u16(at + 8);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** True if the segment starts with `Exif\0` and one more byte, as EXIF in JPEG does. */
export function hasJpegPrefix(segment: Buffer): boolean {
  return segment.length >= 6 && segment.toString('latin1', 0, 5) === 'Exif\0';
}

/** A TIFF block with the orientation as its only field. */
export function orientationTiff(orientation: number): Buffer {
  const tiff = Buffer.alloc(26);
  tiff.write('II', 0, 'latin1');
  tiff.writeUInt16LE(42, 2);
  tiff.writeUInt32LE(8, 4);
  tiff.writeUInt16LE(1, 8);
  tiff.writeUInt16LE(ORIENTATION_TAG, 10);
  tiff.writeUInt16LE(SHORT, 12);
  tiff.writeUInt32LE(1, 14);
  tiff.writeUInt16LE(orientation, 18);
  return tiff;
}
