/**
 * Owns the folder that an account is exported to: pictures in files named by their SHA-256, and a manifest of one JSON line
 * for each image. It is whole after every kill, and says itself what it lacks. Refuses to know servers.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import { AppError } from '../../errors.ts';
import type { ImageFormat } from '../../image.ts';
import { KINDS, type Picture } from './image-download.ts';
import { fieldsOf, Records, readRecords } from './jsonl-file.ts';

/** An image in an archive. Times are RFC 3339 texts. */
export interface Entry {
  readonly imageID: string;
  readonly publicID: string;
  readonly altText?: string;
  /** Shares of width and height. */
  readonly focalPoint?: { readonly x: number; readonly y: number };
  readonly createdOn: string;
  readonly updatedOn: string;
  readonly disabledOn?: string;
  /** SHA-256 of the picture, and the name of its file. */
  readonly digest: string;
  readonly format: ImageFormat;
  readonly kind: Picture['kind'];
}

/** Whose images they are. */
export interface Origin {
  readonly serverURL: string;
  readonly accountID: string;
}

/** What this version writes and reads. */
const VERSION = 1;
const EXTENSIONS: Readonly<Record<ImageFormat, string>> = { jpeg: 'jpg', png: 'png', webp: 'webp' };

export class Archive {
  readonly origin: Origin;
  readonly #folder: string;
  readonly #entries: Map<string, Entry>;
  #manifest: Records | undefined;

  private constructor(folder: string, origin: Origin, entries: Map<string, Entry>) {
    this.#folder = folder;
    this.origin = origin;
    this.#entries = entries;
  }

  /** Opens an archive to read it. @throws AppError `not-found` if there is none, `invalid-request` if it is none. */
  static async open(folder: string): Promise<Archive> {
    const found = await Archive.#find(folder);
    if (!found) throw new AppError('not-found', `${folder} holds no ${MANIFEST}: nothing was exported to it`);
    return found;
  }

  /** Opens an archive to add to it, or makes one. @throws AppError `conflict` if it is another account's. */
  static async create(folder: string, origin: Origin): Promise<Archive> {
    await mkdir(join(folder, PICTURES), { recursive: true });
    const found = await Archive.#find(folder);
    const { accountID, serverURL } = found?.origin ?? origin;
    if (accountID !== origin.accountID || serverURL !== origin.serverURL) {
      throw new AppError('conflict', `${folder} holds the account ${accountID} of ${serverURL}`);
    }
    const archive = found ?? new Archive(folder, origin, new Map());
    archive.#manifest = await Records.open(join(folder, MANIFEST));
    if (!found) await archive.#manifest.add(headOf(origin), { durable: true });
    return archive;
  }

  static async #find(folder: string): Promise<Archive | undefined> {
    const [head, ...rest] = await readRecords(join(folder, MANIFEST));
    if (head === undefined) return undefined;
    const { vitrineExport, serverURL, accountID } = fieldsOf(head) ?? {};
    if (vitrineExport !== VERSION || typeof serverURL !== 'string' || typeof accountID !== 'string') {
      throw new AppError('invalid-request', `${join(folder, MANIFEST)} is no manifest of version ${VERSION}`);
    }
    // A later line is what became of the image.
    const entries = new Map(rest.flatMap(read).map((entry) => [entry.imageID, entry]));
    return new Archive(folder, { serverURL, accountID }, entries);
  }

  get entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  /** What is known of an image's picture, if it is still the picture that it had then. */
  entryOf(image: Image): Entry | undefined {
    const entry = this.#entries.get(image.imageID);
    if (entry?.updatedOn !== image.updatedOn.toISOString()) return undefined;
    const { digest, format, kind } = entry;
    // Disabling leaves the time of the last change as it is.
    return entryFrom(image, { digest, format, kind });
  }

  /** Keeps the picture of an image: first the file, then the line that names it. */
  async add(image: Image, { bytes, format, kind }: Picture): Promise<Entry> {
    const digest = digestOf(bytes);
    const entry = entryFrom(image, { digest, format, kind });
    await this.#writeOnce(this.pathOf(entry), bytes);
    await this.note(entry);
    return entry;
  }

  /** Writes down what is new about an image. */
  async note(entry: Entry): Promise<void> {
    if (JSON.stringify(this.#entries.get(entry.imageID)) === JSON.stringify(entry)) return;
    this.#entries.set(entry.imageID, entry);
    await this.#manifest?.add(entry, { durable: true });
  }

  /** Whether the picture is there, every byte as it was. */
  async holds(entry: Entry): Promise<boolean> {
    const bytes = await this.#read(entry);
    return bytes !== undefined && digestOf(bytes) === entry.digest;
  }

  /** The picture. @throws AppError `invalid-image` if it is missing or is not what was exported. */
  async bytesOf(entry: Entry): Promise<Buffer<ArrayBuffer>> {
    const bytes = await this.#read(entry);
    if (!bytes) throw new AppError('invalid-image', `the file ${this.pathOf(entry)} is missing`);
    if (digestOf(bytes) === entry.digest) return bytes;
    throw new AppError('invalid-image', `the file ${this.pathOf(entry)} is not what was exported`);
  }

  pathOf({ digest, format }: Entry): string {
    return join(this.#folder, PICTURES, `${digest}.${EXTENSIONS[format]}`);
  }

  /** Lets the file of a picture go, which then is only known. */
  async drop(entry: Entry): Promise<void> {
    await rm(this.pathOf(entry), { force: true });
  }

  /** Ends the work. @param imageIDs if given, the manifest is written anew: a line for each of these, in this order. */
  async close(imageIDs?: readonly string[]): Promise<void> {
    await this.#manifest?.close();
    if (!imageIDs) return;
    const entries = imageIDs.flatMap((imageID) => this.#entries.get(imageID) ?? []);
    const text = [headOf(this.origin), ...entries].map((line) => `${JSON.stringify(line)}\n`).join('');
    const next = join(this.#folder, `${MANIFEST}.${randomBytes(6).toString('hex')}`);
    await writeFile(next, text, { flush: true });
    await rename(next, join(this.#folder, MANIFEST));
  }

  async #read(entry: Entry): Promise<Buffer<ArrayBuffer> | undefined> {
    return readFile(this.pathOf(entry)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  /** A name of a digest stands for its bytes, so it appears only once they are all there. */
  async #writeOnce(path: string, bytes: Buffer): Promise<void> {
    const next = `${path}.${randomBytes(6).toString('hex')}`;
    const file = await open(next, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } catch (error) {
      await rm(next, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await rename(next, path);
  }
}

const MANIFEST = 'manifest.jsonl';
const PICTURES = 'originals';

function headOf({ serverURL, accountID }: Origin): object {
  return { vitrineExport: VERSION, serverURL, accountID };
}

function entryFrom(image: Image, picture: Pick<Entry, 'digest' | 'format' | 'kind'>): Entry {
  const { imageID, publicID, altText, focalPoint, createdOn, updatedOn, disabledOn } = image;
  return {
    imageID,
    publicID,
    ...(altText !== undefined && { altText }),
    ...(focalPoint !== undefined && { focalPoint }),
    createdOn: createdOn.toISOString(),
    updatedOn: updatedOn.toISOString(),
    ...(disabledOn !== undefined && { disabledOn: disabledOn.toISOString() }),
    ...picture,
  };
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Manifests travel: a line names a file only by what a digest and a format are. */
function read(record: unknown): Entry[] {
  const fields = fieldsOf(record) ?? {};
  const { imageID, publicID, createdOn, updatedOn, altText, disabledOn, digest, format, kind } = fields;
  const required = [imageID, publicID, createdOn, updatedOn].every((each) => typeof each === 'string');
  const optional = [altText, disabledOn].every((each) => each === undefined || typeof each === 'string');
  const named = typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest);
  const known = Object.hasOwn(EXTENSIONS, String(format)) && KINDS.some((each) => each === kind);
  return required && optional && named && known ? [fields as unknown as Entry] : [];
}
