/**
 * The folder of `vitrine export`: picture files named by their SHA-256, and a manifest with one JSON line for
 * each image. It is valid after a kill at any moment.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import { AppError } from '../../errors.ts';
import { FORMATS, type ImageFormat, isDigest, isImageFormat } from '../../image.ts';
import { asObject } from '../../validation/json.ts';
import { PICTURE_KINDS, type Picture } from './image-download.ts';
import { JsonlFile, readRecords } from './jsonl-file.ts';

/** An image in an archive. Times are RFC 3339 texts. */
export interface ArchiveEntry {
  readonly imageID: string;
  readonly publicID: string;
  readonly altText?: string;
  /** Fractions of width and height. */
  readonly focalPoint?: { readonly x: number; readonly y: number };
  /** Absent if the image has none, or if an earlier release exported it. */
  readonly fileName?: string;
  readonly tags?: readonly string[];
  readonly createdOn: string;
  readonly updatedOn: string;
  readonly disabledOn?: string;
  /** SHA-256 of the picture, and the name of its file. */
  readonly digest: string;
  readonly format: ImageFormat;
  readonly kind: Picture['kind'];
}

/** The account that the images come from. */
interface Origin {
  readonly serverURL: string;
  readonly accountID: string;
}

/** The version of the manifest format. */
const VERSION = 1;

export class Archive {
  readonly origin: Origin;
  readonly #folder: string;
  readonly #entries: Map<string, ArchiveEntry>;
  #manifest: JsonlFile | undefined;

  private constructor(folder: string, origin: Origin, entries: Map<string, ArchiveEntry>) {
    this.#folder = folder;
    this.origin = origin;
    this.#entries = entries;
  }

  /**
   * Opens an archive to read it.
   * @throws AppError `not-found`; `invalid-request` if the manifest is not valid.
   */
  static async open(folder: string): Promise<Archive> {
    const archive = await Archive.#read(folder);
    if (!archive)
      throw new AppError('not-found', `${folder} has no ${MANIFEST}: it is not an exported folder`);
    return archive;
  }

  /**
   * Opens an archive to add to it, or creates it.
   * @throws AppError `conflict` if it belongs to another account; `invalid-request` if the manifest is not
   * valid.
   */
  static async create(folder: string, origin: Origin): Promise<Archive> {
    await mkdir(join(folder, PICTURES), { recursive: true });
    const existing = await Archive.#read(folder);
    const { accountID, serverURL } = existing?.origin ?? origin;
    if (accountID !== origin.accountID || serverURL !== origin.serverURL) {
      throw new AppError('conflict', `${folder} belongs to the account ${accountID} of ${serverURL}`);
    }
    const archive = existing ?? new Archive(folder, origin, new Map());
    archive.#manifest = await JsonlFile.open(join(folder, MANIFEST));
    if (!existing) await archive.#manifest.add(headOf(origin), { durable: true });
    return archive;
  }

  static async #read(folder: string): Promise<Archive | undefined> {
    const [head, ...records] = await readRecords(join(folder, MANIFEST));
    if (head === undefined) return undefined;
    const { vitrineExport, serverURL, accountID } = asObject(head) ?? {};
    if (vitrineExport !== VERSION || typeof serverURL !== 'string' || typeof accountID !== 'string') {
      const path = join(folder, MANIFEST);
      throw new AppError('invalid-request', `${path} is not a manifest of version ${VERSION}`);
    }
    // A later line for the same image replaces an earlier one.
    const entries = new Map(records.flatMap(parseEntry).map((entry) => [entry.imageID, entry]));
    return new Archive(folder, { serverURL, accountID }, entries);
  }

  get entries(): readonly ArchiveEntry[] {
    return [...this.#entries.values()];
  }

  /** The entry of an image, with its current metadata; undefined if the picture may have changed since. */
  entryOf(image: Image): ArchiveEntry | undefined {
    const entry = this.#entries.get(image.imageID);
    if (entry?.updatedOn !== image.updatedOn.toISOString()) return undefined;
    const { digest, format, kind } = entry;
    // Disabling an image does not change `updatedOn`, so the new entry takes `disabledOn` from the image.
    return createEntry(image, { digest, format, kind });
  }

  /** Stores a picture: first the file, then the manifest line that refers to it. */
  async add(image: Image, { bytes, format, kind }: Picture): Promise<ArchiveEntry> {
    const digest = digestOf(bytes);
    const entry = createEntry(image, { digest, format, kind });
    await this.#writeFile(this.pathOf(entry), bytes);
    await this.update(entry);
    return entry;
  }

  /** Writes an entry to the manifest, unless it is there unchanged. */
  async update(entry: ArchiveEntry): Promise<void> {
    if (JSON.stringify(this.#entries.get(entry.imageID)) === JSON.stringify(entry)) return;
    this.#entries.set(entry.imageID, entry);
    await this.#manifest?.add(entry, { durable: true });
  }

  /** Whether the picture file exists and its bytes have the digest of the entry. */
  async hasIntactFile(entry: ArchiveEntry): Promise<boolean> {
    const bytes = await this.#readFile(entry);
    return bytes !== undefined && digestOf(bytes) === entry.digest;
  }

  /** The bytes of a picture. @throws AppError `invalid-image` if the file is missing or damaged. */
  async readPicture(entry: ArchiveEntry): Promise<Buffer<ArrayBuffer>> {
    const bytes = await this.#readFile(entry);
    if (!bytes) throw new AppError('invalid-image', `the file ${this.pathOf(entry)} is missing`);
    if (digestOf(bytes) === entry.digest) return bytes;
    throw new AppError(
      'invalid-image',
      `the file ${this.pathOf(entry)} does not have the digest in its name`,
    );
  }

  pathOf({ digest, format }: ArchiveEntry): string {
    return join(this.#folder, PICTURES, `${digest}.${FORMATS[format].extensions[0]}`);
  }

  /** Deletes the file of a picture. Its entry stays. */
  async deleteFile(entry: ArchiveEntry): Promise<void> {
    await rm(this.pathOf(entry), { force: true });
  }

  /**
   * Closes the archive.
   * @param imageIDs if given, rewrites the manifest with only these images, in this order.
   */
  async close(imageIDs?: readonly string[]): Promise<void> {
    await this.#manifest?.close();
    if (!imageIDs) return;
    const entries = imageIDs.flatMap((imageID) => this.#entries.get(imageID) ?? []);
    const text = [headOf(this.origin), ...entries].map((line) => `${JSON.stringify(line)}\n`).join('');
    const draft = join(this.#folder, `${MANIFEST}.${randomBytes(6).toString('hex')}`);
    await writeFile(draft, text, { flush: true });
    await rename(draft, join(this.#folder, MANIFEST));
  }

  async #readFile(entry: ArchiveEntry): Promise<Buffer<ArrayBuffer> | undefined> {
    return readFile(this.pathOf(entry)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  /** Writes a draft and renames it, because a file with a digest as its name must be complete. */
  async #writeFile(path: string, bytes: Buffer): Promise<void> {
    const draft = `${path}.${randomBytes(6).toString('hex')}`;
    const file = await open(draft, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await rename(draft, path);
  }
}

const MANIFEST = 'manifest.jsonl';
const PICTURES = 'originals';

function headOf({ serverURL, accountID }: Origin): object {
  return { vitrineExport: VERSION, serverURL, accountID };
}

function createEntry(image: Image, picture: Pick<ArchiveEntry, 'digest' | 'format' | 'kind'>): ArchiveEntry {
  const { imageID, publicID, altText, focalPoint, fileName, tags = [] } = image;
  const { createdOn, updatedOn, disabledOn } = image;
  return {
    imageID,
    publicID,
    ...(altText !== undefined && { altText }),
    ...(focalPoint !== undefined && { focalPoint }),
    ...(fileName !== undefined && { fileName }),
    ...(tags.length > 0 && { tags }),
    createdOn: createdOn.toISOString(),
    updatedOn: updatedOn.toISOString(),
    ...(disabledOn !== undefined && { disabledOn: disabledOn.toISOString() }),
    ...picture,
  };
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Reads a manifest line. A manifest may come from another machine. File names are built from the digest and
 * the format, so both are checked. A line must not refer to a file outside the folder.
 */
function parseEntry(record: unknown): ArchiveEntry[] {
  const fields = asObject(record) ?? {};
  const { imageID, publicID, createdOn, updatedOn, digest, format, kind } = fields;
  const { altText, fileName, tags = [], disabledOn } = fields;
  const hasRequired = [imageID, publicID, createdOn, updatedOn].every((field) => typeof field === 'string');
  const hasOptional = [altText, fileName, disabledOn].every(
    (field) => field === undefined || typeof field === 'string',
  );
  const hasTags = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string');
  const hasDigest = typeof digest === 'string' && isDigest(digest);
  const hasPicture = isImageFormat(String(format)) && PICTURE_KINDS.some((expected) => expected === kind);
  const isEntry = hasRequired && hasOptional && hasTags && hasDigest && hasPicture;
  return isEntry ? [fields as unknown as ArchiveEntry] : [];
}
