/**
 * PostgreSQL stops in immediate mode and starts again while clients write. The server keeps running, answers
 * 503 and never 500, reconnects without a restart, and loses no acknowledged write.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startOwnPostgres } from '../../support/postgres.ts';
import { startLibrary } from './library.ts';
import { createPostgresLibrary } from './postgres-library.ts';
import { type Answer, createUpload, IMAGES, sendRequest } from './requests.ts';

const { postgres, skip } = await startOwnPostgres();
after(async () => {
  await postgres?.stop();
});

const RESTARTS = 5;
/** The number of acknowledgements before each stop, and of rejections after it. */
const ENOUGH = 10;
/** Milliseconds: longer than a link uses a cached record. */
const OUTAGE = 6_000;

describe('a server whose PostgreSQL stops', { skip }, () => {
  test('rejects requests with 503 and loses nothing in five restarts under load', async (t) => {
    assert.ok(postgres);
    const library = await startLibrary(t, { postgres: await createPostgresLibrary(postgres) });
    const { journal, server, pictures, problems } = library;
    for (let restart = 1; restart <= RESTARTS; restart += 1) {
      const acknowledgedTarget = journal.acknowledgedCount + ENOUGH;
      const unconfirmedTarget = journal.unconfirmedCount + ENOUGH;
      let stopping: Promise<void> | undefined;
      // The clients write before, during and after the stop.
      await library.writeUntil(() => {
        if (journal.acknowledgedCount >= acknowledgedTarget) stopping ??= postgres.crash();
        return journal.unconfirmedCount >= unconfirmedTarget;
      });
      await stopping;
      assert.equal((await sendRequest(server.url, { path: '/livez' }))?.status, 200);
      for (const [path, status] of [
        ['/readyz', 503],
        ['/readyz?for=writes', 503],
        ['/readyz?for=reads', 200],
      ] as const) {
        assert.equal((await sendRequest(server.url, { path }))?.status, status, path);
      }
      const list = await sendRequest(server.url, { path: IMAGES });
      assert.deepEqual([list?.status, list?.headers.get('retry-after')], [503, '1']);
      await postgres.start();
      // The first request after the start succeeds.
      const { bytes, digest } = pictures.get(journal.nextNumber());
      const next = await sendRequest(server.url, createUpload(bytes));
      assert.equal(next?.status, 201, next?.body.toString());
      journal.addImage(next.json(), digest);
    }
    t.diagnostic(
      JSON.stringify({
        acknowledged: journal.acknowledgedCount,
        rejections: Object.fromEntries(journal.rejections),
      }),
    );
    assert.deepEqual(problems.slice(0, 5), []);
    assert.deepEqual([...journal.rejections.keys()], [503]);
    assert.deepEqual((await library.inspect({ allImages: true })).slice(0, 5), []);
  });

  test('serves links that were requested before', async (t) => {
    assert.ok(postgres);
    const library = await startLibrary(t, { postgres: await createPostgresLibrary(postgres) });
    const { journal } = library;
    await library.writeUntil(() => journal.images.size >= 3);
    const [image] = journal.images.values();
    assert.ok(image);
    const before = await library.requestRendition(image);
    await postgres.crash();
    const statuses = new Set<number | undefined>();
    let during: Answer | undefined;
    for (const until = Date.now() + OUTAGE; Date.now() < until; ) {
      during = await library.requestRendition(image);
      statuses.add(during?.status);
    }
    const unknown = await sendRequest(library.server.url, { path: '/images/AAAAAAAAAAAAAAAAAAAAA' });
    await postgres.start();
    assert.deepEqual([...statuses], [200]);
    assert.equal(unknown?.status, 503);
    assert.equal(before?.status, 200);
    assert.deepEqual(during?.body, before.body);
  });
});
