/**
 * What a disk can do to a server that is being written to: fill up, fail, refuse, run out of descriptors. Real ones: a
 * small file system, and system calls that the kernel answers with an error. Each time: clear refusals, reads go on,
 * nothing is lost, and it heals without a restart.
 */
import assert from 'node:assert/strict';
import { open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { mountSmallDisk } from '../../support/disks.ts';
import { ask, uploading } from './asking.ts';
import { type Fault, faultyCalls, fewFiles, type SystemCalls, skip } from './faults.ts';
import type { KnownImage } from './journal.ts';
import { type Library, startLibrary } from './library.ts';

/** Answers, before and under each fault. */
const ENOUGH = 8;

/**
 * Writes; brings the fault about and writes on until it was met `ENOUGH` times, with a look at what must go on
 * meanwhile; heals it; and compares.
 */
async function suffer(
  t: TestContext,
  library: Library,
  { begin, statuses }: { begin: () => Promise<Fault>; statuses: readonly number[] },
): Promise<void> {
  const { journal, server, complaints, supply } = library;
  journal.refusals.clear();
  const enough = journal.acknowledged + ENOUGH;
  await library.writeUntil(() => journal.acknowledged >= enough);
  const warm = [...journal.images.values()].at(-1);
  assert.ok(warm);
  const before = await library.show(warm);
  assert.equal(before?.status, 200);

  const fault = await begin();
  const met = () => [...journal.refusals.values()].reduce((sum, count) => sum + count, 0);
  await library.writeUntil(() => met() >= ENOUGH);
  const meanwhile = await looks(library, warm);
  await fault.heal();

  t.diagnostic(JSON.stringify({ refusals: Object.fromEntries(journal.refusals), meanwhile }));
  assert.deepEqual(complaints.slice(0, 5), []);
  assert.ok(met() >= ENOUGH, 'the fault was met');
  const [expected] = statuses;
  assert.ok(expected !== undefined && journal.refusals.has(expected), `some were answered ${expected}`);
  assert.deepEqual(
    [...journal.refusals.keys()].filter((status) => !statuses.includes(status)),
    [],
  );
  const { warmRead, livez, ...others } = meanwhile;
  assert.deepEqual({ warmRead, livez }, { warmRead: 200, livez: 200 });
  for (const [what, status] of Object.entries(others)) {
    assert.ok(status === 200 || statuses.includes(status), `${what} answered ${status}`);
  }

  // At once, and the very same process.
  const { bytes, digest } = supply.picture(journal.number());
  const next = await ask(server.url, uploading(bytes));
  assert.equal(next?.status, 201, next?.body.toString());
  journal.add(next.json(), digest);
  // What was found out about the dependencies is good for a second.
  while ((await ask(server.url, { path: '/readyz' }))?.status !== 200) await pause(50);
  assert.deepEqual((await library.inspect()).slice(0, 5), []);
}

/** The statuses of what does not write. */
async function looks({ server }: Library, warm: KnownImage) {
  const status = async (path: string) =>
    (await ask(server.url, { path, headers: { accept: 'image/webp' } }))?.status ?? 0;
  return {
    warmRead: await status(`/images/${warm.publicID}?size=400x400`),
    livez: await status('/livez'),
    readyz: await status('/readyz'),
    coldRead: await status(`/images/${warm.publicID}?size=123x45`),
    list: await status('/accounts/3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb/images'),
  };
}

describe('system calls that fail while a library is written to', { skip }, () => {
  const cases: readonly { name: string; fault: SystemCalls; statuses: readonly number[] }[] = [
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
      name: 'EIO of every name that is given',
      fault: { calls: 'link,linkat,rename,renameat,renameat2', inject: 'error=EIO' },
      statuses: [503],
    },
    {
      name: 'EROFS of every folder that is made and every name that is given',
      fault: {
        calls: 'mkdir,mkdirat,link,linkat,rename,renameat,renameat2,unlink,unlinkat',
        inject: 'error=EROFS',
      },
      statuses: [503],
    },
  ];
  let library: Library;
  const ends: (() => Promise<void>)[] = [];
  before(async () => {
    library = await startLibrary({ after: (end) => ends.push(end) });
  });
  after(async () => {
    for (const end of ends) await end();
  });

  // One after the other on the same server: what one leaves behind must not hurt under the next.
  for (const { name, fault, statuses } of cases) {
    test(`${name}: refused, nothing lost, and over when it is over`, async (t) => {
      await suffer(t, library, { begin: () => faultyCalls(library.server.pid, fault), statuses });
    });
  }

  test('a failure that nobody foresaw is ours, not the form’s', async () => {
    const { server, supply, journal } = library;
    const fault = await faultyCalls(server.pid, { calls: 'openat', inject: 'error=EINVAL' });
    const answer = await ask(server.url, uploading(supply.picture(journal.number()).bytes));
    await fault.heal();
    assert.equal(answer?.status, 500);
  });

  test('files that cannot be removed are nobody’s concern who uploads', async () => {
    const { server, supply, journal } = library;
    const fault = await faultyCalls(server.pid, { calls: 'unlink,unlinkat', inject: 'error=EROFS' });
    const { bytes, digest } = supply.picture(journal.number());
    const answer = await ask(server.url, uploading(bytes));
    await fault.heal();
    assert.equal(answer?.status, 201, 'what is stored is stored');
    journal.add(answer.json(), digest);
    assert.deepEqual(await library.inspect({ whole: true }), []);
  });
});

test('a full disk: 507, reads and new sizes go on, nothing lost, and over when there is room', async (t) => {
  const data = await mountSmallDisk(t, '40m');
  if (data === undefined) return;
  const library = await startLibrary(t, { data, env: { VITRINE_CACHE_BYTES: '4000000' } });
  const begin = async (): Promise<Fault> => {
    const filler = await open(join(data, 'filler'), 'w');
    await assert.rejects(filler.writeFile(Buffer.alloc(64_000_000)), { code: 'ENOSPC' });
    assert.equal((await statfs(data)).bavail, 0);
    return {
      async heal() {
        await filler.truncate(0);
        await filler.close();
      },
    };
  };
  await suffer(t, library, { begin, statuses: [507, 503] });
  assert.ok(library.journal.refusals.has(507));
});

test('few open files: connections and uploads are turned away, and it recovers', { skip }, async (t) => {
  const library = await startLibrary(t);
  const { journal, server } = library;
  await library.writeUntil(() => journal.acknowledged >= ENOUGH);
  // Less than it has open: not one more.
  const fault = await fewFiles(server.pid, 20);
  const refused = await ask(server.url, uploading(library.supply.picture(journal.number()).bytes));
  assert.ok(refused === undefined || refused.status === 503, `${refused?.status}`);
  await fault.heal();
  assert.deepEqual(library.complaints, []);
  assert.deepEqual((await library.inspect()).slice(0, 5), []);
});
