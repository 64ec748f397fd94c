/**
 * `vitrine import`. Owns how an image comes into the account, from an archive or from another server: what is uploaded, what
 * is there already, and that its alt text and state follow. Refuses to know how archives are laid out and pictures are got.
 */
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError, isAppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';
import { json } from '../terminal/output.ts';
import { type SecretOptions, withSecret } from '../terminal/secret-prompt.ts';
import { Archive, type Entry } from './archive.ts';
import { type ClientOptions, type Connection, clientCommand, connect, connectAs } from './connection.ts';
import { Pictures } from './image-download.ts';
import { readProfile } from './login.ts';
import { configFolder, makePrivate, type Profile, Profiles } from './profiles.ts';
import { forEach, OnlyRenditions, PartlyDone, refusalOf, startProgress, withParallel } from './progress.ts';
import { Ledger, nameOf } from './upload-history.ts';

interface Result {
  /** The image where it comes from. */
  readonly imageID: string;
  readonly outcome: 'imported' | 'there already' | 'same picture' | 'failed';
  readonly kind?: Entry['kind'];
  /** The image that it is here. */
  readonly importedAs?: string;
  /** What could not be done for it, or why nothing was. */
  readonly note?: string;
}

interface ImportOptions extends ClientOptions, SecretOptions {
  readonly from?: string;
  readonly fromAccount?: string;
  readonly fromKey?: string;
  readonly parallel: number;
}

/** What is to be imported, and what gets the picture of one. */
interface Work {
  readonly origin: readonly { readonly imageID: string; readonly disabledOn?: unknown }[];
  entryOf(imageID: string): Promise<Entry>;
  bytesOf(entry: Entry): Promise<Buffer<ArrayBuffer>>;
  placed(entry: Entry): Promise<void>;
  close(): Promise<void>;
}

export function addImportCommand(program: Command, surroundings: Surroundings): void {
  const command = clientCommand(
    program,
    'import',
    'copy images into the account, out of an exported folder or another server; again, only what is missing',
  )
    .argument('[folder]', 'what "vitrine export" wrote')
    .option('--from <url or profile>', 'instead: a server that speaks this protocol, or a profile')
    .option('--from-account <uuid>', 'the account there, unless a profile has that server')
    .option('--from-key <public key>', 'the public key there');
  withParallel(withSecret(command)).action(async (folder: string | undefined, options: ImportOptions) => {
    if ((folder === undefined) === (options.from === undefined)) {
      throw new AppError('invalid-request', 'give either a folder or --from');
    }
    const target = await connectAs(options, surroundings, { patient: true });
    const ledger = await Ledger.open(configFolder(surroundings.env), target);
    const work =
      folder === undefined
        ? await fromServer(await sourceOf(options, surroundings), target, ledger, surroundings)
        : await fromFolder(folder);
    const placing = new Placing(target, ledger, work);
    // Disabled images go first: while they are not disabled yet they need room in the quota, which later is full.
    const order = work.origin.toSorted((a, b) => Number(!a.disabledOn) - Number(!b.disabledOn));
    const progress = await startProgress(surroundings, order.length, 'images', options.json === true);
    const results: Result[] = [];
    try {
      await forEach(order, options.parallel, async ({ imageID }) => {
        const result = await placing.place(imageID);
        results.push(result);
        progress.done(lineOf(result), result.note !== undefined || result.kind === 'downscaled');
      });
    } finally {
      progress.end();
      await work.close();
      await ledger.close();
    }
    report(results, options, surroundings);
  });
}

/** Brings images into an account, each picture once. */
class Placing {
  readonly #target: Connection;
  readonly #ledger: Ledger;
  readonly #work: Work;
  /** Renditions of different originals may be the same: the image that brings each picture, by digest, and if it could. */
  readonly #seen = new Map<string, { readonly imageID: string; readonly placed: Promise<boolean> }>();

  constructor(target: Connection, ledger: Ledger, work: Work) {
    this.#target = target;
    this.#ledger = ledger;
    this.#work = work;
  }

  async place(imageID: string): Promise<Result> {
    const { promise: placed, resolve: settle } = Promise.withResolvers<boolean>();
    try {
      const entry = await this.#work.entryOf(imageID);
      const { digest, kind } = entry;
      // One that failed brought nothing, and the next of them tries its own luck.
      for (let first = this.#seen.get(digest); first !== undefined; first = this.#seen.get(digest)) {
        if (await first.placed)
          return { imageID, outcome: 'same picture', kind, note: `the same as ${first.imageID}` };
        if (this.#seen.get(digest) === first) break;
      }
      this.#seen.set(digest, { imageID, placed });
      const { outcome, image } = await this.#put(entry);
      const note = image
        ? await this.#follow(entry, image)
        : 'the server does not say which image has its bytes: alt text and state were left alone';
      await this.#work.placed(entry);
      settle(true);
      return {
        imageID,
        outcome,
        kind,
        ...(image && { importedAs: image.imageID }),
        ...(note !== undefined && { note }),
      };
    } catch (error) {
      const why = isAppError(error) ? error.message : await refusalOf(error);
      return { imageID, outcome: 'failed', note: why };
    } finally {
      settle(false);
    }
  }

  async #put(entry: Entry): Promise<{ outcome: Result['outcome']; image: Image | undefined }> {
    const before = await this.#ledger.imageWith(entry.digest);
    if (before) return { outcome: 'there already', image: before };
    const { altText, focalPoint } = entry;
    const { accountID, vitrine } = this.#target;
    const image = { fileName: `${entry.digest}.${entry.format}`, content: await this.#work.bytesOf(entry) };
    try {
      const given = { ...(altText !== undefined && { altText }), ...(focalPoint && { focalPoint }) };
      const metadata = Object.keys(given).length === 0 ? {} : { metadata: given };
      const { result } = await vitrine.images.upload({ accountID, image, ...metadata });
      await this.#ledger.add(entry.digest, result);
      return { outcome: 'imported', image: result };
    } catch (error) {
      const { DuplicateImageError } = await import('@vitrine/client');
      if (!(error instanceof DuplicateImageError)) throw error;
      // Also what a run did that was killed before it could write it down.
      if (error.existing) await this.#ledger.add(entry.digest, error.existing);
      return { outcome: 'there already', image: error.existing };
    }
  }

  /** Gives an image the alt text and the state that it has where it comes from. Returns what was not possible. */
  async #follow(entry: Entry, image: Image): Promise<string | undefined> {
    const { accountID, vitrine } = this.#target;
    const { imageID } = image;
    const altDiffers = (image.altText ?? '') !== (entry.altText ?? '');
    if (image.disabledOn) {
      // Somebody disabled it here, and that is not to be undone in passing.
      if (!entry.disabledOn) return 'it is disabled here, and stays so';
      return altDiffers ? 'it is disabled here, with another alt text' : undefined;
    }
    let note: string | undefined;
    if (altDiffers || !hasFocalPoint(image, entry)) {
      const { altText = '', focalPoint } = entry;
      const metadata = { altText, ...(focalPoint && { focalPoint }) };
      const { result } = await vitrine.images.updateMetadata({ accountID, imageID, ...metadata });
      await this.#ledger.add(entry.digest, result);
      if (!hasFocalPoint(result, entry)) note = 'its focal point could not be set';
    }
    if (entry.disabledOn) await vitrine.images.delete({ accountID, imageID });
    return note;
  }
}

/** Whether an image has the focal point that it is to have; where none is, any will do. */
function hasFocalPoint(image: Image, { focalPoint }: Entry): boolean {
  const { x, y } = image.focalPoint ?? {};
  return !focalPoint || (focalPoint.x === x && focalPoint.y === y);
}

async function fromFolder(folder: string): Promise<Work> {
  const archive = await Archive.open(folder);
  const entries = new Map(archive.entries.map((entry) => [entry.imageID, entry]));
  return {
    origin: archive.entries,
    async entryOf(imageID) {
      const entry = entries.get(imageID);
      if (!entry) throw new AppError('not-found', 'the folder has no such image');
      return entry;
    },
    bytesOf: (entry) => archive.bytesOf(entry),
    placed: async () => undefined,
    close: () => archive.close(),
  };
}

/**
 * Each picture passes through a folder of this command's own, and is uploaded from there. So a run that was killed in between
 * uploads the very same bytes again, which the server knows, and not a rendition that was made anew and may differ.
 */
async function fromServer(
  source: Connection,
  target: Connection,
  ledger: Ledger,
  { env }: Surroundings,
): Promise<Work> {
  const { serverURL, accountID, vitrine } = source;
  const copies = join(configFolder(env), 'copies');
  await makePrivate(copies);
  const folder = join(copies, nameOf(serverURL, accountID, target.serverURL, target.accountID));
  await makePrivate(folder);
  const archive = await Archive.create(folder, { serverURL, accountID });
  const pictures = new Pictures(source);
  const images = new Map<string, Image>();
  for await (const image of vitrine.images.list({ accountID })) images.set(image.imageID, image);
  return {
    origin: [...images.values()].reverse(),
    async entryOf(imageID) {
      const image = images.get(imageID);
      if (!image) throw new AppError('not-found', 'the account there has no such image');
      const known = archive.entryOf(image);
      if (known && ((await ledger.imageWith(known.digest)) || (await archive.holds(known)))) return known;
      return archive.add(image, await pictures.get(image));
    },
    bytesOf: (entry) => archive.bytesOf(entry),
    placed: (entry) => archive.drop(entry),
    close: () => archive.close(),
  };
}

async function sourceOf(options: ImportOptions, surroundings: Surroundings): Promise<Connection> {
  const { from = '', fromAccount, fromKey, ...rest } = options;
  const profiles = new Profiles(configFolder(surroundings.env));
  const profile = /^https?:/i.test(from) ? undefined : await profiles.get(from);
  if (profile) return connect(profile, { patient: true });
  if (fromKey !== undefined) {
    if (fromAccount === undefined) throw new AppError('invalid-request', '--from-key needs --from-account');
    const given = { server: from, account: fromAccount, key: fromKey };
    return connect(await readProfile({ ...rest, ...given }, surroundings), { patient: true });
  }
  const of = (one: Profile) =>
    one.serverURL === from.replace(/\/+$/, '') &&
    (fromAccount === undefined || one.accountID === fromAccount);
  const found = [...(await profiles.all()).values()].filter(of);
  const [only] = found;
  if (only && found.length === 1) return connect(only, { patient: true });
  throw new AppError(
    'invalid-request',
    only
      ? 'several profiles have that server: name one of them, or give --from-account'
      : 'no profile has that server: give --from-account and --from-key',
  );
}

function lineOf({ imageID, outcome, kind, importedAs, note }: Result): string {
  return [outcome, imageID, importedAs, kind, note].filter((part) => part !== undefined).join('  ');
}

function report(results: readonly Result[], options: ClientOptions, { write }: Surroundings): void {
  const number = (outcome: Result['outcome']) => results.filter((one) => one.outcome === outcome).length;
  const failed = number('failed');
  const counts = (['imported', 'there already', 'same picture', 'failed'] as const)
    .map((outcome) => `${number(outcome)} ${outcome}`)
    .join(', ');
  write(options.json ? json(results) : `${counts}\n`);
  if (failed > 0) throw new PartlyDone(`${failed} of ${results.length} images were not imported`);
  OnlyRenditions.check(results);
}
