/**
 * Owns which files the words of a command line mean: files, folders and patterns. Refuses to know what is done with them.
 */
import { glob, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';

/** What of a folder is taken. A file that is named is taken whatever its name: the server goes by its bytes. */
const PICTURE = /\.(png|jpe?g|webp)$/i;

/**
 * Every file once, in the order of the words; those of a folder, and of its folders, by their paths.
 * @throws AppError `invalid-request` that names the word which means no file.
 */
export async function expand(words: readonly string[]): Promise<string[]> {
  const found = new Map<string, string>();
  for (const word of words) {
    for (const file of await filesOf(word)) {
      if (!found.has(resolve(file))) found.set(resolve(file), file);
    }
  }
  return [...found.values()];
}

async function filesOf(word: string): Promise<string[]> {
  const facts = await statOf(word);
  if (facts?.isFile()) return [word];
  if (facts?.isDirectory()) return walk(word);
  if (facts) throw new AppError('invalid-request', `${word} is neither a file nor a folder`);
  const matches: string[] = [];
  if (/[*?[{]/.test(word)) {
    for await (const match of glob(word)) if ((await statOf(match))?.isFile()) matches.push(match);
  }
  if (matches.length === 0) throw new AppError('invalid-request', `${word} names no file`);
  return matches.sort();
}

async function walk(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const pictures = entries.filter(({ name }) => PICTURE.test(name) && !name.startsWith('.'));
  const files = await Promise.all(
    pictures.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      // Links to files are followed, links to folders are not: they may lead in circles.
      const isFile = entry.isFile() || (entry.isSymbolicLink() && (await statOf(path))?.isFile());
      return isFile ? [path] : [];
    }),
  );
  return files.flat().sort();
}

async function statOf(path: string) {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(error.code ?? '')) return undefined;
    throw new AppError('invalid-request', `${path} cannot be read: ${error.message}`);
  });
}

/** The bytes of a file. @throws AppError `too-large`, before it is read; `invalid-request` if it cannot be. */
export async function readPicture(path: string): Promise<Buffer<ArrayBuffer>> {
  const facts = await statOf(path);
  if ((facts?.size ?? 0) > MAX_ORIGINAL_BYTES) {
    throw new AppError(
      'too-large',
      `the file has ${facts?.size} bytes, and the limit is ${MAX_ORIGINAL_BYTES}`,
    );
  }
  return readFile(path).catch((error: Error) => {
    throw new AppError('invalid-request', `the file cannot be read: ${error.message}`);
  });
}

/** One file, whole, for what takes one. @throws AppError. */
export async function oneFile(word: string): Promise<{ fileName: string; content: Buffer<ArrayBuffer> }> {
  const [file, ...more] = await expand([word]);
  if (file === undefined || more.length > 0) {
    throw new AppError('invalid-request', `${word} must be one file`);
  }
  return { fileName: basename(file), content: await readPicture(file) };
}
