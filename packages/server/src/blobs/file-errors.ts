/**
 * The meaning of errors of the local file system, for blobs and for staged files.
 */
import { AppError } from '../errors.ts';

/**
 * Maps an error of the local file system by its code. A full disk is `storage-full`. A failed disk, a missing
 * permission and a lack of descriptors or memory are `unavailable`. Other values are returned unchanged.
 */
export function toStorageError(error: unknown): unknown {
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
      // libuv has no name for some codes, such as EUCLEAN of a damaged file system.
      if (!String(error.code).startsWith('Unknown system error')) return error;
  }
  return new AppError('unavailable', 'The storage cannot be used now', { cause: error });
}

/** Runs the work, and throws its file system errors as `toStorageError` maps them. */
export async function withStorageErrors<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toStorageError(error);
  }
}
