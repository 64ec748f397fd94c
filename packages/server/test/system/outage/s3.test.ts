/**
 * A whole server while its S3 store is in trouble. Renditions that are in a cache are answered all the time.
 * What cannot be done is refused in time, and works again without a restart.
 */
import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CREDENTIALS, startS3 } from '../../blobs/s3-servers.ts';
import { type FaultProxy, type Fault as HTTPFault, startFaultProxy } from '../../faults/http-proxy.ts';
import { ACCOUNT, uploadForm } from '../../support/client.ts';
import { largePicture } from '../../support/libraries.ts';
import { startServerProcess } from '../../support/server-process.ts';
import { waitFor } from '../../support/waiting.ts';
import { assertHonest, longest, newPicture, type Sighting, see } from './clients.ts';

const { s3, skip } = await startS3();
after(() => s3?.stop());

const IMAGES = `/accounts/${ACCOUNT}/images`;
/** Milliseconds of a fault. */
const OUTAGE = 4_000;
/** The most connections of the client, twice: the proxy notices the end of one later than the client. */
const MAX_CONNECTIONS = 128;

type Start = (proxy: FaultProxy) => Promise<() => unknown>;

const answering =
  (fault: HTTPFault): Start =>
  async (proxy) => {
    proxy.fault = () => fault;
    return () => {
      proxy.fault = undefined;
    };
  };

/** For each fault: what it does, and whether uploads work until the server has noticed it. */
const FAULTS: Record<string, { readonly start: Start; readonly isWritable?: boolean }> = {
  'refuses connections': {
    async start(proxy) {
      await proxy.refuse();
      return () => proxy.accept();
    },
  },
  hangs: { start: answering('hang') },
  'answers at one byte a second': { start: answering('trickle') },
  'sends bodies at one byte a second': { start: answering('trickle-body'), isWritable: true },
  'cuts each body at its half': { start: answering('cut'), isWritable: true },
  'answers 500': { start: answering('full-500') },
  'answers SlowDown': { start: answering('slow-down') },
};

async function setUp(t: TestContext) {
  assert.ok(s3);
  const proxy = await startFaultProxy(s3.port);
  const bucket = await s3.createBucket();
  const server = await startServerProcess({
    env: { ...CREDENTIALS, VITRINE_BLOBS: `s3://${bucket}?endpoint=${proxy.endpoint}` },
  });
  t.after(async () => {
    await server.close();
    await proxy.close();
  });
  return { proxy, server };
}

describe('a server whose S3 store', { skip }, () => {
  it('hangs refuses the first upload that meets it in time', async (t) => {
    const { proxy, server } = await setUp(t);
    assert.equal((await server.upload(await newPicture())).status, 201);
    const body = uploadForm(await newPicture());
    // Until then the store answers, so the upload is received and decoded.
    proxy.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      proxy.fault = () => 'hang';
      return 'hang';
    };
    const seen = await see('upload', () => server.fetch(IMAGES, { method: 'POST', body }));
    assertHonest([seen], [503]);
    t.diagnostic(`refused after ${seen.milliseconds} ms, with the time to decode it`);
  });

  for (const [name, { start, isWritable = false }] of Object.entries(FAULTS)) {
    it(`${name}: answers warm links, refuses the rest in time, and recovers`, async (t) => {
      const { proxy, server } = await setUp(t);
      const image = await server.addImage(await largePicture(10));
      // Its original and rungs are only in the store.
      const cold = await server.addImage(await largePicture(20));
      const link = (publicID: string, size: string) =>
        see('link', () => fetch(`${server.url}/images/${publicID}?size=${size}`));
      const original = () => see('original', () => server.fetch(`${IMAGES}/${cold.imageID}/original`));
      const upload = async () => {
        const body = uploadForm(await newPicture());
        return see('accepted upload', () => server.fetch(IMAGES, { method: 'POST', body }));
      };
      for (const size of ['400x400', '300x0']) assert.equal((await link(image.publicID, size)).status, 200);

      const end = await start(proxy);
      const refused: Sighting[] = [];
      const uploads: Sighting[] = [];
      const warm: Sighting[] = [];
      const startedAt = performance.now();
      for (let width = 310; performance.now() - startedAt < OUTAGE; width += 1) {
        refused.push(await link(cold.publicID, `${width}x0`), await original());
        uploads.push(await upload());
        warm.push(await link(image.publicID, '400x400'));
        // From the rung that the first new size has fetched.
        warm.push(await link(image.publicID, `${width}x0`));
        warm.push(await see('list', () => server.fetch(IMAGES)));
        await pause(50);
      }
      const together = await Promise.all(
        Array.from({ length: 100 }, (_, index) => link(cold.publicID, `${500 + index}x0`)),
      );
      assert.equal((await fetch(`${server.url}/livez`)).status, 200);
      await end();
      await waitFor('the store is read', async () => (await link(cold.publicID, '310x0')).status === 200);
      await waitFor('the store is written', async () => (await upload()).status === 201);
      await waitFor('the server is ready', async () => (await fetch(`${server.url}/readyz`)).status === 200);

      assertHonest(warm, [200]);
      assertHonest(refused, [503]);
      assertHonest(uploads, isWritable ? [201, 503] : [503]);
      // An address may have only some renders at a time.
      assertHonest(together, [503, 429]);
      assert.ok(proxy.connections().most <= MAX_CONNECTIONS, `${proxy.connections().most} connections`);
      assert.equal(server.exitStatus(), undefined);
      t.diagnostic(
        `${name}: deliveries refused in ${longest(refused)} ms at most, 100 at once in ${longest(together)} ms, ` +
          `uploads in ${Math.max(...uploads.map(({ milliseconds }) => milliseconds))} ms; warm links ${longest(warm)} ms`,
      );
    });
  }
});
