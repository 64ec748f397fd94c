/**
 * `vitrine import`: copies images into an account, from an exported folder or from another server. A second
 * run copies only missing images.
 */
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import { forEachConcurrently } from '../../concurrency/for-each-concurrently.ts';
import { AppError } from '../../errors.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { formatJSON } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress-bar.ts';
import { addSecretOptions, type SecretOptions } from '../terminal/secret-prompt.ts';
import { Archive, type ArchiveEntry } from './archive.ts';
import { addParallelOption, checkOriginals, messageOfItemFailure } from './batch.ts';
import {
  addClientCommand,
  type ClientOptions,
  type Connection,
  connect,
  connectProfile,
  LONG_RETRIES,
} from './connection.ts';
import { PictureDownloader } from './image-download.ts';
import { readProfile } from './login.ts';
import { configFolder, makePrivateFolder, type Profile, Profiles } from './profiles.ts';
import { hashName, UploadHistory } from './upload-history.ts';
import { UploadPace } from './upload-pace.ts';

interface Result {
  /** The image in the source. */
  readonly imageID: string;
  readonly outcome: 'imported' | 'there already' | 'same picture' | 'failed';
  readonly kind?: ArchiveEntry['kind'];
  /** The image in the target. */
  readonly importedAs?: string;
  /** The reason of a failure, or the part of the metadata that was not copied. */
  readonly note?: string;
}

interface ImportOptions extends ClientOptions, SecretOptions {
  readonly from?: string;
  readonly fromAccount?: string;
  readonly fromKey?: string;
  readonly parallel: number;
}

/** The images to import, and their pictures. */
interface ImportSource {
  readonly images: readonly { readonly imageID: string; readonly disabledOn?: unknown }[];
  /** The entry of an image. Downloads the picture if it comes from a server. */
  fetchEntry(imageID: string): Promise<ArchiveEntry>;
  readPicture(entry: ArchiveEntry): Promise<Buffer<ArrayBuffer>>;
  /** Called after an import, to release the local copy. */
  releasePicture(entry: ArchiveEntry): Promise<void>;
  close(): Promise<void>;
}

export function addImportCommand(program: Command, context: CommandContext): void {
  const command = addClientCommand(
    program,
    'import',
    'copy images into the account, from an exported folder or another server; a second run copies only missing images',
  )
    .argument('[folder]', 'path of a folder that "vitrine export" wrote')
    .option('--from <url or profile>', 'URL or profile of the source server; use it instead of the folder')
    .option('--from-account <uuid>', 'ID of the source account (default: the account of the profile)')
    .option('--from-key <public key>', 'public key of the source account (default: the key of the profile)');
  addParallelOption(addSecretOptions(command)).action(
    async (folder: string | undefined, options: ImportOptions) => {
      if ((folder === undefined) === (options.from === undefined)) {
        throw new AppError('invalid-request', 'give either a folder or --from');
      }
      const target = await connectProfile(options, context, { longRetries: true });
      const history = await UploadHistory.open(configFolder(context.env), target);
      const source =
        folder === undefined
          ? await openServerSource(await connectSource(options, context), target, history, context)
          : await openFolderSource(folder);
      // Disabled images first: each needs quota until it is disabled, and the enabled images may fill the
      // quota.
      const images = source.images.toSorted((a, b) => Number(!a.disabledOn) - Number(!b.disabledOn));
      const json = options.json === true;
      const progress = await startProgress(context, { what: 'images', total: images.length, json });
      const onSlow = (message: string) => progress.warn(message);
      const pace = new UploadPace({ max: options.parallel, retries: LONG_RETRIES, onSlow });
      const importer = new Importer(target, history, source, pace);
      const results: Result[] = [];
      try {
        await forEachConcurrently(images, options.parallel, async ({ imageID }) => {
          const result = await importer.importImage(imageID);
          results.push(result);
          progress.reportItem(lineOf(result), result.note !== undefined || result.kind === 'downscaled');
        });
      } finally {
        progress.end();
        await source.close();
        await history.close();
      }
      printResults(results, json, context);
    },
  );
}

/** Imports images into the target account. Images with identical bytes become one image. */
class Importer {
  readonly #target: Connection;
  readonly #history: UploadHistory;
  readonly #source: ImportSource;
  readonly #pace: UploadPace;
  /**
   * The image that imports each picture, by digest, and whether the import succeeded. Different originals may
   * have equal renditions.
   */
  readonly #imports = new Map<string, { readonly imageID: string; readonly success: Promise<boolean> }>();

  constructor(target: Connection, history: UploadHistory, source: ImportSource, pace: UploadPace) {
    this.#target = target;
    this.#pace = pace;
    this.#history = history;
    this.#source = source;
  }

  async importImage(imageID: string): Promise<Result> {
    const { promise: success, resolve: settle } = Promise.withResolvers<boolean>();
    try {
      const entry = await this.#source.fetchEntry(imageID);
      const { digest, kind } = entry;
      // Waits for another image with the same picture. If its import fails, this image imports the picture.
      for (let other = this.#imports.get(digest); other !== undefined; other = this.#imports.get(digest)) {
        if (await other.success) {
          return { imageID, outcome: 'same picture', kind, note: `same picture as ${other.imageID}` };
        }
        if (this.#imports.get(digest) === other) break;
      }
      this.#imports.set(digest, { imageID, success });
      const { outcome, image } = await this.#upload(entry);
      const note = image
        ? await this.#copyMetadata(entry, image)
        : 'the server does not say which image has these bytes: alt text and state were not copied';
      await this.#source.releasePicture(entry);
      settle(true);
      return {
        imageID,
        outcome,
        kind,
        ...(image && { importedAs: image.imageID }),
        ...(note !== undefined && { note }),
      };
    } catch (error) {
      return { imageID, outcome: 'failed', note: await messageOfItemFailure(error) };
    } finally {
      settle(false);
    }
  }

  async #upload(entry: ArchiveEntry): Promise<{ outcome: Result['outcome']; image: Image | undefined }> {
    const earlier = await this.#history.findImage(entry.digest);
    if (earlier) return { outcome: 'there already', image: earlier };
    const { altText, focalPoint, fileName = null, tags } = entry;
    const { accountID, vitrine } = this.#target;
    const image = {
      fileName: `${entry.digest}.${entry.format}`,
      content: await this.#source.readPicture(entry),
    };
    try {
      const metadata = {
        ...(altText !== undefined && { altText }),
        ...(focalPoint && { focalPoint }),
        ...(tags && { tags: [...tags] }),
        // Without it, the target would store the name of the sent file.
        fileName,
      };
      const { result } = await this.#pace.run(entry.imageID, (options) =>
        vitrine.images.upload({ accountID, image, metadata }, options),
      );
      await this.#history.add(entry.digest, result);
      return { outcome: 'imported', image: result };
    } catch (error) {
      const { DuplicateImageError } = await import('@vitrine/client');
      if (!(error instanceof DuplicateImageError)) throw error;
      // An earlier run may have uploaded the picture and been killed before it recorded that.
      if (error.existing) await this.#history.add(entry.digest, error.existing);
      return { outcome: 'there already', image: error.existing };
    }
  }

  /**
   * Copies the metadata and the disabled state to an image of the target.
   * @returns a note on what was not copied.
   */
  async #copyMetadata(entry: ArchiveEntry, image: Image): Promise<string | undefined> {
    const { accountID, vitrine } = this.#target;
    const { imageID } = image;
    const differences = differingFields(image, entry);
    if (image.disabledOn) {
      // A user of the target disabled the image, and an import does not enable it.
      if (!entry.disabledOn) return 'the image is disabled in the target and stays disabled';
      if (differences.length === 0) return undefined;
      return `the image is disabled in the target and keeps its ${differences.join(', ')}`;
    }
    let note: string | undefined;
    if (differences.length > 0) {
      // An update replaces all metadata. What the entry does not have stays as it is in the target.
      const { altText = '', focalPoint = image.focalPoint, tags = image.tags, fileName } = entry;
      const metadata = {
        altText,
        ...(focalPoint && { focalPoint }),
        ...(tags && { tags: [...tags] }),
        ...(fileName !== undefined && { fileName }),
      };
      const { result } = await vitrine.images.updateMetadata({ accountID, imageID, ...metadata });
      await this.#history.add(entry.digest, result);
      const missing = differingFields(result, entry);
      if (missing.length > 0) note = `not copied: ${missing.join(', ')}`;
    }
    if (entry.disabledOn) await vitrine.images.delete({ accountID, imageID });
    return note;
  }
}

/**
 * The names of the fields in which the image differs from the entry. Except for the alt text, a field that
 * the entry does not have is no difference: an earlier release may have exported it.
 */
function differingFields(image: Image, entry: ArchiveEntry): string[] {
  const { altText, focalPoint, tags, fileName } = entry;
  const { x, y } = image.focalPoint ?? {};
  const differences: [name: string, differs: boolean][] = [
    ['alt text', (image.altText ?? '') !== (altText ?? '')],
    ['focal point', focalPoint !== undefined && (focalPoint.x !== x || focalPoint.y !== y)],
    ['tags', tags !== undefined && JSON.stringify(tags) !== JSON.stringify(image.tags ?? [])],
    ['file name', fileName !== undefined && fileName !== image.fileName],
  ];
  return differences.flatMap(([name, differs]) => (differs ? [name] : []));
}

async function openFolderSource(folder: string): Promise<ImportSource> {
  const archive = await Archive.open(folder);
  const entries = new Map(archive.entries.map((entry) => [entry.imageID, entry]));
  return {
    images: archive.entries,
    async fetchEntry(imageID) {
      const entry = entries.get(imageID);
      if (!entry) throw new AppError('not-found', `the folder has no image ${imageID}`);
      return entry;
    },
    readPicture: (entry) => archive.readPicture(entry),
    releasePicture: async () => undefined,
    close: () => archive.close(),
  };
}

/**
 * Copies each picture into a local folder first and uploads it from there. After a kill, the next run uploads
 * the same bytes, and the server recognizes the duplicate. A second download could give another rendition,
 * with other bytes.
 */
async function openServerSource(
  source: Connection,
  target: Connection,
  history: UploadHistory,
  { env }: CommandContext,
): Promise<ImportSource> {
  const { serverURL, accountID, vitrine } = source;
  const copies = join(configFolder(env), 'copies');
  await makePrivateFolder(copies);
  const folder = join(copies, hashName(serverURL, accountID, target.serverURL, target.accountID));
  await makePrivateFolder(folder);
  const archive = await Archive.create(folder, { serverURL, accountID });
  const downloader = new PictureDownloader(source);
  const images = new Map<string, Image>();
  for await (const image of vitrine.images.list({ accountID })) images.set(image.imageID, image);
  return {
    images: [...images.values()].reverse(),
    async fetchEntry(imageID) {
      const image = images.get(imageID);
      if (!image) throw new AppError('not-found', `the source account has no image ${imageID}`);
      const entry = archive.entryOf(image);
      if (entry && ((await history.findImage(entry.digest)) || (await archive.hasIntactFile(entry)))) {
        return entry;
      }
      return archive.add(image, await downloader.download(image));
    },
    readPicture: (entry) => archive.readPicture(entry),
    releasePicture: (entry) => archive.deleteFile(entry),
    close: () => archive.close(),
  };
}

/**
 * @throws AppError `not-found` for an unknown profile; `invalid-request` if the options do not identify one
 * account.
 */
async function connectSource(options: ImportOptions, context: CommandContext): Promise<Connection> {
  const { from = '', fromAccount, fromKey, ...secretOptions } = options;
  const profiles = new Profiles(configFolder(context.env));
  const profile = /^https?:/i.test(from) ? undefined : await profiles.get(from);
  if (profile) return connect(profile, { longRetries: true });
  if (fromKey !== undefined) {
    if (fromAccount === undefined) throw new AppError('invalid-request', '--from-key needs --from-account');
    const credentials = { server: from, account: fromAccount, key: fromKey };
    return connect(await readProfile({ ...secretOptions, ...credentials }, context), { longRetries: true });
  }
  const isSource = ({ serverURL, accountID }: Profile) =>
    serverURL === from.replace(/\/+$/, '') && (fromAccount === undefined || accountID === fromAccount);
  const [match, ...others] = [...(await profiles.all()).values()].filter(isSource);
  if (match && others.length === 0) return connect(match, { longRetries: true });
  throw new AppError(
    'invalid-request',
    match
      ? 'several profiles have that server: name one of them, or give --from-account'
      : 'no profile has that server: give --from-account and --from-key',
  );
}

function lineOf({ imageID, outcome, kind, importedAs, note }: Result): string {
  return [outcome, imageID, importedAs, kind, note].filter((part) => part !== undefined).join('  ');
}

/** @throws PartialFailure, RenditionsOnly. */
function printResults(results: readonly Result[], json: boolean, { stdout }: CommandContext): void {
  const count = (outcome: Result['outcome']) => results.filter((result) => result.outcome === outcome).length;
  const summary = (['imported', 'there already', 'same picture', 'failed'] as const)
    .map((outcome) => `${count(outcome)} ${outcome}`)
    .join(', ');
  stdout(json ? formatJSON(results) : `${summary}\n`);
  const failures = count('failed');
  if (failures > 0) throw new PartialFailure(`${failures} of ${results.length} images were not imported`);
  checkOriginals(results);
}
