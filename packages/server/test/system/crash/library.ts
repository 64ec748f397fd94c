/**
 * A server with the clients that write to it and the journal they keep, for tests that break something beneath it while
 * it runs and want to know what came of that.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { type Answer, ask } from './asking.ts';
import { inspect } from './inspection.ts';
import { Journal, type KnownImage } from './journal.ts';
import type { PostgresLibrary } from './postgres-library.ts';
import { chance } from './random.ts';
import { type StoredImage, sqliteFaults, sqliteQuery, storedImages } from './records.ts';
import { createSupply, type Supply } from './supply.ts';
import { Writers } from './writers.ts';

export interface Library {
  /** The one that runs now. */
  readonly server: ServerProcess;
  readonly journal: Journal;
  readonly supply: Supply;
  /** The folder of the server's data. */
  readonly data: string;
  /** What no client should have seen. */
  readonly complaints: string[];
  /** Lets clients write until it holds, asked after each answer. Returns without, if the server ends. */
  writeUntil(holds: () => boolean): Promise<void>;
  /** Compares what changed, or the whole, with the journal; everything that is not as it must be. */
  inspect(options?: { whole: boolean }): Promise<string[]>;
  /** Starts the server again, after it has ended. */
  restart(): Promise<void>;
  /** The records, read past the server. */
  stored(): Promise<StoredImage[]>;
  /** The default rendition of an image. */
  show(image: KnownImage, size?: string): Promise<Answer | undefined>;
}

const WRITERS = 4;

export async function startLibrary(
  t: { after(end: () => Promise<void>): void },
  options: {
    /** A folder to use instead of a new one. */
    readonly data?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly postgres?: PostgresLibrary;
    readonly seed?: number;
  } = {},
): Promise<Library> {
  const { postgres, env, seed = 1 } = options;
  const data = options.data ?? (await mkdtemp(join(tmpdir(), 'vitrine-faults-')));
  const port = await freePort();
  const launching = { data, port, env: { ...env, ...(postgres && { VITRINE_DATABASE: postgres.url }) } };
  let server = await startServerProcess(launching);
  t.after(async () => {
    await server.kill();
    if (options.data === undefined) await rm(data, { recursive: true, force: true, maxRetries: 3 });
  });
  const journal = new Journal();
  const supply = await createSupply();
  const complaints: string[] = [];
  const query = postgres?.query ?? sqliteQuery(join(data, 'vitrine.db'));
  let turn = 0;
  return {
    get server() {
      return server;
    },
    journal,
    supply,
    data,
    complaints,
    async writeUntil(holds) {
      turn += 1;
      const writers = new Writers({
        url: server.url,
        journal,
        supply,
        complaints,
        chance: chance(seed * 1000 + turn),
      });
      const writing = writers.run(WRITERS);
      await Promise.race([journal.when(holds), writing, server.exited]);
      writers.stop();
      await writing;
    },
    async restart() {
      server = await startServerProcess(launching);
    },
    stored: () => storedImages(query),
    inspect: async ({ whole } = { whole: false }) => [
      ...(await inspect({
        url: server.url,
        blobs: join(data, 'blobs'),
        query,
        journal,
        supply,
        whole,
      })),
      ...(postgres ? [] : await sqliteFaults(query)),
    ],
    show: (image, size = '400x400') =>
      ask(server.url, { path: `/images/${image.publicID}?size=${size}`, headers: { accept: 'image/webp' } }),
  };
}
