/**
 * A disk that takes seconds for each sync: whoever writes waits for it, and nobody else.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ask, IMAGES, uploading } from './asking.ts';
import { faultyCalls, skip } from './faults.ts';
import { type Library, startLibrary } from './library.ts';

/** Milliseconds that each sync takes: longer than a record is believed without being asked for again. */
const DELAY = 6_000;
const TIMEOUT = 180_000;

/** Asks for each path again and again until the work is done: the longest wait for each, and every status. */
async function meanwhile(
  url: string,
  work: Promise<unknown>,
  paths: readonly string[],
): Promise<{ waits: Record<string, number>; statuses: (number | undefined)[] }> {
  let done = false;
  const finished = work.finally(() => {
    done = true;
  });
  const waits = Object.fromEntries(paths.map((path) => [path, 0]));
  const statuses = new Set<number | undefined>();
  while (!done) {
    for (const path of paths) {
      const asked = performance.now();
      statuses.add((await ask(url, { path, headers: { accept: 'image/webp' } }))?.status);
      waits[path] = Math.max(waits[path] ?? 0, performance.now() - asked);
    }
  }
  await finished;
  return { waits, statuses: [...statuses] };
}

/** A library with an image whose default rendition is in memory. */
async function warmLibrary(t: TestContext) {
  const library = await startLibrary(t);
  const { journal } = library;
  await library.writeUntil(() => journal.images.size >= 3);
  const [warm] = journal.images.values();
  assert.ok(warm);
  assert.equal((await library.show(warm))?.status, 200);
  return { library, link: `/images/${warm.publicID}?size=400x400` };
}

/**
 * Whoever is held up by a call that takes seconds waits for most of one of them: no answer may have taken half as long.
 */
function held(waits: Record<string, number>): string[] {
  return Object.entries(waits).flatMap(([path, wait]) => (wait < DELAY / 2 ? [] : [`${path}: ${wait} ms`]));
}

async function uploadInto({ server, journal, supply }: Library): Promise<number | undefined> {
  const { bytes, digest } = supply.picture(journal.number());
  const answer = await ask(server.url, uploading(bytes));
  if (answer?.status === 201) journal.add(answer.json(), digest);
  return answer?.status;
}

test('while the database takes seconds to sync, /livez, warm links and lists are answered, and the write is kept', {
  skip,
  timeout: TIMEOUT,
}, async (t) => {
  const { library, link } = await warmLibrary(t);
  const { server, data } = library;
  const fault = await faultyCalls(server.pid, {
    calls: 'fsync,fdatasync',
    inject: `delay_enter=${DELAY * 1_000}`,
    // Of the database alone: an upload waits for it last, and then for nothing else.
    paths: [join(data, 'vitrine.db-wal'), join(data, 'vitrine.db')],
  });
  const began = performance.now();
  const upload = uploadInto(library);
  const { waits, statuses } = await meanwhile(server.url, upload, ['/livez', link, IMAGES]);
  const took = performance.now() - began;
  await fault.heal();
  t.diagnostic(JSON.stringify({ took, waits }));
  assert.ok(took > DELAY, 'the write waited for the disk');
  assert.equal(await upload, 201);
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(held(waits), []);
  assert.deepEqual(await library.inspect({ whole: true }), []);
});

test('while the disk of the blobs hangs under many uploads, /livez, warm links and lists are answered', {
  skip,
  timeout: TIMEOUT,
}, async (t) => {
  const { library, link } = await warmLibrary(t);
  const { server } = library;
  // More at once than there are threads for files.
  const fault = await faultyCalls(server.pid, {
    calls: 'link,linkat',
    inject: `delay_enter=${DELAY * 1_000}`,
  });
  const uploads = Promise.all(Array.from({ length: 5 }, () => uploadInto(library)));
  const { waits, statuses } = await meanwhile(server.url, uploads, ['/livez', link, IMAGES]);
  await fault.heal();
  t.diagnostic(JSON.stringify({ waits }));
  assert.deepEqual(new Set(await uploads), new Set([201]));
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(held(waits), []);
  assert.deepEqual(await library.inspect({ whole: true }), []);
});
