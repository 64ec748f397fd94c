/** Ten server processes that start at the same moment on an empty PostgreSQL and one empty blob folder. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startOwnPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { spawnServer } from '../../support/server-process.ts';

const { postgres, skip } = await startOwnPostgres();
after(() => postgres?.stop());

const ACCOUNT = 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11';

for (const hasBootstrap of [false, true]) {
  const name = hasBootstrap ? 'with a bootstrap key' : 'of which one prints the new key';
  test(`ten processes start at once, ${name}`, { skip }, async () => {
    assert.ok(postgres);
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-first-'));
    const database = await postgres.createEmptyDatabase();
    const servers = Array.from({ length: 10 }, (_, number) =>
      spawnServer({
        env: {
          VITRINE_DATA: join(folder, String(number)),
          VITRINE_BLOBS: `file:${join(folder, 'blobs')}`,
          VITRINE_DATABASE: database,
          VITRINE_RENDER_CONCURRENCY: '1',
          ...(hasBootstrap && {
            VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
            VITRINE_BOOTSTRAP_KEY: 'first:a secret of the test',
          }),
        },
      }),
    );
    try {
      const urls = await Promise.all(servers.map(({ listening }) => listening));
      const printing = servers.filter(({ output }) => output().includes('secret key'));
      assert.equal(printing.length, hasBootstrap ? 0 : 1);
      const count = async (table: string) =>
        Number((await postgres.query(database, `select count(*) from ${table}`))[0]?.count);
      assert.deepEqual(
        [
          await count('accounts'),
          await count('api_keys'),
          await count('key_secrets'),
          await count('library'),
        ],
        [1, 1, 1, 1],
      );
      if (!hasBootstrap) return;
      // One of ten uploads of the same bytes is accepted, so all nodes share the library.
      const headers = { authorization: `Basic ${btoa('first:a secret of the test')}` };
      const bytes = new Uint8Array(await picture(1));
      const upload = async (url: string) => {
        const body = new FormData();
        body.append('image', new Blob([bytes]), 'a.png');
        const { status } = await fetch(`${url}/accounts/${ACCOUNT}/images`, {
          method: 'POST',
          headers,
          body,
        });
        return status;
      };
      const statuses = await Promise.all(urls.map(upload));
      assert.deepEqual(statuses.toSorted(), [201, ...Array(9).fill(409)]);
    } finally {
      await Promise.all(servers.map((server) => server.kill()));
      await rm(folder, { recursive: true });
    }
  });
}

test('a server that starts together with its database waits for it', { skip }, async () => {
  assert.ok(postgres);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-first-'));
  const database = await postgres.createEmptyDatabase();
  await postgres.crash();
  const server = spawnServer({
    env: { VITRINE_DATA: folder, VITRINE_DATABASE: database, VITRINE_RENDER_CONCURRENCY: '1' },
  });
  try {
    while (!/the start waits for the database: .*ECONNREFUSED/.test(server.output())) {
      await once(server.child.stdout, 'data');
    }
    await postgres.start();
    assert.match(await server.listening, /^http:/);
  } finally {
    await server.kill();
    await rm(folder, { recursive: true });
  }
});
