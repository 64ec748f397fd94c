/**
 * `vitrine upload`. Owns what becomes of each file, and how that is told. Refuses to know which files words mean, and how it
 * is known what was uploaded before.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import { isAppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';
import { json } from '../terminal/output.ts';
import { type ClientOptions, type Connection, clientCommand, connectAs } from './connection.ts';
import { expand, readPicture } from './local-files.ts';
import { configFolder } from './profiles.ts';
import { forEach, PartlyDone, refusalOf, startProgress, withParallel } from './progress.ts';
import { Ledger } from './upload-history.ts';

/** Done now, by a run before, by somebody, or not at all. */
type Outcome = 'uploaded' | 'uploaded before' | 'duplicate' | 'failed';

interface Result {
  readonly file: string;
  readonly outcome: Outcome;
  /** The image that has the bytes, where it is known. */
  readonly imageID?: string;
  readonly link?: string;
  /** Why it failed. */
  readonly error?: string;
}

interface UploadOptions extends ClientOptions {
  readonly alt?: string;
  readonly parallel: number;
}

export function addUploadCommand(program: Command, surroundings: Surroundings): void {
  const upload = clientCommand(
    program,
    'upload',
    'add pictures to the account; again, only those that are missing',
  )
    .argument('<file...>', 'files, patterns, and folders, of which png, jpg, jpeg and webp files are taken')
    .option('--alt <text>', 'the alt text of all of them');
  withParallel(upload).action(async (words: string[], options: UploadOptions) => {
    const files = await expand(words);
    const connection = await connectAs(options, surroundings, { patient: true });
    const ledger = await Ledger.open(configFolder(surroundings.env), connection);
    const progress = await startProgress(surroundings, files.length, 'files', options.json === true);
    const results = new Map<string, Result>();
    try {
      await forEach(files, options.parallel, async (file) => {
        const result = await uploadFile(file, connection, ledger, options.alt);
        results.set(file, result);
        progress.done(lineOf(result), result.outcome !== 'uploaded');
      });
    } finally {
      progress.end();
      await ledger.close();
    }
    report(
      files.flatMap((file) => results.get(file) ?? []),
      options,
      surroundings,
    );
  });
}

async function uploadFile(
  file: string,
  connection: Connection,
  ledger: Ledger,
  altText: string | undefined,
): Promise<Result> {
  try {
    const bytes = await readPicture(file);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const before = await ledger.imageWith(digest);
    if (before) return { file, outcome: 'uploaded before', imageID: before.imageID, link: before.link };
    const { outcome, image } = await send({ fileName: basename(file), content: bytes }, connection, altText);
    // A duplicate was sent in vain this time; the next run need not.
    if (image) await ledger.add(digest, image);
    return { file, outcome, ...(image && { imageID: image.imageID, link: image.link }) };
  } catch (error) {
    const why = isAppError(error) ? error.message : await refusalOf(error);
    return { file, outcome: 'failed', error: why };
  }
}

async function send(
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

function report(results: readonly Result[], { json: asJSON }: UploadOptions, { write }: Surroundings): void {
  const number = (outcome: Outcome) => results.filter((result) => result.outcome === outcome).length;
  const failed = number('failed');
  if (asJSON) {
    write(json(results));
  } else {
    const counts = (['uploaded', 'uploaded before', 'duplicate', 'failed'] as const)
      .map((outcome) => `${number(outcome)} ${outcome}`)
      .join(', ');
    write(`${counts}\n`);
  }
  if (failed > 0) throw new PartlyDone(`${failed} of ${results.length} files were not uploaded`);
}
