/**
 * Finds the local files that the arguments of a command name: files, folders and patterns.
 */
import { glob, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AppError } from '../../errors.ts';
import { FORMATS, IMAGE_FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';

/**
 * The files of a folder that are uploaded. If an argument names a file, it may have any name: the server
 * reads its content.
 */
export const PICTURE_EXTENSIONS = IMAGE_FORMATS.flatMap((format) => FORMATS[format].extensions);

const PICTURE = new RegExp(`\\.(${PICTURE_EXTENSIONS.join('|')})$`, 'i');

/**
 * The paths of all files, each once, in the order of the arguments. A folder gives its files and those of its
 * subfolders, sorted by path.
 * @throws AppError `invalid-request` with the first argument that matches no file.
 */
export async function findFiles(paths: readonly string[]): Promise<string[]> {
  const files = new Map<string, string>();
  for (const path of paths) {
    for (const file of await filesAt(path)) {
      if (!files.has(resolve(file))) files.set(resolve(file), file);
    }
  }
  return [...files.values()];
}

async function filesAt(path: string): Promise<string[]> {
  const stats = await statOf(path);
  if (stats?.isFile()) return [path];
  if (stats?.isDirectory()) return picturesIn(path);
  if (stats) throw new AppError('invalid-request', `${path} is neither a file nor a folder`);
  const matches: string[] = [];
  if (/[*?[{]/.test(path)) {
    for await (const match of glob(path)) if ((await statOf(match))?.isFile()) matches.push(match);
  }
  if (matches.length === 0) throw new AppError('invalid-request', `${path} matches no file`);
  return matches.sort();
}

async function picturesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const pictures = entries.filter(({ name }) => PICTURE.test(name) && !name.startsWith('.'));
  const files = await Promise.all(
    pictures.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      // Links to folders are not followed: they may form a loop.
      const isFile = entry.isFile() || (entry.isSymbolicLink() && (await statOf(path))?.isFile());
      return isFile ? [path] : [];
    }),
  );
  return files.flat().sort();
}

/** Undefined if there is no such file. @throws AppError `invalid-request` if it cannot be read. */
async function statOf(path: string) {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(error.code ?? '')) return undefined;
    throw new AppError('invalid-request', `${path} cannot be read: ${error.message}`);
  });
}

/**
 * The bytes of a file.
 * @throws AppError `too-large` above 16 MiB, before the file is read; AppError `invalid-request` if it cannot
 * be read.
 */
export async function readPicture(path: string): Promise<Buffer<ArrayBuffer>> {
  const size = (await statOf(path))?.size ?? 0;
  if (size > MAX_ORIGINAL_BYTES) {
    throw new AppError('too-large', `the file has ${size} bytes: limit ${MAX_ORIGINAL_BYTES} bytes`);
  }
  return readFile(path).catch((error: Error) => {
    throw new AppError('invalid-request', `the file cannot be read: ${error.message}`);
  });
}

/** The name and content of the only file at `path`. @throws AppError `invalid-request`, `too-large`. */
export async function readSinglePicture(
  path: string,
): Promise<{ fileName: string; content: Buffer<ArrayBuffer> }> {
  const [file, ...others] = await findFiles([path]);
  if (file === undefined || others.length > 0) {
    throw new AppError('invalid-request', `${path} must match exactly one file`);
  }
  return { fileName: basename(file), content: await readPicture(file) };
}
