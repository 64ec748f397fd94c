/**
 * A server, the clients that write to it, and their journal. Tests break something under the running server
 * and then compare the library with the journal.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { inspectLibrary } from './check/inspection.ts';
import { checkSqliteFile, createSqliteQuery, readImages, type StoredImage } from './check/records.ts';
import { type ImageEntry, Journal } from './journal.ts';
import { createPictureSet, type PictureSet } from './pictures.ts';
import type { PostgresLibrary } from './postgres-library.ts';
import { createRandom } from './random.ts';
import { type Answer, sendRequest } from './requests.ts';
import { Writers } from './writers.ts';

export interface Library {
  /** The current server: another one after `restart`. */
  readonly server: ServerProcess;
  readonly journal: Journal;
  readonly pictures: PictureSet;
  /** The data folder of the server. */
  readonly data: string;
  /** A sentence for each unexpected answer that a writer got. */
  readonly problems: string[];
  /** Lets clients write until the condition is true or the server ends. Checks it after each answer. */
  writeUntil(condition: () => boolean): Promise<void>;
  /**
   * Compares the library with the journal.
   * @param options with `allImages`, images without requests since the last comparison too
   * @returns a sentence for each difference
   */
  inspect(options?: { allImages: boolean }): Promise<string[]>;
  /** Starts the server again after it has ended. */
  restart(): Promise<void>;
  /** Reads the records of images from the database. */
  readImages(): Promise<StoredImage[]>;
  /** Requests a rendition as WebP. */
  requestRendition(image: ImageEntry, size?: string): Promise<Answer | undefined>;
}

const WRITERS = 4;

export async function startLibrary(
  t: { after(end: () => Promise<void>): void },
  options: {
    /** The data folder. Default: a new one, which is removed at the end. */
    readonly data?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly postgres?: PostgresLibrary;
    readonly seed?: number;
  } = {},
): Promise<Library> {
  const { postgres, env, seed = 1 } = options;
  const data = options.data ?? (await mkdtemp(join(tmpdir(), 'vitrine-faults-')));
  const port = await freePort();
  const serverOptions = { data, port, env: { ...env, ...(postgres && { VITRINE_DATABASE: postgres.url }) } };
  let server = await startServerProcess(serverOptions);
  t.after(async () => {
    await server.kill();
    if (options.data === undefined) await rm(data, { recursive: true, force: true, maxRetries: 3 });
  });
  const journal = new Journal();
  const pictures = await createPictureSet();
  const problems: string[] = [];
  const query = postgres?.query ?? createSqliteQuery(join(data, 'vitrine.db'));
  let turn = 0;
  return {
    get server() {
      return server;
    },
    journal,
    pictures,
    data,
    problems,
    async writeUntil(condition) {
      turn += 1;
      const random = createRandom(seed * 1000 + turn);
      const writers = new Writers({ url: server.url, journal, pictures, problems, random });
      const writing = writers.run(WRITERS);
      await Promise.race([journal.waitUntil(condition), writing, server.exited]);
      writers.stop();
      await writing;
    },
    async restart() {
      server = await startServerProcess(serverOptions);
    },
    readImages: () => readImages(query),
    inspect: async ({ allImages } = { allImages: false }) => [
      ...(await inspectLibrary({
        url: server.url,
        blobs: join(data, 'blobs'),
        query,
        journal,
        pictures,
        allImages,
      })),
      ...(postgres ? [] : await checkSqliteFile(query)),
    ],
    requestRendition: (image, size = '400x400') =>
      sendRequest(server.url, {
        path: `/images/${image.publicID}?size=${size}`,
        headers: { accept: 'image/webp' },
      }),
  };
}
