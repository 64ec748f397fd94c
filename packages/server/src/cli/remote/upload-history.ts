/**
 * Remembers which files were uploaded to an account from this machine, by digest. An entry counts only while
 * the account lists the image unchanged, so a replaced picture is sent again.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import { asObject } from '../../validation/json.ts';
import type { Connection } from './connection.ts';
import { JsonlFile, readRecords } from './jsonl-file.ts';
import { makePrivateFolder } from './profiles.ts';

/** A line of the history file. */
interface HistoryEntry {
  readonly digest: string;
  readonly imageID: string;
  /**
   * The `updatedOn` of the image when it had these bytes. With another `updatedOn`, it may have other bytes.
   */
  readonly updatedOn: string;
}

export class UploadHistory {
  readonly #file: JsonlFile;
  readonly #entries: Map<string, HistoryEntry>;
  readonly #images: ImageIndex;

  private constructor(file: JsonlFile, entries: Map<string, HistoryEntry>, images: ImageIndex) {
    this.#file = file;
    this.#entries = entries;
    this.#images = images;
  }

  /**
   * Opens the history of the account.
   * @param folder the configuration folder; it has one file for each account.
   */
  static async open(folder: string, connection: Connection, signal?: AbortSignal): Promise<UploadHistory> {
    const uploads = join(folder, 'uploads');
    await makePrivateFolder(folder);
    await makePrivateFolder(uploads);
    const path = join(uploads, `${hashName(connection.serverURL, connection.accountID)}.jsonl`);
    const entries = new Map(
      (await readRecords(path)).flatMap(parseEntry).map((entry) => [entry.digest, entry]),
    );
    return new UploadHistory(await JsonlFile.open(path), entries, new ImageIndex(connection, signal));
  }

  /** The image that was uploaded with these bytes and is unchanged; undefined if there is none. */
  async findImage(digest: string): Promise<Image | undefined> {
    const entry = this.#entries.get(digest);
    if (!entry) return undefined;
    const image = await this.#images.find(entry.imageID);
    return image?.updatedOn.toISOString() === entry.updatedOn ? image : undefined;
  }

  /** Records that the image has these bytes. */
  async add(digest: string, { imageID, updatedOn }: Image): Promise<void> {
    await this.#file.add({ digest, imageID, updatedOn: updatedOn.toISOString() } satisfies HistoryEntry);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** The images of the account by ID. Lists only as many pages as the lookups need. */
class ImageIndex {
  readonly #byID = new Map<string, Image>();
  readonly #list: AsyncIterator<Image>;
  #lastLookup: Promise<unknown> = Promise.resolve();
  #isComplete = false;

  constructor({ vitrine, accountID }: Connection, signal: AbortSignal | undefined) {
    this.#list = vitrine.images.list({ accountID }, signal && { signal })[Symbol.asyncIterator]();
  }

  find(imageID: string): Promise<Image | undefined> {
    // Lookups run one after the other: a page that one reads may contain the image of the next.
    const lookup = this.#lastLookup.then(() => this.#readUntil(imageID));
    this.#lastLookup = lookup.catch(() => undefined);
    return lookup;
  }

  async #readUntil(imageID: string): Promise<Image | undefined> {
    while (!this.#byID.has(imageID) && !this.#isComplete) {
      const next = await this.#list.next();
      if (next.done) this.#isComplete = true;
      else this.#byID.set(next.value.imageID, next.value);
    }
    return this.#byID.get(imageID);
  }
}

/** A file name for an account of a server, or for a pair of them: 32 hexadecimal digits of a hash. */
export function hashName(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

function parseEntry(record: unknown): HistoryEntry[] {
  const { digest, imageID, updatedOn } = asObject(record) ?? {};
  const isValid = [digest, imageID, updatedOn].every((field) => typeof field === 'string');
  return isValid ? [{ digest, imageID, updatedOn } as HistoryEntry] : [];
}
