/**
 * `vitrine upload`: adds files to an account. A second run sends only files that the account does not have.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { formatJSON } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress-bar.ts';
import { addParallelOption, forEachParallel, messageOfItemFailure } from './batch.ts';
import { addClientCommand, type ClientOptions, type Connection, connectProfile } from './connection.ts';
import { findFiles, type LocalFile, PICTURE_EXTENSIONS, readPicture } from './local-files.ts';
import { configFolder } from './profiles.ts';
import { UploadHistory } from './upload-history.ts';

/**
 * `uploaded before`: an earlier run sent the file, and this run did not. `duplicate`: the account already had
 * the bytes.
 */
type Outcome = 'uploaded' | 'uploaded before' | 'duplicate' | 'failed';

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
    const history = await UploadHistory.open(configFolder(context.env), connection);
    const json = options.json === true;
    const progress = await startProgress(context, { what: 'files', total: files.length, json });
    const results = new Map<string, Result>();
    try {
      await forEachParallel(files, options.parallel, async (file) => {
        const result = await uploadFile(file, connection, history, options.alt);
        results.set(file.path, result);
        progress.reportItem(lineOf(result), result.outcome !== 'uploaded');
      });
    } finally {
      progress.end();
      await history.close();
    }
    printResults(
      files.flatMap(({ path }) => results.get(path) ?? []),
      json,
      context,
    );
  });
}

async function uploadFile(
  { path: file, problem }: LocalFile,
  connection: Connection,
  history: UploadHistory,
  altText: string | undefined,
): Promise<Result> {
  if (problem !== undefined) return { file, outcome: 'failed', error: problem };
  try {
    const bytes = await readPicture(file);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const earlier = await history.findImage(digest);
    if (earlier) return { file, outcome: 'uploaded before', imageID: earlier.imageID, link: earlier.link };
    const { outcome, image } = await sendFile(
      { fileName: basename(file), content: bytes },
      connection,
      altText,
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
): Promise<{ outcome: Outcome; image: Image | undefined }> {
  try {
    const metadata = altText === undefined ? {} : { metadata: { altText } };
    const { result } = await vitrine.images.upload({ accountID, image, ...metadata });
    return { outcome: 'uploaded', image: result };
  } catch (error) {
    const { DuplicateImageError } = await import('@vitrine/client');
    if (error instanceof DuplicateImageError) return { outcome: 'duplicate', image: error.existing };
    throw error;
  }
}

function lineOf({ file, outcome, imageID, error }: Result): string {
  return [outcome, file, imageID ?? error].filter((part) => part !== undefined).join('  ');
}

/** @throws PartialFailure. */
function printResults(results: readonly Result[], json: boolean, { stdout }: CommandContext): void {
  const count = (outcome: Outcome) => results.filter((result) => result.outcome === outcome).length;
  const summary = (['uploaded', 'uploaded before', 'duplicate', 'failed'] as const)
    .map((outcome) => `${count(outcome)} ${outcome}`)
    .join(', ');
  stdout(json ? formatJSON(results) : `${summary}\n`);
  const failures = count('failed');
  if (failures > 0) throw new PartialFailure(`${failures} of ${results.length} files were not uploaded`);
}
