/**
 * The default limits, which docs/reliability.md promises. The tests in test/system/overload check their
 * effect with smaller numbers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVER_LIMITS } from '../../../src/http/connection/server-limits.ts';
import { MAX_ORIGINAL_BYTES } from '../../../src/image.ts';
import { startServer } from '../../support/server.ts';

test('the largest form at the lowest rate is within the limit of a request', () => {
  const { requestTimeout, pace } = SERVER_LIMITS;
  const seconds = (MAX_ORIGINAL_BYTES + 1024 * 1024) / pace.minRate;
  assert.ok(requestTimeout > 1.5 * seconds * 1000);
});

test('a server has the promised limits', async () => {
  assert.deepEqual(SERVER_LIMITS, {
    headersTimeout: 10_000,
    requestTimeout: 7_200_000,
    checkInterval: 1_000,
    pace: {
      maxSilence: 60_000,
      window: 60_000,
      minRate: 4_000,
      slowRate: 65_536,
      slowAfter: 30_000,
      maxSlow: 64,
      checkInterval: 1_000,
    },
    connections: {
      total: 10_000,
      perAddress: 1_000,
      maxSilence: 60_000,
      grace: 30_000,
      minRate: 8_192,
      maxWaitingBytes: 134_217_728,
      checkInterval: 1_000,
    },
    renders: { maxWaiting: 512, maxWait: 10_000 },
  });
  const server = await startServer();
  try {
    const { headersTimeout, requestTimeout, keepAliveTimeout, timeout, maxConnections } =
      server.app.http.server;
    assert.deepEqual(
      { headersTimeout, requestTimeout, keepAliveTimeout, timeout, maxConnections },
      {
        headersTimeout: 10_000,
        requestTimeout: 7_200_000,
        keepAliveTimeout: 72_000,
        timeout: 60_000,
        // More than 10 000, so that connections beyond the limit get an answer.
        maxConnections: 11_000,
      },
    );
  } finally {
    await server.close();
  }
});

test('an idle connection stays open for the seconds of VITRINE_KEEP_ALIVE', async (t) => {
  const server = await startServer({ VITRINE_KEEP_ALIVE: '620' });
  t.after(() => server.close());
  assert.equal(server.app.http.server.keepAliveTimeout, 620_000);
  assert.equal((await server.fetch('/livez')).headers.get('keep-alive'), 'timeout=620');
});
