/**
 * Small files that need many resources, sent to a server in a separate process.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FLOODS, MEMORY_BOMBS, PIXEL_BOMBS } from './bombs.ts';
import { assertHealthy, DELIVERIES_OF_ALL_SIZES, findFaults, ONE_AT_ONCE } from './faults.ts';
import { type HostileServer, startProcess } from './server-process.ts';

let server: HostileServer;

before(async () => {
  server = await startProcess();
});
after(() => server.close());

describe('the server', () => {
  test('refuses too many pixels and wrong sizes, and delivers very narrow pictures in every size', async () => {
    assert.deepEqual(await findFaults(server, PIXEL_BOMBS, ONE_AT_ONCE, DELIVERIES_OF_ALL_SIZES), []);
  });

  test('refuses pictures that need too much memory, and never inflates unused parts', async () => {
    assert.deepEqual(await findFaults(server, MEMORY_BOMBS, ONE_AT_ONCE), []);
  });

  test('refuses pictures with too many parts, and accepts those within the limits', async () => {
    assert.deepEqual(await findFaults(server, FLOODS, ONE_AT_ONCE), []);
  });

  test('stays healthy and within its memory', async (t) => {
    t.diagnostic(await assertHealthy(server));
  });
});
