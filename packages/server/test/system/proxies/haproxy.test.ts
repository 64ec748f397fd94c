/**
 * `ops/haproxy` in front of three nodes. HAProxy stores nothing.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeProxy } from './expectations.ts';
import { HAPROXY } from './programs.ts';
import { send } from './requests.ts';
import { setUpProxy } from './setup.ts';

const { setup, skip } = await setUpProxy(HAPROXY);

describe('HAProxy', { skip }, () => {
  if (!setup) return;
  describeProxy(setup);

  test('answers 503 with Retry-After in JSON while no node runs, and again 200 afterwards', async () => {
    const { nodes, proxy } = setup;
    const path = await setup.addPicture();
    for (const index of nodes.ports.keys()) await nodes.kill(index);
    for (const url of [proxy.url + path, `${proxy.url}/accounts`]) {
      const { status, headers, body } = await send(url);
      assert.equal(status, 503);
      assert.equal(headers['retry-after'], '2');
      assert.deepEqual(JSON.parse(body.toString()), { error: 'the server cannot be reached' });
    }
    for (const index of nodes.ports.keys()) await nodes.start(index);
  });
});
