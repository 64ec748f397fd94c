/**
 * A list of digests in a temporary file, because a large library has too many of them for the memory.
 */
import { randomUUID } from 'node:crypto';
import { appendFile, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../image.ts';

/** Digests that wait in memory for one write. */
const BATCH = 1_000;

export class DigestSpool implements AsyncDisposable {
  readonly #path: string;
  #waiting: Digest[] = [];

  private constructor(path: string) {
    this.#path = path;
  }

  /** Creates the file in this folder. */
  static async create(folder: string): Promise<DigestSpool> {
    const path = join(folder, `.${randomUUID()}.part`);
    await (await open(path, 'wx', 0o600)).close();
    return new DigestSpool(path);
  }

  async add(digest: Digest): Promise<void> {
    this.#waiting.push(digest);
    if (this.#waiting.length >= BATCH) await this.#flush();
  }

  /** All digests, in the order in which they were added. */
  async *read(): AsyncGenerator<Digest> {
    await this.#flush();
    const handle = await open(this.#path);
    try {
      yield* handle.readLines();
    } finally {
      await handle.close();
    }
  }

  async #flush(): Promise<void> {
    const lines = this.#waiting.map((digest) => `${digest}\n`);
    this.#waiting = [];
    await appendFile(this.#path, lines.join(''));
  }

  /** Removes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }
}
