/** Ten server processes that start at the same moment on an empty PostgreSQL and one empty blob folder. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { startOwnPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { spawnServer } from '../../support/server-process.ts';
import { until } from '../../support/waiting.ts';

const { postgres, skip } = await startOwnPostgres();
after(() => postgres?.stop());

// Each server process has a listener that kills it with the test.
process.setMaxListeners(30);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-first-'));
});
afterEach(() => rm(folder, { recursive: true }));

const ACCOUNT = 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11';

/** Runs `work` with the URLs of ten servers over one database and one blob folder. */
async function withServers<T>(
  { database, env = {} }: { database: string; env?: Record<string, string> },
  work: (urls: string[], output: () => string) => Promise<T>,
): Promise<T> {
  const servers = Array.from({ length: 10 }, (_, number) =>
    spawnServer({
      env: {
        VITRINE_DATA: join(folder, String(number)),
        VITRINE_BLOBS: `file:${join(folder, 'blobs')}`,
        VITRINE_DATABASE: database,
        VITRINE_RENDER_CONCURRENCY: '1',
        ...env,
      },
    }),
  );
  try {
    const urls = await Promise.all(servers.map(({ listening }) => listening));
    return await work(urls, () => servers.map(({ output }) => output()).join(''));
  } finally {
    await Promise.all(servers.map((server) => server.kill()));
  }
}

async function countRows(database: string): Promise<number[]> {
  const counts: number[] = [];
  for (const table of ['accounts', 'api_keys', 'key_secrets', 'library']) {
    const rows = await postgres?.query(database, `select count(*) from ${table}`);
    counts.push(Number(rows?.[0]?.count));
  }
  return counts;
}

test('ten processes start at once, of which one prints the new key', { skip }, async () => {
  assert.ok(postgres);
  const database = await postgres.createEmptyDatabase();
  await withServers({ database }, async (_urls, output) => {
    // The log of a start ends with this line. The key is printed after it.
    await until(() => output().includes('API reference'));
    assert.equal(output().match(/secret key {2}vitrine_sk_/g)?.length, 1);
    assert.deepEqual(await countRows(database), [1, 1, 1, 1]);
  });
});

test('ten processes start at once with a bootstrap key, and then with another secret', { skip }, async () => {
  assert.ok(postgres);
  const database = await postgres.createEmptyDatabase();
  const start = <T>(secret: string, work: (urls: string[], authorization: string) => Promise<T>) => {
    const env = { VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT, VITRINE_BOOTSTRAP_KEY: `first:${secret}` };
    return withServers({ database, env }, async (urls, output) => {
      assert.deepEqual(await countRows(database), [1, 1, 1, 1]);
      assert.doesNotMatch(output(), /secret key/);
      return work(urls, `Basic ${btoa(`first:${secret}`)}`);
    });
  };
  const bytes = new Uint8Array(await picture(1));
  const old = await start('the first secret', async (urls, authorization) => {
    const upload = async (url: string) => {
      const body = new FormData();
      body.append('image', new Blob([bytes]), 'a.png');
      const headers = { authorization };
      const { status } = await fetch(`${url}/accounts/${ACCOUNT}/images`, { method: 'POST', headers, body });
      return status;
    };
    // One of ten uploads of the same bytes is accepted, so all servers share the library.
    const statuses = await Promise.all(urls.map(upload));
    assert.deepEqual(statuses.toSorted(), [201, ...Array(9).fill(409)]);
    return authorization;
  });
  await start('the second secret', async (urls, authorization) => {
    const ping = async (url: string, credentials: string) =>
      (await fetch(`${url}/ping`, { headers: { authorization: credentials } })).status;
    for (const url of urls) {
      assert.deepEqual([await ping(url, authorization), await ping(url, old)], [200, 401]);
    }
  });
});

test('a server that starts together with its database waits for it', { skip }, async () => {
  assert.ok(postgres);
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
  }
});
