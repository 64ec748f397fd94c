/**
 * Real disk faults while clients write: a full disk, failing system calls, no free descriptors.
 * Under each fault the server must reject writes with the right status, keep serving reads, and lose nothing.
 * It must recover without a restart.
 */
import assert from 'node:assert/strict';
import { open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { mountSmallDisk } from '../../support/disks.ts';
import { type Fault, type FaultOptions, injectFault, limitOpenFiles, skip } from './faults.ts';
import type { ImageEntry } from './journal.ts';
import { type Library, startLibrary } from './library.ts';
import { createUpload, IMAGES, sendRequest } from './requests.ts';

/** The number of acknowledgements before each fault, and of rejections under it. */
const ENOUGH = 8;

/**
 * Writes, starts a fault, and writes until the server rejected `ENOUGH` requests.
 * Sends other requests under the fault, ends it, and compares the library with the journal.
 * @param statuses of rejections. The first one must occur.
 */
async function checkFault(
  t: TestContext,
  library: Library,
  { begin, statuses }: { begin: () => Promise<Fault>; statuses: readonly number[] },
): Promise<void> {
  const { journal, server, problems, pictures } = library;
  journal.rejections.clear();
  const target = journal.acknowledgedCount + ENOUGH;
  await library.writeUntil(() => journal.acknowledgedCount >= target);
  const warm = [...journal.images.values()].at(-1);
  assert.ok(warm);
  const before = await library.requestRendition(warm);
  assert.equal(before?.status, 200);

  const fault = await begin();
  const countRejections = () => [...journal.rejections.values()].reduce((sum, count) => sum + count, 0);
  await library.writeUntil(() => countRejections() >= ENOUGH);
  const reads = await requestReads(library, warm);
  await fault.end();

  t.diagnostic(JSON.stringify({ rejections: Object.fromEntries(journal.rejections), reads }));
  assert.deepEqual(problems.slice(0, 5), []);
  assert.ok(countRejections() >= ENOUGH, 'the fault had an effect');
  const [expected] = statuses;
  assert.ok(
    expected !== undefined && journal.rejections.has(expected),
    `some requests were answered ${expected}`,
  );
  assert.deepEqual(
    [...journal.rejections.keys()].filter((status) => !statuses.includes(status)),
    [],
  );
  const { warmRead, livez, ...others } = reads;
  assert.deepEqual({ warmRead, livez }, { warmRead: 200, livez: 200 });
  for (const [name, status] of Object.entries(others)) {
    assert.ok(status === 200 || statuses.includes(status), `${name} answered ${status}`);
  }

  // The same process accepts the first upload after the fault.
  const { bytes, digest } = pictures.get(journal.nextNumber());
  const next = await sendRequest(server.url, createUpload(bytes));
  assert.equal(next?.status, 201, next?.body.toString());
  journal.addImage(next.json(), digest);
  // The server caches the result of its readiness checks for a second.
  while ((await sendRequest(server.url, { path: '/readyz' }))?.status !== 200) await pause(50);
  assert.deepEqual((await library.inspect()).slice(0, 5), []);
}

/** The statuses of requests that do not write; 0 if there was no answer. */
async function requestReads({ server }: Library, warm: ImageEntry) {
  const readStatus = async (path: string) =>
    (await sendRequest(server.url, { path, headers: { accept: 'image/webp' } }))?.status ?? 0;
  return {
    warmRead: await readStatus(`/images/${warm.publicID}?size=400x400`),
    livez: await readStatus('/livez'),
    readyz: await readStatus('/readyz'),
    coldRead: await readStatus(`/images/${warm.publicID}?size=123x45`),
    list: await readStatus(IMAGES),
  };
}

describe('failing system calls while clients write', { skip }, () => {
  const cases: readonly { name: string; fault: FaultOptions; statuses: readonly number[] }[] = [
    {
      name: 'EIO of every sync',
      fault: { calls: 'fsync,fdatasync', inject: 'error=EIO' },
      statuses: [503],
    },
    {
      name: 'EIO of every write of the database',
      fault: { calls: 'pwrite64', inject: 'error=EIO' },
      statuses: [503],
    },
    {
      name: 'ENOSPC of every write of the database',
      fault: { calls: 'pwrite64', inject: 'error=ENOSPC' },
      statuses: [507, 503],
    },
    {
      name: 'EACCES of every file that is opened',
      fault: { calls: 'openat', inject: 'error=EACCES' },
      statuses: [503],
    },
    {
      name: 'EMFILE of every file that is opened',
      fault: { calls: 'openat', inject: 'error=EMFILE' },
      statuses: [503],
    },
    {
      name: 'ENOMEM of every file that is opened',
      fault: { calls: 'openat', inject: 'error=ENOMEM' },
      statuses: [503],
    },
    {
      name: 'EIO of every link and rename',
      fault: { calls: 'link,linkat,rename,renameat,renameat2', inject: 'error=EIO' },
      statuses: [503],
    },
    {
      name: 'EROFS of every change of a folder',
      fault: {
        calls: 'mkdir,mkdirat,link,linkat,rename,renameat,renameat2,unlink,unlinkat',
        inject: 'error=EROFS',
      },
      statuses: [503],
    },
  ];
  let library: Library;
  const cleanups: (() => Promise<void>)[] = [];
  before(async () => {
    library = await startLibrary({ after: (cleanup) => cleanups.push(cleanup) });
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  // All faults hit the same server, so that the effects of one can show under the next.
  for (const { name, fault, statuses } of cases) {
    test(`${name}: writes are rejected, nothing is lost, and the server recovers`, async (t) => {
      await checkFault(t, library, { begin: () => injectFault(library.server.pid, fault), statuses });
    });
  }

  test('an unexpected error of a file is answered 500 and not as an error of the form', async () => {
    const { server, pictures, journal } = library;
    const fault = await injectFault(server.pid, { calls: 'openat', inject: 'error=EINVAL' });
    const answer = await sendRequest(server.url, createUpload(pictures.get(journal.nextNumber()).bytes));
    await fault.end();
    assert.equal(answer?.status, 500);
  });

  test('an upload succeeds when its staged file cannot be removed', async () => {
    const { server, pictures, journal } = library;
    const fault = await injectFault(server.pid, { calls: 'unlink,unlinkat', inject: 'error=EROFS' });
    const { bytes, digest } = pictures.get(journal.nextNumber());
    const answer = await sendRequest(server.url, createUpload(bytes));
    await fault.end();
    assert.equal(answer?.status, 201, 'the image is stored');
    journal.addImage(answer.json(), digest);
    assert.deepEqual(await library.inspect({ allImages: true }), []);
  });
});

test('a full disk: uploads get 507, reads and new sizes work, and the server recovers', async (t) => {
  const data = await mountSmallDisk(t, '40m');
  if (data === undefined) return;
  const library = await startLibrary(t, { data, env: { VITRINE_CACHE_BYTES: '4000000' } });
  const begin = async (): Promise<Fault> => {
    const filler = await open(join(data, 'filler'), 'w');
    await assert.rejects(filler.writeFile(Buffer.alloc(64_000_000)), { code: 'ENOSPC' });
    assert.equal((await statfs(data)).bavail, 0);
    return {
      async end() {
        await filler.truncate(0);
        await filler.close();
      },
    };
  };
  await checkFault(t, library, { begin, statuses: [507, 503] });
  assert.ok(library.journal.rejections.has(507));
});

test('no free descriptors: connections or uploads are rejected, and the server recovers', {
  skip,
}, async (t) => {
  const library = await startLibrary(t);
  const { journal, pictures, server } = library;
  await library.writeUntil(() => journal.acknowledgedCount >= ENOUGH);
  // The server has more than 20 files open, so it cannot open another one.
  const fault = await limitOpenFiles(server.pid, 20);
  const answer = await sendRequest(server.url, createUpload(pictures.get(journal.nextNumber()).bytes));
  assert.ok(answer === undefined || answer.status === 503, `${answer?.status}`);
  await fault.end();
  assert.deepEqual(library.problems, []);
  assert.deepEqual((await library.inspect()).slice(0, 5), []);
});
