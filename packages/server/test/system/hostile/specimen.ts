/**
 * Owns what a hostile picture is: its bytes, and what must become of it. Refuses to know how any of them is made.
 */

export interface Specimen {
  readonly name: string;
  /** Made when it is needed: some are megabytes. */
  readonly make: () => Buffer | Promise<Buffer>;
  /**
   * What the server must say in refusing it; `accepted` where its pixels are as good as any; `either` where the format
   * has no checksum, so that some decoders see the damage and others a picture.
   */
  readonly expected: RegExp | 'accepted' | 'either';
}

export function refused(name: string, why: RegExp, make: Specimen['make']): Specimen {
  return { name, make, expected: why };
}

export function accepted(name: string, make: Specimen['make']): Specimen {
  return { name, make, expected: 'accepted' };
}

export function either(name: string, make: Specimen['make']): Specimen {
  return { name, make, expected: 'either' };
}

/**
 * Text that the specimens hide where it would be seen or run. Nobody may get any of it from a public link, whatever
 * the size and format.
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
