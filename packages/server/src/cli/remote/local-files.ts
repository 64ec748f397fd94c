/**
 * Finds the local files that the arguments of a command name: files, folders and patterns.
 */
import type { Dirent } from 'node:fs';
import { glob, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AppError, isAppError } from '../../errors.ts';
import { FORMATS, IMAGE_FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';

/**
 * The extensions of the files of a folder that are uploaded. If an argument names a file, it may have any
 * name: the server reads its content.
 */
export const PICTURE_EXTENSIONS = [
  ...IMAGE_FORMATS.flatMap((format) => FORMATS[format].extensions),
  // Other names of JPEG files: browsers and Windows write .jfif, and old programs write .jpe.
  ...['jfif', 'jpe'],
];

const PICTURE = new RegExp(`\\.(${PICTURE_EXTENSIONS.join('|')})$`, 'i');

/** A file to read, or a file or folder that cannot be read. */
export interface LocalFile {
  readonly path: string;
  /** Why the file or folder cannot be read. Undefined: it is a file, and it may be readable. */
  readonly problem?: string;
}

/**
 * All files, each once, in the order of the arguments. A folder gives its pictures and those of its
 * subfolders, sorted by path, without hidden files and folders. A path that cannot be read has a `problem`,
 * and does not hide the others.
 * @throws AppError `invalid-request` with the first argument that matches no file.
 */
export async function findFiles(paths: readonly string[]): Promise<LocalFile[]> {
  const files = new Map<string, LocalFile>();
  for (const path of paths) {
    for (const file of await filesAt(path)) {
      const key = resolve(file.path);
      if (!files.has(key)) files.set(key, file);
    }
  }
  return [...files.values()];
}

async function filesAt(path: string): Promise<LocalFile[]> {
  const kind = await kindOf(path);
  if (kind === 'folder') return picturesIn(path);
  if (kind !== 'missing') return [describeFile(path, kind)];
  const matches: string[] = [];
  if (/[*?[{]/.test(path)) for await (const match of glob(path)) matches.push(match);
  const files: LocalFile[] = [];
  for (const match of matches.sort()) {
    const kind = await kindOf(match);
    // A pattern such as photos/* also matches folders and sockets, which the user did not mean.
    if (kind !== 'folder' && kind !== 'special') files.push(describeFile(match, kind));
  }
  if (files.length === 0) throw new AppError('invalid-request', `${path} matches no file`);
  return files;
}

/** The pictures below a folder. Reads one folder at a time, so that one failure concerns only that folder. */
async function picturesIn(folder: string): Promise<LocalFile[]> {
  const pictures: LocalFile[] = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    let entries: Dirent[];
    try {
      entries = await readdir(next, { withFileTypes: true });
    } catch (error) {
      pictures.push({ path: next, problem: `the folder cannot be read: ${(error as Error).message}` });
      continue;
    }
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const path = join(next, entry.name);
      // Links to folders are not followed: they may form a loop.
      if (entry.isDirectory()) folders.push(path);
      else if (PICTURE.test(entry.name) && (entry.isFile() || entry.isSymbolicLink())) {
        const kind = entry.isFile() ? 'file' : await kindOf(path);
        if (kind !== 'folder' && kind !== 'special') pictures.push(describeFile(path, kind));
      }
    }
  }
  return pictures.sort((one, other) => (one.path < other.path ? -1 : 1));
}

/** What is at a path, after links. `special` is a socket, a pipe or a device: reading it may never end. */
type Kind = 'file' | 'folder' | 'special' | 'missing' | NodeJS.ErrnoException;

async function kindOf(path: string): Promise<Kind> {
  try {
    const stats = await stat(path);
    if (stats.isFile()) return 'file';
    return stats.isDirectory() ? 'folder' : 'special';
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return MISSING.includes(code) ? 'missing' : (error as NodeJS.ErrnoException);
  }
}

/** The codes of system errors for a path at which nothing is. */
const MISSING = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'];

function describeFile(path: string, kind: Exclude<Kind, 'folder'>): LocalFile {
  if (kind === 'file') return { path };
  if (kind === 'special') return { path, problem: 'it is neither a file nor a folder' };
  if (kind === 'missing') return { path, problem: 'the file cannot be read: the link leads to no file' };
  return { path, problem: `the file cannot be read: ${kind.message}` };
}

/**
 * The bytes of a file.
 * @throws AppError `too-large` above 16 MiB, before the file is read; AppError `invalid-request` if it cannot
 * be read.
 */
export async function readPicture(path: string): Promise<Buffer<ArrayBuffer>> {
  try {
    const { size } = await stat(path);
    if (size > MAX_ORIGINAL_BYTES) {
      throw new AppError('too-large', `the file has ${size} bytes: limit ${MAX_ORIGINAL_BYTES} bytes`);
    }
    return await readFile(path);
  } catch (error) {
    if (isAppError(error)) throw error;
    throw new AppError('invalid-request', `the file cannot be read: ${(error as Error).message}`);
  }
}

/** The name and content of the only file at `path`. @throws AppError `invalid-request`, `too-large`. */
export async function readSinglePicture(
  path: string,
): Promise<{ fileName: string; content: Buffer<ArrayBuffer> }> {
  const [file, ...others] = await findFiles([path]);
  if (file === undefined || others.length > 0) {
    throw new AppError('invalid-request', `${path} must match exactly one file`);
  }
  if (file.problem !== undefined) throw new AppError('invalid-request', `${file.path}: ${file.problem}`);
  return { fileName: basename(file.path), content: await readPicture(file.path) };
}
