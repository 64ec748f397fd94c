/**
 * `vitrine upload`: adds files to an account. A second run sends only files that the account does not have.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { CallOptions, Image } from '@vitrine/client';
import type { Command } from 'commander';
import { forEachConcurrently } from '../../concurrency/for-each-concurrently.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { formatCount, formatJSON, sanitizeLine } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress-bar.ts';
import { addParallelOption, messageOfItemFailure } from './batch.ts';
import {
  addClientCommand,
  type ClientOptions,
  type Connection,
  connectProfile,
  LONG_RETRIES,
} from './connection.ts';
import { findFiles, type LocalFile, PICTURE_EXTENSIONS, readPicture } from './local-files.ts';
import { configFolder } from './profiles.ts';
import { UploadHistory } from './upload-history.ts';
import { UploadPace } from './upload-pace.ts';

/**
 * `uploaded before`: an earlier run sent the file, and this run did not. `duplicate`: the account already had
 * the bytes. `not uploaded`: the command was interrupted before.
 */
type Outcome = 'uploaded' | 'uploaded before' | 'duplicate' | 'failed' | 'not uploaded';

interface Result {
  readonly file: string;
  readonly outcome: Outcome;
  /** The image with the bytes of the file. Old servers do not name it for a duplicate. */
  readonly imageID?: string;
  readonly link?: string;
  /** The reason of a failure. */
  readonly error?: string;
}

interface UploadOptions extends ClientOptions {
  readonly alt?: string;
  readonly parallel: number;
}

/** After an interruption, at most this number of files that were not uploaded are listed. */
const MAX_LISTED = 20;

export function addUploadCommand(program: Command, context: CommandContext): void {
  const upload = addClientCommand(
    program,
    'upload',
    'add pictures to the account; a second run sends only missing pictures',
  )
    .argument('<file...>', `files, patterns, or folders with ${PICTURE_EXTENSIONS.join(', ')} files`)
    .option('--alt <text>', 'alt text of all images, at most 2000 characters (default: none)');
  addParallelOption(upload).action(async (paths: string[], options: UploadOptions) => {
    const files = await findFiles(paths);
    const connection = await connectProfile(options, context, { longRetries: true });
    const report = new Report(files, options.json === true);
    await runInterruptible(
      context,
      (signal) => uploadFiles(files, { connection, report, signal, options, context }),
      () => {
        report.print(context);
        return report.describeInterruption();
      },
    );
    report.print(context);
    report.check();
  });
}

interface UploadRun {
  readonly connection: Connection;
  readonly report: Report;
  readonly signal: AbortSignal;
  readonly options: UploadOptions;
  readonly context: CommandContext;
}

async function uploadFiles(
  files: readonly LocalFile[],
  { connection, report, signal, options, context }: UploadRun,
): Promise<void> {
  const { alt, parallel, json = false } = options;
  const history = await UploadHistory.open(configFolder(context.env), connection, signal);
  const progress = await startProgress(context, { what: 'files', total: files.length, json });
  const onSlow = (message: string) => progress.warn(message);
  const pace = new UploadPace({ max: parallel, retries: LONG_RETRIES, onSlow, signal });
  try {
    await forEachConcurrently(files, parallel, async (file) => {
      signal.throwIfAborted();
      const result = await uploadFile(file, connection, history, pace, alt);
      report.add(result);
      // After an interrupted run these are most files, and one line for all of them is enough.
      if (result.outcome === 'uploaded before') progress.countItem();
      else progress.reportItem(lineOf(result), result.outcome !== 'uploaded');
    });
  } finally {
    progress.end();
    await history.close();
  }
}

async function uploadFile(
  { path: file, problem }: LocalFile,
  connection: Connection,
  history: UploadHistory,
  pace: UploadPace,
  altText: string | undefined,
): Promise<Result> {
  if (problem !== undefined) return { file, outcome: 'failed', error: problem };
  try {
    const bytes = await readPicture(file);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const earlier = await history.findImage(digest);
    if (earlier) return { file, outcome: 'uploaded before', imageID: earlier.imageID, link: earlier.link };
    const { outcome, image } = await pace.run(file, (options) =>
      sendFile({ fileName: basename(file), content: bytes }, connection, altText, options),
    );
    // Also for a duplicate, so that the next run does not send it.
    if (image) await history.add(digest, image);
    return { file, outcome, ...(image && { imageID: image.imageID, link: image.link }) };
  } catch (error) {
    return { file, outcome: 'failed', error: await messageOfItemFailure(error) };
  }
}

async function sendFile(
  image: { fileName: string; content: Buffer<ArrayBuffer> },
  { vitrine, accountID }: Connection,
  altText: string | undefined,
  options: CallOptions,
): Promise<{ outcome: Outcome; image: Image | undefined }> {
  try {
    const metadata = altText === undefined ? {} : { metadata: { altText } };
    const { result } = await vitrine.images.upload({ accountID, image, ...metadata }, options);
    return { outcome: 'uploaded', image: result };
  } catch (error) {
    const { DuplicateImageError } = await import('@vitrine/client');
    if (error instanceof DuplicateImageError) return { outcome: 'duplicate', image: error.existing };
    throw error;
  }
}

/** The results of all files, also of those that an interruption left out. */
class Report {
  readonly #files: readonly LocalFile[];
  readonly #results = new Map<string, Result>();
  readonly #json: boolean;

  constructor(files: readonly LocalFile[], json: boolean) {
    this.#files = files;
    this.#json = json;
  }

  add(result: Result): void {
    this.#results.set(result.file, result);
  }

  print({ stdout }: CommandContext): void {
    if (this.#json) {
      stdout(formatJSON(this.#all()));
      return;
    }
    const before = this.#count('uploaded before');
    if (before > 0) stdout(`uploaded before  ${formatCount(before, 'file')}\n`);
    const missing = this.#all().filter(({ outcome }) => outcome === 'not uploaded');
    for (const result of missing.slice(0, MAX_LISTED)) stdout(`${sanitizeLine(lineOf(result))}\n`);
    const rest = missing.length - MAX_LISTED;
    if (rest > 0) stdout(`not uploaded  ${formatCount(rest, 'more file')}\n`);
    const outcomes = ['uploaded', 'uploaded before', 'duplicate', 'failed'] as const;
    const summary = outcomes.map((outcome) => `${this.#count(outcome)} ${outcome}`);
    if (missing.length > 0) summary.push(`${missing.length} not uploaded`);
    stdout(`${summary.join(', ')}\n`);
  }

  /** The state after an interruption, and how to continue. */
  describeInterruption(): string {
    const uploaded = this.#files.length - this.#missing();
    return (
      `the account has ${uploaded} of ${formatCount(this.#files.length, 'file')}; ` +
      'run the same command again to upload the rest'
    );
  }

  /** @throws PartialFailure if a file failed. */
  check(): void {
    if (this.#missing() === 0) return;
    throw new PartialFailure(`${this.#missing()} of ${this.#files.length} files were not uploaded`);
  }

  #missing(): number {
    return this.#count('failed') + this.#count('not uploaded');
  }

  #all(): Result[] {
    return this.#files.map(({ path }) => this.#results.get(path) ?? { file: path, outcome: 'not uploaded' });
  }

  #count(outcome: Outcome): number {
    return this.#all().filter((result) => result.outcome === outcome).length;
  }
}

function lineOf({ file, outcome, imageID, error }: Result): string {
  return [outcome, file, imageID ?? error].filter((part) => part !== undefined).join('  ');
}
