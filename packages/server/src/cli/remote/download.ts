/**
 * `vitrine download`: saves originals or renditions as files. A file appears only when it is complete, and
 * replaces another only with `--force`.
 */

import { COPYFILE_EXCL } from 'node:constants';
import { randomBytes } from 'node:crypto';
import { copyFile, link, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GetPublicImageRequest, Image } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { FORMATS, OUTPUT_FORMATS } from '../../image.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { formatCount, formatJSON, sanitizeLine } from '../terminal/output.ts';
import { checkOriginals, messageOfItemFailure } from './batch.ts';
import { addClientCommand, type Connection, connectProfile } from './connection.ts';
import { type PICTURE_KINDS, PictureDownloader } from './image-download.ts';
import { addTransformOptions, readTransform, type TransformOptions } from './transform.ts';

interface DownloadOptions extends TransformOptions {
  readonly output?: string;
  readonly force?: boolean;
}

interface Result {
  /** The argument that names the image. */
  readonly image: string;
  readonly file?: string;
  readonly kind?: (typeof PICTURE_KINDS)[number] | 'rendition';
  readonly bytes?: number;
  readonly error?: string;
}

/** A picture, as it arrives. */
interface Download {
  readonly image: Image;
  /** Without a dot. */
  readonly extension: string;
  readonly kind: NonNullable<Result['kind']>;
  readonly content: AsyncIterable<Uint8Array>;
}

export function addDownloadCommand(program: Command, context: CommandContext): void {
  const download = addClientCommand(
    program,
    'download',
    'save originals, or renditions with --size or --format',
  )
    .argument('<image...>', 'image IDs, public IDs or public links')
    .option(
      '-o, --output <path>',
      'file, existing folder, or - for standard output (default: PUBLIC-ID.EXTENSION in the working folder)',
    )
    .option('--force', 'replace existing files');
  addTransformOptions(download).action(async (names: string[], options: DownloadOptions) => {
    const transform = await readTransform(options);
    const target = await readTarget(names, options, context);
    const connection = await connectProfile(options, context, { longRetries: true });
    const downloader = new Downloader(connection, transform);
    const results: Result[] = [];
    await runInterruptible(
      context,
      async (signal) => {
        for (const name of names) {
          const result = await save(name, downloader, target, signal, context).catch(async (error) => {
            // The exit code of a single image says what is wrong.
            if (names.length === 1 || signal.aborted) throw error;
            const message = isFileError(error) ? error.message : await messageOfItemFailure(error);
            return { image: name, error: message };
          });
          results.push(result);
          if (!options.json && target.kind !== 'stdout') context.stdout(`${sanitizeLine(lineOf(result))}\n`);
        }
      },
      () =>
        `${formatCount(results.filter(({ file }) => file).length, 'file')} saved, and no partial file is left`,
    );
    if (options.json && target.kind !== 'stdout') context.stdout(formatJSON(results));
    const failures = results.filter(({ error }) => error !== undefined);
    if (failures.length > 0) {
      throw new PartialFailure(`${failures.length} of ${results.length} images were not saved`);
    }
    checkOriginals(results.flatMap(({ kind }) => (kind && kind !== 'rendition' ? [{ kind }] : [])));
  });
}

type Target =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'file'; readonly path: string; readonly force: boolean }
  | { readonly kind: 'folder'; readonly path: string; readonly force: boolean };

/** @throws AppError `invalid-request` before any request. */
async function readTarget(
  names: readonly string[],
  { output = '.', force = false, json }: DownloadOptions,
  { stdoutIsTTY }: CommandContext,
): Promise<Target> {
  const refuse = (text: string) => new AppError('invalid-request', text);
  if (output === '-') {
    if (names.length > 1) throw refuse('--output - takes one image');
    if (json) throw refuse('give either --output - or --json');
    if (stdoutIsTTY && !force)
      throw refuse('standard output is a terminal: give --output FILE, or use a pipe');
    return { kind: 'stdout' };
  }
  const stats = await stat(output).catch(() => undefined);
  if (stats?.isDirectory()) return { kind: 'folder', path: output, force };
  if (names.length > 1 || output.endsWith('/'))
    throw refuse(`--output must be an existing folder: ${output} is none`);
  if (stats && !stats.isFile()) throw refuse(`--output must be a file or a folder: ${output} is neither`);
  if (stats && !force) throw refuse(`${output} exists: give --force to replace it`);
  return { kind: 'file', path: output, force };
}

class Downloader {
  readonly #connection: Connection;
  readonly #transform: Omit<GetPublicImageRequest, 'publicID'>;
  readonly #originals: PictureDownloader;

  constructor(connection: Connection, transform: Omit<GetPublicImageRequest, 'publicID'>) {
    this.#connection = connection;
    this.#transform = transform;
    this.#originals = new PictureDownloader(connection);
  }

  async start(name: string, signal: AbortSignal): Promise<Download> {
    const image = await this.#connection.findImage(name);
    if (Object.values(this.#transform).every((value) => value === undefined)) {
      const download = this.#originals.download(image);
      const { bytes, format, kind } = await Promise.race([download, rejectOnAbort(signal)]);
      return { image, extension: FORMATS[format].extensions[0], kind, content: chunksOf(bytes) };
    }
    const request = { publicID: image.publicID, ...this.#transform };
    const { result, headers } = await this.#connection.vitrine.images.getPublic(request, {
      acceptHeaderOverride: '*/*',
      signal,
    });
    const type = headers['content-type']?.[0]?.split(';')[0];
    const format = OUTPUT_FORMATS.find((each) => FORMATS[each].mediaType === type);
    if (!result || !format) {
      throw new AppError('invalid-image', `the server sent ${type ?? 'no type'} instead of a picture`);
    }
    return { image, extension: FORMATS[format].extensions[0], kind: 'rendition', content: result };
  }
}

/** Rejects with the reason of the signal when it aborts. */
function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function save(
  name: string,
  downloader: Downloader,
  target: Target,
  signal: AbortSignal,
  context: CommandContext,
): Promise<Result> {
  const { image, extension, kind, content } = await downloader.start(name, signal);
  if (target.kind === 'stdout') {
    // Collected first, so that an error leaves nothing on standard output.
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(chunk);
    context.stdout(Buffer.concat(chunks));
    return { image: name, kind };
  }
  const path = target.kind === 'file' ? target.path : join(target.path, `${image.publicID}.${extension}`);
  const bytes = await writeWhole(path, content, target.force, signal);
  return { image: name, file: path, kind, bytes };
}

/**
 * Writes a file that appears only when it is complete.
 * @returns the number of bytes.
 * @throws AppError `conflict` if the file exists and `force` is false; errors of the content and of the disk.
 */
async function writeWhole(
  path: string,
  content: AsyncIterable<Uint8Array>,
  force: boolean,
  signal: AbortSignal,
): Promise<number> {
  const draft = join(dirname(path), `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}`);
  const file = await open(draft, 'wx');
  try {
    let bytes = 0;
    try {
      for await (const chunk of content) {
        signal.throwIfAborted();
        await file.writeFile(chunk);
        bytes += chunk.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (force) await rename(draft, path);
    // A link fails if the name exists, and so never replaces a file.
    else await link(draft, path).catch((error) => copyInstead(error, draft, path));
    return bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new AppError('conflict', `${path} exists: give --force to replace it`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Copies the file where the disk has no hard links. Removes a partial copy. */
async function copyInstead(error: NodeJS.ErrnoException, draft: string, path: string): Promise<void> {
  if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(error.code ?? '')) throw error;
  try {
    await copyFile(draft, path, COPYFILE_EXCL);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== 'EEXIST') await rm(path, { force: true });
    throw failure;
  }
}

function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'path' in error;
}

function lineOf({ image, file, kind, bytes, error }: Result): string {
  if (error !== undefined) return `failed  ${image}  ${error}`;
  return `saved  ${file}  ${kind}, ${bytes} bytes`;
}
