/**
 * A hostile file and the answer that the server must give to its upload.
 */

export interface Specimen {
  readonly name: string;
  /** Makes the file. Called late, because some files have megabytes. */
  readonly make: () => Buffer | Promise<Buffer>;
  /**
   * The reason that the server must give in its refusal, or `accepted`. `accepted or refused` is for damage
   * without a checksum: only some decoders detect it.
   */
  readonly expected: RegExp | 'accepted' | 'accepted or refused';
}

export function refused(name: string, reason: RegExp, make: Specimen['make']): Specimen {
  return { name, make, expected: reason };
}

export function accepted(name: string, make: Specimen['make']): Specimen {
  return { name, make, expected: 'accepted' };
}

export function acceptedOrRefused(name: string, make: Specimen['make']): Specimen {
  return { name, make, expected: 'accepted or refused' };
}

/**
 * Texts that the specimens hide in metadata and unused parts. No rendition of any size and format may contain
 * them.
 */
export const MARKERS = [
  'marker=',
  '<script',
  'Secret Author',
  'SN-4711',
  'xmpmeta',
  'Photoshop 3.0',
  'Exif\0',
  'GPS',
  'PK\u0003\u0004',
  '%PDF',
] as const;

export const SCRIPT = '<script>marker=document.cookie</script>';
