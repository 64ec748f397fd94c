/**
 * Pictures that would cost more than they look like, sent to a server in a process of its own.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FLOODS, MEMORY_BOMBS, PIXEL_BOMBS } from './bombs.ts';
import { ALONE, assertUnharmed, faultsOf, OF_ANY_SIZE } from './judge.ts';
import { type HostileServer, startProcess } from './process.ts';

let server: HostileServer;

before(async () => {
  server = await startProcess();
});
after(() => server.close());

describe('pictures that cost more than they look like', () => {
  test('with too many pixels, or lies about them, are refused, and narrow ones come in any size', async () => {
    assert.deepEqual(await faultsOf(server, PIXEL_BOMBS, ALONE, OF_ANY_SIZE), []);
  });

  test('that would take much memory are refused, or what swells in them is never looked at', async () => {
    assert.deepEqual(await faultsOf(server, MEMORY_BOMBS, ALONE), []);
  });

  test('of very many parts are refused, and those of many cost nothing', async () => {
    assert.deepEqual(await faultsOf(server, FLOODS, ALONE), []);
  });

  test('leave the serving process and its workers as they were, within their memory', async (t) => {
    t.diagnostic(await assertUnharmed(server));
  });
});
