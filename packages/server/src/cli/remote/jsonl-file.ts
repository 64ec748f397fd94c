/**
 * Append-only files with one JSON record on each line. A command that is killed keeps all records that it
 * wrote before.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises';

/**
 * The records of a file, in the order they were written; none if the file does not exist. Skips lines that
 * are not JSON: a kill may cut the last line.
 */
export async function readRecords(path: string): Promise<unknown[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as unknown];
    } catch {
      return [];
    }
  });
}

/** An open file. Several processes may append at once: each record is one write. */
export class JsonlFile {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens a file. A new file gets mode 0600. */
  static async open(path: string): Promise<JsonlFile> {
    const file = await open(path, 'a+', 0o600);
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    // If a kill cut the last line, a newline keeps the next record on its own line.
    if (size > 0 && buffer[0] !== 0x0a) await file.appendFile('\n');
    return new JsonlFile(file);
  }

  /**
   * Appends a record. The record survives the end of the process, and with `durable` also a power failure.
   */
  async add(record: object, { durable = false } = {}): Promise<void> {
    await this.#file.write(`${JSON.stringify(record)}\n`);
    if (durable) await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
