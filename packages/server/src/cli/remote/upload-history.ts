/**
 * Owns the ledger: which bytes were uploaded to an account from here, by digest, and whether that still holds. The ledger is
 * a hint, and the account's list the proof: what was replaced since is sent again. Refuses to know files and terminals.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Image } from '@vitrine/client';
import type { Connection } from './connection.ts';
import { fieldsOf, Records, readRecords } from './jsonl-file.ts';
import { makePrivate } from './profiles.ts';

interface Line {
  readonly digest: string;
  readonly imageID: string;
  /** The image's, when it had these bytes. Another one means that it may have others. */
  readonly updatedOn: string;
}

/** What was uploaded to one account from here. */
export class Ledger {
  readonly #records: Records;
  readonly #lines: Map<string, Line>;
  readonly #listed: Listed;

  private constructor(records: Records, lines: Map<string, Line>, listed: Listed) {
    this.#records = records;
    this.#lines = lines;
    this.#listed = listed;
  }

  /** @param folder the command's own; ledgers are kept there for each account of each server. */
  static async open(folder: string, connection: Connection): Promise<Ledger> {
    const ledgers = join(folder, 'uploads');
    await makePrivate(folder);
    await makePrivate(ledgers);
    const path = join(ledgers, `${nameOf(connection.serverURL, connection.accountID)}.jsonl`);
    const lines = new Map((await readRecords(path)).flatMap(read).map((line) => [line.digest, line]));
    return new Ledger(await Records.open(path), lines, new Listed(connection));
  }

  /** The image of the account that is known to have these bytes; undefined if none is. */
  async imageWith(digest: string): Promise<Image | undefined> {
    const line = this.#lines.get(digest);
    if (!line) return undefined;
    const image = await this.#listed.find(line.imageID);
    return image?.updatedOn.toISOString() === line.updatedOn ? image : undefined;
  }

  /** Remembers that an image has these bytes. */
  async add(digest: string, { imageID, updatedOn }: Image): Promise<void> {
    await this.#records.add({ digest, imageID, updatedOn: updatedOn.toISOString() } satisfies Line);
  }

  close(): Promise<void> {
    return this.#records.close();
  }
}

/** The account's images, listed only as far as was asked. */
class Listed {
  readonly #seen = new Map<string, Image>();
  readonly #images: AsyncIterator<Image>;
  #reading: Promise<unknown> = Promise.resolve();
  #ended = false;

  constructor({ vitrine, accountID }: Connection) {
    this.#images = vitrine.images.list({ accountID })[Symbol.asyncIterator]();
  }

  find(imageID: string): Promise<Image | undefined> {
    // One after the other: what one reads, the next may be looking for.
    const found = this.#reading.then(() => this.#readUntil(imageID));
    this.#reading = found.catch(() => undefined);
    return found;
  }

  async #readUntil(imageID: string): Promise<Image | undefined> {
    while (!this.#seen.has(imageID) && !this.#ended) {
      const next = await this.#images.next();
      if (next.done) this.#ended = true;
      else this.#seen.set(next.value.imageID, next.value);
    }
    return this.#seen.get(imageID);
  }
}

/** A name for files about an account of a server. */
export function nameOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

function read(record: unknown): Line[] {
  const { digest, imageID, updatedOn } = fieldsOf(record) ?? {};
  const texts = [digest, imageID, updatedOn].every((each) => typeof each === 'string');
  return texts ? [{ digest, imageID, updatedOn } as Line] : [];
}
