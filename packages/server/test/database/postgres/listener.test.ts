/**
 * What a store over PostgreSQL hears of the changes by other stores, and what the records behind public links
 * make of it.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { openPostgres, type PostgresLimits } from '../../../src/database/postgres/postgres.ts';
import type { MetadataStore } from '../../../src/database/store.ts';
import { PublicImages } from '../../../src/delivery/public-images.ts';
import type { RecordChange, RecordChanges } from '../../../src/delivery/records.ts';
import { accountWithImage, later, newImage, originalOf } from '../../conformance/metadata-samples.ts';
import { pgBouncerMissing, startPgBouncer } from '../../faults/pgbouncer.ts';
import { startTCPProxy } from '../../faults/tcp-proxy.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { until, waitFor } from '../../support/waiting.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

function server(): TestPostgres {
  assert.ok(postgres !== undefined);
  return postgres;
}

/** Milliseconds. The promise of the documents: no public link is older. */
const BOUND = 6_000;
const QUOTA = { defaultQuota: 300 };

/** A database that is slow on purpose counts as away otherwise. */
const PATIENT = { wait: 30_000, statement: 30_000, transaction: 30_000, suspicion: 30_000 };

interface Node {
  readonly store: MetadataStore;
  readonly changes: RecordChanges;
  readonly publicImages: PublicImages;
  readonly heard: RecordChange[];
  /** The messages of the log. */
  readonly logged: string[];
}

/** The parts of a node that this file is about. `t` closes them. */
async function startNode(
  t: { after(end: () => Promise<void>): void },
  url: string,
  listen?: string,
  limits: Partial<PostgresLimits> = {},
): Promise<Node> {
  const store = await openPostgres({ url, limits });
  const logged: string[] = [];
  const log = {
    warn: (_fields: object, message: string) => void logged.push(message),
    info: (_fields: object, message: string) => void logged.push(message),
  };
  const changes = store.listen({ url: listen, log });
  assert.ok(changes);
  const heard: RecordChange[] = [];
  changes.subscribe((change) => heard.push(change));
  t.after(async () => {
    await changes.close();
    await store.close();
  });
  return { store, changes, publicImages: new PublicImages(store, changes), heard, logged };
}

/** Resolves when a beat has arrived on the connection of the listener. */
const untilListening = ({ changes }: Node) =>
  waitFor('the node does not listen', () => changes.heardUntil >= changes.listeningSince);

/** Resolves when a beat that is sent from now on has arrived. */
async function untilHeard({ changes }: Node): Promise<void> {
  const now = performance.now();
  await waitFor('no beat arrives', () => changes.heardUntil >= now);
}

/** Milliseconds until the node shows the image with these bytes. */
async function timeUntilShown(node: Node, publicID: string, bytes: string): Promise<number> {
  const since = performance.now();
  const { digest } = originalOf(bytes);
  await waitFor(
    'the node shows the old image',
    () => node.publicImages.find(publicID),
    ({ image, state }) => state === 'confirmed' && image.original.digest === digest,
  );
  return performance.now() - since;
}

// The tests mostly wait, each with a database of its own.
describe('a store over PostgreSQL', { skip, concurrency: 4 }, () => {
  test('hears changes that links show, also its own, in the order of their commits', async (t) => {
    const url = await server().createDatabase();
    const [one, two] = [await startNode(t, url), await startNode(t, url)];
    await untilListening(one);
    await untilListening(two);
    const { images, first } = await accountWithImage(one.store);
    const { imageID, publicID } = first;
    const change = { kind: 'image', publicID } as const;
    const END = { kind: 'image', publicID: 'end' } as const;
    const focalPoint = { x: 0.1, y: 0.2 };
    const steps: [what: string, run: () => Promise<unknown>, changes: number][] = [
      ['another upload', () => images.insert(newImage('other'), QUOTA), 0],
      ['alt text', () => images.describe(imageID, { altText: 'x', tags: ['y'] }, later(1)), 0],
      ['the same bytes', () => images.replace(imageID, { ...replacement('first'), updatedOn: later(2) }), 0],
      ['a replace', () => images.replace(imageID, { ...replacement('second'), updatedOn: later(3) }), 1],
      ['a focal point', () => images.describe(imageID, { altText: 'x', focalPoint }, later(4)), 1],
      ['the same focal point', () => images.describe(imageID, { altText: 'z', focalPoint }, later(5)), 0],
      ['no focal point', () => images.describe(imageID, { altText: 'z' }, later(6)), 1],
      ['disabling', () => images.disable(imageID, later(7)), 1],
      ['disabling again', () => images.disable(imageID, later(8)), 0],
      ['enabling', () => images.enable(imageID, { ...QUOTA, on: later(9) }), 1],
      [
        'a change by another program',
        () => server().query(url, `update images set digest = 'x' where public_id = '${publicID}'`),
        1,
      ],
    ];
    for (const [what, run, changes] of steps) {
      await run();
      await notify(url, 'image end');
      for (const { heard } of [one, two]) {
        await until(() => heard.some((each) => each.kind === 'image' && each.publicID === 'end'));
        assert.deepEqual(heard.splice(0), [...new Array(changes).fill(change), END], what);
      }
    }
    assert.deepEqual(one.logged, []);
  });

  test('hears nothing of a change that is rolled back', async (t) => {
    const url = await server().createDatabase();
    const node = await startNode(t, url);
    await untilListening(node);
    const { images, first } = await accountWithImage(node.store);
    await server().query(url, 'alter table events rename to away');
    await assert.rejects(images.replace(first.imageID, { ...replacement('second'), updatedOn: later(1) }));
    await untilHeard(node);
    assert.deepEqual(node.heard, []);
  });

  test('trusts a record for minutes, until a change is heard', async (t) => {
    const url = await server().createDatabase();
    const node = await startNode(t, url);
    await untilListening(node);
    const { account, first } = await accountWithImage(node.store);
    const { accountID } = account;
    const { publicID } = first;
    const find = () => node.publicImages.find(publicID);
    const before = await find();
    await server().query(url, 'alter table images disable trigger image_changed');
    await server().query(url, `update images set alt_text = 'changed in silence'`);
    const readAt = performance.now();
    await waitFor('no beats arrive', () => node.changes.heardUntil > readAt + BOUND);
    assert.deepEqual(await find(), before);
    assert.equal(node.publicImages.stateOf(before.image), 'confirmed');
    for (const [payload, isHeard] of [
      [`image ${'x'.repeat(21)}`, false],
      ['account 3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb', false],
      [`image ${publicID}`, true],
      [`account ${accountID}`, true],
      ['a kind of a newer version', true],
    ] as const) {
      const { image } = await find();
      await notify(url, payload);
      await untilHeard(node);
      assert.equal(node.publicImages.stateOf(image), isHeard ? undefined : 'confirmed', payload);
      if (isHeard) assert.equal((await find()).image.altText, 'changed in silence');
    }
  });

  test('does not answer with a record whose lookup was running when its change was heard', async (t) => {
    const url = await server().createDatabase();
    const proxy = await startTCPProxy(server().port);
    t.after(() => proxy.close());
    const node = await startNode(t, proxy.through(url), url, PATIENT);
    const other = await startNode(t, url);
    await untilListening(node);
    const { images, first } = await accountWithImage(other.store);
    const { imageID, publicID } = first;
    proxy.holdsAnswer = (answer) => answer.includes(publicID);
    const lookup = node.publicImages.find(publicID);
    await waitFor('the database does not answer', () => proxy.held() > 0);
    await images.replace(imageID, { ...replacement('second'), updatedOn: later(1) });
    await until(() => node.heard.length > 0);
    proxy.release();
    const { image, state } = await lookup;
    assert.deepEqual([image.original.digest, state], [originalOf('second').digest, 'confirmed']);
  });

  test('answers a slow lookup with a record that is not confirmed', async (t) => {
    const url = await server().createDatabase();
    const proxy = await startTCPProxy(server().port);
    t.after(() => proxy.close());
    const node = await startNode(t, proxy.through(url), 'postgres://vitrine@127.0.0.1:1/none', PATIENT);
    const { first } = await accountWithImage(node.store);
    proxy.holdsAnswer = (answer) => answer.includes(first.publicID);
    const lookup = node.publicImages.find(first.publicID);
    const start = performance.now();
    await waitFor('the time does not pass', () => performance.now() - start > 4_500);
    proxy.release();
    assert.equal((await lookup).state, 'unconfirmed');
    assert.equal((await node.publicImages.find(first.publicID)).state, 'confirmed');
  });

  test('reads records again that were read before a reconnect', async (t) => {
    const url = await server().createDatabase();
    const node = await startNode(t, url);
    await untilListening(node);
    const { first } = await accountWithImage(node.store);
    const { image } = await node.publicImages.find(first.publicID);
    await untilHeard(node);
    const { listeningSince } = node.changes;
    // Longer ago than an unheard record is confirmed.
    await waitFor('no beats arrive', () => node.changes.heardUntil > listeningSince + 4_000);
    assert.equal(node.publicImages.stateOf(image), 'confirmed');
    await endListeners(url);
    await waitFor('no reconnect', () => node.changes.listeningSince > listeningSince);
    assert.equal(node.publicImages.stateOf(image), undefined);
    assert.equal((await node.publicImages.find(first.publicID)).state, 'confirmed');
  });

  type Prepare = (t: Parameters<typeof startNode>[0], url: string) => Promise<FaultyNode>;
  const faults: Record<string, Prepare> = {
    async 'the connection of the listener is ended'(t, url) {
      const node = await startNode(t, url);
      return { node, fail: () => endListeners(url), heals: true };
    },
    async 'the connection of the listener is dead without a sign'(t, url) {
      const proxy = await startTCPProxy(server().port);
      const node = await startNode(t, url, proxy.through(url));
      t.after(() => proxy.close());
      return {
        node,
        fail: async () => proxy.silenceOpen(),
        heals: true,
      };
    },
    async 'the listener has the address of no server'(t, url) {
      const node = await startNode(t, url, 'postgres://vitrine@127.0.0.1:1/none');
      return { node, fail: async () => undefined, heals: false };
    },
    ...(!pgBouncerMissing() && {
      async 'the listener has the address of PgBouncer'(t, url) {
        const pooler = await startPgBouncer({ port: server().port, serverConnections: 4 });
        const node = await startNode(t, url, pooler.through(url));
        t.after(() => pooler.stop());
        return { node, fail: async () => undefined, heals: false };
      },
    }),
    async 'the listener has the address of another database'(t, url) {
      const node = await startNode(t, url, await server().createDatabase());
      return { node, fail: async () => undefined, heals: false };
    },
  };
  interface FaultyNode {
    readonly node: Node;
    readonly fail: () => Promise<void>;
    readonly heals: boolean;
  }

  for (const [fault, prepare] of Object.entries(faults)) {
    test(`shows a change within six seconds while ${fault}`, async (t) => {
      const url = await server().createDatabase();
      const { node, fail, heals } = await prepare(t, url);
      const other = await startNode(t, url);
      const { images, first } = await accountWithImage(other.store);
      if (heals) await untilListening(node);
      const replace = (bytes: string) =>
        images.replace(first.imageID, { ...replacement(bytes), updatedOn: later(1) });
      // The worst moment: the record was just read, and the last beat has just arrived.
      await node.publicImages.find(first.publicID);
      if (heals) await untilHeard(node);
      await fail();
      await replace('second');
      const time = await timeUntilShown(node, first.publicID, 'second');
      t.diagnostic(`shown after ${Math.round(time)} ms`);
      assert.ok(time <= BOUND, `${time} ms`);
      const isWarned = (message: string) => message.includes('VITRINE_DATABASE_LISTEN');
      await waitFor('no warning', () => node.logged.some(isWarned));
      if (heals) {
        await waitFor('not heard again', () => node.logged.some((message) => message.includes('again')));
        await replace('third');
        await timeUntilShown(node, first.publicID, 'third');
        assert.equal(node.logged.length, 2);
      }
      assert.equal(node.logged.filter(isWarned).length, 1);
    });
  }

  test('notices a dead connection of the listener within three seconds', async (t) => {
    const url = await server().createDatabase();
    const proxy = await startTCPProxy(server().port);
    t.after(() => proxy.close());
    const node = await startNode(t, url, proxy.through(url));
    await untilListening(node);
    proxy.silenceOpen();
    const start = performance.now();
    await waitFor('no warning', () => node.logged.length > 0);
    const time = performance.now() - start;
    t.diagnostic(`noticed after ${Math.round(time)} ms`);
    assert.ok(time < 3_000, `${time} ms`);
  });
});

function replacement(bytes: string) {
  return { original: originalOf(bytes) };
}

async function notify(url: string, payload: string): Promise<void> {
  await server().query(url, `select pg_notify('vitrine_changes', $1)`, [payload]);
}

async function endListeners(url: string): Promise<void> {
  const ended = await server().query(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'vitrine-listener' and datname = current_database()`,
  );
  assert.ok(ended.length > 0);
}
