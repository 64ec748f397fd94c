/**
 * Libraries for the tests of maintenance: a running server, and the stores that a command opens next to it.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import sharp from 'sharp';
import { type Stores, withMaintenance, withStores } from '../../src/cli/admin/stores.ts';
import type { Maintenance } from '../../src/maintenance/maintenance.ts';
import type { Finding, VerifyOptions } from '../../src/maintenance/verify.ts';
import { picture } from './sample.ts';
import type { ImageJSON, TestServer } from './server.ts';

/** The variables with which a command opens the library of a server. */
export function envOf({ folder }: TestServer, database?: string): Record<string, string> {
  return {
    VITRINE_DATA: folder,
    VITRINE_RENDER_CONCURRENCY: '1',
    ...(database !== undefined && { VITRINE_DATABASE: database }),
  };
}

/** Opens the library next to its server and runs the work on its maintenance service. */
export function runMaintenance<T>(
  env: Record<string, string>,
  work: (maintenance: Maintenance) => Promise<T>,
): Promise<T> {
  return withMaintenance({ env }, work);
}

/** Opens the library next to its server and runs the work on its stores. */
export function runWithStores<T>(
  env: Record<string, string>,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  return withStores({ env }, work);
}

/** All findings of a verification. */
export function verifyLibrary(env: Record<string, string>, options: VerifyOptions = {}): Promise<Finding[]> {
  return runMaintenance(env, async (maintenance) => {
    const findings: Finding[] = [];
    for await (const finding of maintenance.verify(options)) findings.push(finding);
    return findings;
  });
}

/** A JPEG of 1400x1000 pixels in one colour: a small file with a rung of 1024 pixels. */
export function largePicture(red: number): Promise<Buffer> {
  const background = { r: red, g: 90, b: 120 };
  return sharp({ create: { width: 1_400, height: 1_000, channels: 3, background } })
    .jpeg()
    .toBuffer();
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function originalPath(server: TestServer, digest: string): string {
  return join(server.folder, 'blobs/originals', digest.slice(0, 2), digest);
}

export function rungPath(server: TestServer, digest: string, name: string): string {
  return join(server.folder, 'blobs/rungs', digest.slice(0, 2), digest, name);
}

/** Uploads `count` small pictures, with the numbers from `from` upward. */
export async function addPictures(server: TestServer, from: number, count: number): Promise<ImageJSON[]> {
  const images: ImageJSON[] = [];
  for (let number = from; number < from + count; number += 1) {
    images.push(await server.addImage(await picture(number)));
  }
  return images;
}

/**
 * Writes records and originals of `count` images directly, to keep a command busy for a while.
 * The originals are not valid pictures and have no rungs.
 */
export async function addManyImages(server: TestServer, count: number): Promise<void> {
  await server.addImage(await picture(0));
  const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
  try {
    raw.exec('pragma busy_timeout = 10000; begin immediate');
    const template = raw.prepare('select * from images').get() as Record<string, string | number | null>;
    const names = Object.keys(template);
    const insert = raw.prepare(
      `insert into images (${names.join(', ')}) values (${names.map(() => '?').join(', ')})`,
    );
    let size = 0;
    for (let number = 1; number < count; number += 1) {
      const bytes = Buffer.from(`Picture ${number}`);
      const digest = digestOf(bytes);
      const row: typeof template = {
        ...template,
        sequence: number + 1,
        image_id: randomUUID(),
        public_id: digest.slice(0, 21),
        digest,
        size: bytes.length,
      };
      insert.run(...names.map((name) => row[name] ?? null));
      await writeOriginal(server, bytes);
      size += bytes.length;
    }
    raw.exec(`insert into image_search
      select images.account_id, images.sequence, first.content from images
      join image_search first on first.account_id = images.account_id and first.sequence = 1
      where images.sequence > 1`);
    raw.exec(
      `update accounts set image_count = ${count}, enabled_count = ${count}, byte_count = byte_count + ${size} ` +
        `where account_id = '${template.account_id}'; commit`,
    );
  } finally {
    raw.close();
  }
}

/** Writes `count` originals without records. */
export async function addUnreferencedOriginals(server: TestServer, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    await writeOriginal(server, Buffer.from(`Unreferenced ${number}`));
  }
}

async function writeOriginal(server: TestServer, bytes: Buffer): Promise<void> {
  const path = originalPath(server, digestOf(bytes));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}
