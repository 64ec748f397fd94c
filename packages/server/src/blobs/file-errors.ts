/**
 * Owns what failures of the local file system mean, for blobs and for files on their way in. Refuses to know what was done.
 */
import { AppError } from '../errors.ts';

/**
 * Maps a failure of the local file system by its code: no room is `storage-full`, a disk, a permission or a lack
 * of descriptors or of memory is `unavailable`. Anything else comes back as it is.
 */
export function fileFault(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error) || !('code' in error)) return error;
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new AppError('storage-full', 'The storage is full', { cause: error });
    case 'EIO':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ESTALE':
    case 'ENODEV':
    case 'ENXIO':
    case 'ETIMEDOUT':
    case 'EFBIG':
    case 'EBUSY':
    case 'EAGAIN':
    case 'ENOMEM':
    case 'ELOOP':
    case 'EISDIR':
    case 'ENOTCONN':
      break;
    default:
      // Codes that libuv has no name for, such as EUCLEAN: a file system that found itself damaged.
      if (!String(error.code).startsWith('Unknown system error')) return error;
  }
  return new AppError('unavailable', 'The storage cannot be used now', { cause: error });
}

/** The same work, whose failures mean something. */
export async function onFile<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw fileFault(error);
  }
}
