/**
 * PostgreSQL ended at once and started again while a library is written to: the server stays, says "not now" and never
 * "defect", comes back by itself, and has lost nothing that it acknowledged.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startOwnPostgres } from '../../support/postgres.ts';
import { type Answer, ask, IMAGES, uploading } from './asking.ts';
import { startLibrary } from './library.ts';
import { postgresLibrary } from './postgres-library.ts';

const { postgres, skip } = await startOwnPostgres();
after(async () => {
  await postgres?.stop();
});

const RESTARTS = 5;
const BETWEEN = 10;
/** Milliseconds. */
const LONGER_THAN_BELIEVED = 6_000;

describe('PostgreSQL that goes away and comes back', { skip }, () => {
  test('under load, five times: only 503, the process alive, nothing lost', async (t) => {
    assert.ok(postgres);
    const library = await startLibrary(t, { postgres: await postgresLibrary(postgres) });
    const { journal, server, supply, complaints } = library;
    for (let restart = 1; restart <= RESTARTS; restart += 1) {
      const enough = journal.acknowledged + BETWEEN;
      const refusedBefore = journal.unanswered;
      let ended: Promise<void> | undefined;
      // Writing goes on all the while: the end comes in the middle of it.
      await library.writeUntil(() => {
        if (journal.acknowledged >= enough) ended ??= postgres.crash();
        return journal.unanswered >= refusedBefore + BETWEEN;
      });
      await ended;
      assert.equal((await ask(server.url, { path: '/livez' }))?.status, 200);
      assert.equal((await ask(server.url, { path: '/readyz' }))?.status, 503);
      const list = await ask(server.url, { path: IMAGES });
      assert.deepEqual([list?.status, list?.headers.get('retry-after')], [503, '1']);
      await postgres.start();
      // The very next request finds it again.
      const { bytes, digest } = supply.picture(journal.number());
      const next = await ask(server.url, uploading(bytes));
      assert.equal(next?.status, 201, next?.body.toString());
      journal.add(next.json(), digest);
    }
    t.diagnostic(
      JSON.stringify({ acknowledged: journal.acknowledged, refusals: Object.fromEntries(journal.refusals) }),
    );
    assert.deepEqual(complaints.slice(0, 5), []);
    assert.deepEqual([...journal.refusals.keys()], [503]);
    assert.deepEqual((await library.inspect({ whole: true })).slice(0, 5), []);
  });

  test('away: links that were shown are still shown', async (t) => {
    assert.ok(postgres);
    const library = await startLibrary(t, { postgres: await postgresLibrary(postgres) });
    const { journal } = library;
    await library.writeUntil(() => journal.images.size >= 3);
    const [image] = journal.images.values();
    assert.ok(image);
    const before = await library.show(image);
    await postgres.crash();
    const statuses = new Set<number | undefined>();
    let during: Answer | undefined;
    // For longer than a record is believed without being asked for again.
    for (const until = Date.now() + LONGER_THAN_BELIEVED; Date.now() < until; ) {
      during = await library.show(image);
      statuses.add(during?.status);
    }
    const unknown = await ask(library.server.url, { path: '/images/AAAAAAAAAAAAAAAAAAAAA' });
    await postgres.start();
    assert.deepEqual([...statuses], [200]);
    assert.equal(unknown?.status, 503);
    assert.equal(before?.status, 200);
    assert.deepEqual(during?.body, before.body);
  });
});
