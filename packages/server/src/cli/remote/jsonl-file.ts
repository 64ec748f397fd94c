/**
 * Owns files of one JSON record a line that are only ever added to, so that a command which is killed leaves all that it
 * wrote before. Refuses to know what the records are.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises';

/** The records of a file, in the order they were written; none if there is no file. What is no record is passed over: a kill may tear the last. */
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

/** A file that records are added to. Several processes may do so at once: each record is one write. */
export class Records {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens a file, or makes one that only its user can read. */
  static async open(path: string): Promise<Records> {
    const file = await open(path, 'a+', 0o600);
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    // A line that a kill tore must not take the next one with it.
    if (size > 0 && buffer[0] !== 0x0a) await file.appendFile('\n');
    return new Records(file);
  }

  /** Adds a record. It survives the end of this process, and, with `durable`, of the machine. */
  async add(record: object, { durable = false } = {}): Promise<void> {
    await this.#file.write(`${JSON.stringify(record)}\n`);
    if (durable) await this.#file.datasync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** A record's fields, all of them unknown yet; undefined if it is no object. */
export function fieldsOf(record: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof record === 'object' && record !== null ? (record as Record<string, unknown>) : undefined;
}
