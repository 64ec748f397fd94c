/**
 * A disk that takes seconds for each sync or link delays the writes that need it, and no other request.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { injectFault, skip } from './faults.ts';
import { type Library, startLibrary } from './library.ts';
import { createUpload, IMAGES, sendRequest } from './requests.ts';

/** Milliseconds that each slow call takes: longer than a link uses a cached record. */
const DELAY = 6_000;
const TIMEOUT = 180_000;

/**
 * Requests the paths repeatedly until `work` ends.
 * @returns the longest wait for each path in milliseconds, and all statuses
 */
async function requestDuring(
  work: Promise<unknown>,
  url: string,
  paths: readonly string[],
): Promise<{ waits: Record<string, number>; statuses: (number | undefined)[] }> {
  let isDone = false;
  const watched = work.finally(() => {
    isDone = true;
  });
  const waits = Object.fromEntries(paths.map((path) => [path, 0]));
  const statuses = new Set<number | undefined>();
  while (!isDone) {
    for (const path of paths) {
      const start = performance.now();
      statuses.add((await sendRequest(url, { path, headers: { accept: 'image/webp' } }))?.status);
      waits[path] = Math.max(waits[path] ?? 0, performance.now() - start);
    }
  }
  await watched;
  return { waits, statuses: [...statuses] };
}

/** A library with an image whose default rendition is in memory. */
async function startWarmLibrary(t: TestContext) {
  const library = await startLibrary(t);
  const { journal } = library;
  await library.writeUntil(() => journal.images.size >= 3);
  const [warm] = journal.images.values();
  assert.ok(warm);
  assert.equal((await library.requestRendition(warm))?.status, 200);
  return { library, link: `/images/${warm.publicID}?size=400x400` };
}

/** Lists the paths that waited for a slow call. Such a request waits for more than half of the delay. */
function listBlocked(waits: Record<string, number>): string[] {
  return Object.entries(waits).flatMap(([path, wait]) => (wait < DELAY / 2 ? [] : [`${path}: ${wait} ms`]));
}

async function upload({ server, journal, pictures }: Library): Promise<number | undefined> {
  const { bytes, digest } = pictures.get(journal.nextNumber());
  const answer = await sendRequest(server.url, createUpload(bytes));
  if (answer?.status === 201) journal.addImage(answer.json(), digest);
  return answer?.status;
}

test('slow syncs of the database delay a write, but not /livez, warm links and lists', {
  skip,
  timeout: TIMEOUT,
}, async (t) => {
  const { library, link } = await startWarmLibrary(t);
  const { server, data } = library;
  const fault = await injectFault(server.pid, {
    calls: 'fsync,fdatasync',
    inject: `delay_enter=${DELAY * 1_000}`,
    // Only the database, which is the last wait of an upload.
    paths: [join(data, 'vitrine.db-wal'), join(data, 'vitrine.db')],
  });
  const start = performance.now();
  const uploading = upload(library);
  const { waits, statuses } = await requestDuring(uploading, server.url, ['/livez', link, IMAGES]);
  const duration = performance.now() - start;
  await fault.end();
  t.diagnostic(JSON.stringify({ duration, waits }));
  assert.ok(duration > DELAY, 'the write waited for the disk');
  assert.equal(await uploading, 201);
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(listBlocked(waits), []);
  assert.deepEqual(await library.inspect({ allImages: true }), []);
});

test('slow links of blobs delay uploads, but not /livez, warm links and lists', {
  skip,
  timeout: TIMEOUT,
}, async (t) => {
  const { library, link } = await startWarmLibrary(t);
  const { server } = library;
  const fault = await injectFault(server.pid, {
    calls: 'link,linkat',
    inject: `delay_enter=${DELAY * 1_000}`,
  });
  // More uploads than Node has threads for files.
  const uploads = Promise.all(Array.from({ length: 5 }, () => upload(library)));
  const { waits, statuses } = await requestDuring(uploads, server.url, ['/livez', link, IMAGES]);
  await fault.end();
  t.diagnostic(JSON.stringify({ waits }));
  assert.deepEqual(new Set(await uploads), new Set([201]));
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(listBlocked(waits), []);
  assert.deepEqual(await library.inspect({ allImages: true }), []);
});
