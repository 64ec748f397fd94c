/**
 * A whole server while its PostgreSQL is in trouble. Links that were requested before are answered all the
 * time. What cannot be done is refused within two seconds, and works again without a restart.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startTCPProxy, type TCPProxy } from '../../faults/tcp-proxy.ts';
import { ACCOUNT } from '../../support/client.ts';
import { largePicture } from '../../support/libraries.ts';
import { type OwnPostgres, startOwnPostgres } from '../../support/postgres.ts';
import { childrenOf } from '../../support/processes.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { waitFor } from '../../support/waiting.ts';
import {
  assertHonest,
  databaseRequests,
  longest,
  newPicture,
  type Sighting,
  see,
  startClients,
} from './clients.ts';

const { postgres, skip } = await startOwnPostgres();
after(() => postgres?.stop());

/** Milliseconds: longer than a link uses a record without asking the database. */
const OUTAGE = 7_000;
const CLIENTS = 20;
/** Requests at once while the fault lasts. */
const FLOOD = 400;
/** The pool, its probe, the listener and its next connection. */
const MAX_CONNECTIONS = 13;
/** Bytes by which the memory of the server may grow while requests wait. */
const MAX_GROWTH = 150 * 1024 ** 2;

interface Situation {
  readonly postgres: OwnPostgres;
  readonly proxy: TCPProxy;
  readonly database: string;
  readonly role: string;
  readonly query: (statement: string) => Promise<Record<string, unknown>[]>;
}

interface Fault {
  /** True if records can still be read. */
  readonly isReadable?: boolean;
  /** Starts the fault. @returns a function that ends it. */
  readonly start: (situation: Situation) => Promise<() => unknown>;
}

const ofProxy = (fault: TCPProxy['fault']): Fault => ({
  async start({ proxy }) {
    proxy.fault = fault;
    return () => {
      proxy.fault = undefined;
    };
  },
});

const FAULTS: Record<string, Fault> = {
  'is silent on open and new connections': ofProxy('silence'),
  'answers at one byte a second': ofProxy('trickle'),
  'answers three seconds late': ofProxy(3_000),
  'refuses connections': {
    async start({ proxy }) {
      await proxy.refuse();
      return () => proxy.accept();
    },
  },
  'breaks each connection in its first moments': {
    async start({ proxy }) {
      const breaking = setInterval(() => proxy.reset(), 5);
      return () => clearInterval(breaking);
    },
  },
  'is stopped with its processes, which the system still connects': {
    async start({ query }) {
      const [row] = await query('show data_directory');
      const file = await readFile(join(String(row?.data_directory), 'postmaster.pid'), 'utf8');
      const pid = Number.parseInt(file, 10);
      const pids = [pid, ...childrenOf(pid)];
      for (const each of pids) process.kill(each, 'SIGSTOP');
      return () => {
        for (const each of pids) process.kill(each, 'SIGCONT');
      };
    },
  },
  'allows no connection': {
    async start({ query, role }) {
      await query(`alter role ${role} connection limit 0`);
      await query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
      return () => query(`alter role ${role} connection limit -1`);
    },
  },
  'is read-only': {
    isReadable: true,
    async start({ query, database }) {
      await query(`alter database ${database} set default_transaction_read_only = on`);
      await query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = '${database}' and pid <> pg_backend_pid()`);
      return () =>
        query(`begin read write; alter database ${database} reset default_transaction_read_only; commit`);
    },
  },
};

async function setUp(t: TestContext) {
  assert.ok(postgres);
  const direct = await postgres.createDatabase();
  const database = new URL(direct).pathname.slice(1);
  const role = `role_${database}`;
  const query = (statement: string) => postgres.query(direct, statement);
  // The limits of connections do not apply to superusers.
  for (const statement of [
    `create role ${role} login`,
    `grant pg_read_all_data, pg_write_all_data to ${role}`,
  ]) {
    await query(statement);
  }
  const proxy = await startTCPProxy(postgres.port);
  const url = new URL(proxy.through(direct));
  url.username = role;
  const server = await startServerProcess({
    env: { VITRINE_DATABASE: url.href },
  });
  t.after(async () => {
    await server.close();
    await proxy.close();
  });
  return { server, situation: { postgres, proxy, database, role, query } satisfies Situation };
}

/** Requests warm and known links until the signal. @returns what it saw. */
async function watchLinks(server: ServerProcess, links: readonly string[], signal: AbortSignal) {
  const seen: Sighting[] = [];
  while (!signal.aborted) {
    for (const link of links) seen.push(await see(link, () => fetch(`${server.url}${link}`)));
    await pause(20);
  }
  return seen;
}

describe('a server whose PostgreSQL', { skip }, () => {
  for (const [name, fault] of Object.entries(FAULTS)) {
    it(`${name}: answers warm links, refuses the rest in time, and recovers`, async (t) => {
      const { server, situation } = await setUp(t);
      const { proxy } = situation;
      const image = await server.addImage(await largePicture(10));
      const unknown = await server.addImage(await largePicture(20));
      const warm = `/images/${image.publicID}?size=400x400`;
      const first = Buffer.from(await (await fetch(`${server.url}${warm}`)).arrayBuffer());
      const changed = await server.addImage(await newPicture());
      const { reads, writes } = databaseRequests(server, changed.imageID, newPicture);
      for (const [request, send] of Object.entries({ ...reads, ...writes })) {
        assert.ok((await send()).ok, request);
      }
      const memory = server.memory();

      // Requests run before, during and after the fault.
      const clients = startClients(server, CLIENTS);
      await waitFor('uploads are acknowledged', () => clients.acknowledged.size >= 5);
      const end = await fault.start(situation);
      const stopLinks = new AbortController();
      const links = watchLinks(server, [warm], stopLinks.signal);
      const refused: Sighting[] = [];
      const answered: Sighting[] = [];
      const startedAt = performance.now();
      // The first requests meet the fault before the server has noticed it.
      do {
        for (const [request, send] of Object.entries(writes)) refused.push(await see(request, send));
        for (const [request, send] of Object.entries(reads)) {
          (fault.isReadable ? answered : refused).push(await see(request, send));
        }
      } while (performance.now() - startedAt < OUTAGE);
      const cold = await see('new size', () => fetch(`${server.url}/images/${image.publicID}?size=300x0`));
      const other = await see('unknown link', () =>
        fetch(`${server.url}/images/${unknown.publicID}?size=300x0`),
      );
      const flood = await Promise.all(
        Array.from({ length: FLOOD }, () => see('flood', reads.list ?? assert.fail)),
      );
      const grown = server.memory() - memory;
      assert.equal((await fetch(`${server.url}/livez`)).status, 200);
      stopLinks.abort();
      const warmSeen = await links;
      await end();

      await waitFor('reads work again', async () => (await reads.list?.())?.status === 200);
      await waitFor('writes work again', async () => (await writes.upload?.())?.status === 201);
      await clients.stop();
      await waitFor('the server is ready', async () => (await fetch(`${server.url}/readyz`)).status === 200);
      for (const [request, send] of Object.entries({ ...reads, ...writes })) {
        assert.ok((await send()).ok, request);
      }

      assert.deepEqual([...new Set(warmSeen.map(({ status }) => status))], [200]);
      assertHonest(refused, [503]);
      assertHonest(answered, [200]);
      assertHonest(clients.sightings, [200, 201, 503]);
      assertHonest([cold], [200]);
      assertHonest([other, ...flood], fault.isReadable ? [200, 503] : [503]);
      const again = await fetch(`${server.url}${warm}`);
      assert.ok(Buffer.from(await again.arrayBuffer()).equals(first));
      for (const imageID of clients.acknowledged) {
        const response = await server.fetch(`/accounts/${ACCOUNT}/images/${imageID}`);
        assert.equal(response.status, 200, imageID);
      }
      assert.ok(grown < MAX_GROWTH, `${grown} bytes`);
      const { now } = proxy.connections();
      assert.ok(now <= MAX_CONNECTIONS, `${now} connections`);
      assert.equal(server.exitStatus(), undefined);
      t.diagnostic(
        `${name}: refusals ${longest(refused, 503)} ms at most, of clients ` +
          `${longest(clients.sightings, 503)} ms, of ${FLOOD} at once ${longest(flood)} ms, warm links ` +
          `${longest(warmSeen)} ms of ${warmSeen.length}, memory +${Math.round(grown / 1024 ** 2)} MiB`,
      );
    });
  }
});
