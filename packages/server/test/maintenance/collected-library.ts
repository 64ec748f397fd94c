/** A library for the tests of garbage collection: records and blobs without a server, on either backend. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Readable } from 'node:stream';
import type { BlobDriver } from '../../src/blobs/driver.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import type { S3Location } from '../../src/blobs/location.ts';
import { openS3Blobs, type S3Limits } from '../../src/blobs/s3.ts';
import { BlobStore } from '../../src/blobs/store.ts';
import { openPostgres } from '../../src/database/postgres/postgres.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { type CollectOptions, GarbageCollection } from '../../src/maintenance/collect.ts';
import { joinLibrary } from '../../src/maintenance/installation.ts';
import { newLocation, type S3Server } from '../blobs/s3-servers.ts';
import { accountOf, BY, digestOf, newImage, originalOf } from '../conformance/metadata-samples.ts';
import type { TestPostgres } from '../support/postgres.ts';

/** Where a library is. Another process can open it too. */
export type Place =
  | { readonly kind: 'embedded'; readonly folder: string }
  | {
      readonly kind: 'remote';
      readonly folder: string;
      readonly url: string;
      readonly location: S3Location;
      readonly limits: Partial<S3Limits>;
    };

/** Deadlines that no busy machine reaches. */
const PATIENT = { read: 60_000, write: 60_000, background: 60_000 };

export async function openRecords(place: Place): Promise<MetadataStore> {
  return place.kind === 'embedded'
    ? openSqlite({ path: join(place.folder, 'vitrine.db') })
    : openPostgres({ url: place.url });
}

export async function openDriver(place: Place): Promise<BlobDriver> {
  const { folder } = place;
  if (place.kind === 'embedded') return openFileBlobs({ folder: join(folder, 'blobs') });
  const { location, limits } = place;
  return openS3Blobs({ location, stagingFolder: join(folder, 'staging'), limits });
}

export interface Backends {
  readonly postgres: TestPostgres | undefined;
  readonly s3: S3Server | undefined;
}

export interface SetUpOptions {
  /** The address of the S3 server, if it is behind a proxy. */
  readonly endpoint?: string;
  readonly limits?: Partial<S3Limits>;
}

/** A new library of one account. `close` removes it. */
export async function newLibrary(
  kind: Place['kind'],
  { postgres, s3 }: Backends,
  { endpoint, limits = {} }: SetUpOptions = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-collection-'));
  const newPlace = async (): Promise<Place> => {
    if (kind === 'embedded') return { kind, folder };
    if (!postgres || !s3) throw new Error('the test must be skipped');
    const location = { ...(await newLocation(s3)), ...(endpoint !== undefined && { endpoint }) };
    return {
      kind,
      folder,
      url: await postgres.createDatabase(),
      location,
      limits: { ...PATIENT, ...limits },
    };
  };
  const place = await newPlace();
  const [records, driver] = [await openRecords(place), await openDriver(place)];
  await records.migrate();
  const blobs = new BlobStore(driver);
  await joinLibrary({ records: records.maintenance, blobs });
  const account = accountOf();
  await records.accounts.create(account, BY);
  const images = records.forAccount(account.accountID, BY);

  /** Stores the bytes of a text, as an upload does before it adds its image. */
  const store = async (text: string) => {
    await using file = await blobs.stage(Readable.from([Buffer.from(text)]), { limit: 1_000 });
    await blobs.storeOriginal(file);
    await blobs.storeRungs(digestOf(text), [{ name: '3-1024.jpeg', bytes: Buffer.from('rung') }]);
    return digestOf(text);
  };
  return {
    ...{ place, records, driver, blobs, images, store },
    /** Adds an image, whose ID it returns. */
    async add(text: string): Promise<string> {
      await store(text);
      const image = newImage(text);
      await images.insert(image, { defaultQuota: 10_000 });
      return image.imageID;
    },
    async replace(imageID: string, text: string): Promise<void> {
      await store(text);
      await images.replace(imageID, { original: originalOf(text), updatedOn: new Date() });
    },
    /** Runs one SQL statement in the database. */
    async run(statement: string): Promise<Record<string, unknown>[]> {
      if (place.kind === 'remote') return (await postgres?.query(place.url, statement)) ?? [];
      const raw = new DatabaseSync(join(folder, 'vitrine.db'));
      try {
        return raw.prepare(statement).all() as Record<string, unknown>[];
      } finally {
        raw.close();
      }
    },
    /** A run without a grace period, by default over the whole store. */
    collect: (options: CollectOptions = {}, over: BlobDriver = driver, now = new Date()) =>
      new GarbageCollection({
        ...{ records: records.maintenance, blobs: new BlobStore(over), now: () => now },
        removalsAtOnce: kind === 'remote' ? 4 : 1,
      }).run({ grace: 0, ...options }),
    /** The keys of all blobs except the ID of the library, in order. */
    async keys(prefix = ''): Promise<string[]> {
      const keys: string[] = [];
      for await (const { key } of driver.list(prefix)) if (key !== 'library') keys.push(key);
      return keys.sort();
    },
    async close(): Promise<void> {
      await blobs.close();
      await records.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type CollectedLibrary = Awaited<ReturnType<typeof newLibrary>>;

/** Texts whose digests spread over the store. */
export function texts(count: number): string[] {
  const salt = randomUUID();
  return Array.from({ length: count }, (_, n) => `${salt} ${n}`);
}
