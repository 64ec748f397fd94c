/**
 * A flood of searches of one account, over HTTP. It must not delay other accounts or outlive its clients.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { MAX_SEARCHES_PER_ACCOUNT } from '../../../src/database/search-limiter.ts';
import { png } from '../../support/pictures.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

/** With this number, a search that matches all images takes tens of milliseconds. */
const IMAGES = 100_000;
const ALT_TEXT = 'a picture of a chair, seen from the side';
const FLOOD = 400;

let server: TestServer;
let small: string;
before(async () => {
  server = await startServer();
  small = (await server.send('POST', '/accounts', { displayName: 'Small' })).body.accountID;
  insertImages(join(server.folder, 'vitrine.db'));
});
after(() => server.close());

/** Inserts many images into the account directly, as copies of one row. */
function insertImages(path: string): void {
  const database = new DatabaseSync(path);
  const columns = `account_id, sequence, image_id, public_id, digest, size, format, width, height, frames, transparent,
    alt_text, has_alt_text, created_on, updated_on`;
  database
    .prepare(`insert into images (${columns})
      with recursive n (n) as (select 1 union all select n + 1 from n where n < ${IMAGES})
      select ?, n, 'image-' || n, 'public-' || n, 'digest-' || n, 1, 'png', 1, 1, 1, 0,
        ?, 1, 0, 0 from n`)
    .run(ACCOUNT, ALT_TEXT);
  database
    .prepare(
      'insert into image_search select account_id, sequence, alt_text from images where account_id = ?',
    )
    .run(ACCOUNT);
  database.prepare('update accounts set image_count = ? where account_id = ?').run(IMAGES, ACCOUNT);
  database.close();
}

const search = (signal?: AbortSignal) =>
  server.fetch(
    `/accounts/${ACCOUNT}/images?search=${encodeURIComponent(ALT_TEXT)}`,
    signal ? { signal } : {},
  );

describe('a flood of searches of one account', () => {
  test('does not block lists, links and searches of others, and gets 429 beyond its limit', async (t) => {
    const image = await server.addImage(await png({ width: 32, height: 32 }), { account: small });
    let isOver = false;
    const flood = Promise.all(
      Array.from({ length: FLOOD }, async () => {
        const response = await search();
        await response.text();
        return { status: response.status, retryAfter: response.headers.get('retry-after') };
      }),
    ).finally(() => {
      isOver = true;
    });
    let rounds = 0;
    let longest = 0;
    while (!isOver) {
      const startedAt = performance.now();
      const answers = await Promise.all([
        server.fetch(`/accounts/${small}/images`),
        server.fetch(`/accounts/${small}/images?search=zzz`),
        server.fetch(`/images/${randomUUID().slice(0, 21)}`),
      ]);
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 404],
      );
      for (const answer of answers) await answer.text();
      longest = Math.max(longest, performance.now() - startedAt);
      rounds += 1;
    }
    const outcomes = await flood;
    const of = (status: number) => outcomes.filter((outcome) => outcome.status === status);
    assert.equal(of(200).length + of(429).length + of(503).length, FLOOD);
    assert.ok(of(200).length > 0);
    assert.ok(of(429).length > 0);
    for (const { retryAfter } of [...of(429), ...of(503)]) assert.equal(retryAfter, '1');
    assert.ok(rounds > 1, 'others sent requests meanwhile');
    assert.equal((await server.fetch(image.link)).status, 200);
    t.diagnostic(
      `${of(200).length} searches answered; of ${rounds} rounds of others, the longest ${Math.round(longest)} ms`,
    );
  });

  test('ends when its clients disconnect', async () => {
    const control = new AbortController();
    const flood = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT }, () =>
      search(control.signal).catch(() => 'gone'),
    );
    // The searches have arrived when this request is answered.
    await (await server.fetch('/ping')).text();
    control.abort();
    await Promise.all(flood);
    const answers = await Promise.all(Array.from({ length: 8 }, () => search()));
    for (const answer of answers) {
      assert.equal(answer.status, 200);
      await answer.text();
    }
  });
});
