/**
 * `ops/nginx` in front of three nodes. nginx stores pictures and asks after a second whether they changed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { jpeg } from '../../support/pictures.ts';
import { waitFor } from '../../support/waiting.ts';
import { describeCache, storedAnswer } from './caching.ts';
import { describeProxy } from './expectations.ts';
import { NGINX } from './programs.ts';
import { send } from './requests.ts';
import { setUpProxy } from './setup.ts';

const { setup, skip } = await setUpProxy(NGINX);

describe('nginx', { skip }, () => {
  if (!setup) return;
  describeProxy(setup);
  describeCache(setup);

  test('asks the home node whether a stored picture has changed, and shows the new one after a replace', async () => {
    const { proxy } = setup;
    const image = await proxy.addImage(await jpeg({ seed: 500 }));
    const url = proxy.url + new URL(image.link).pathname;
    const first = await storedAnswer(url);
    await waitFor('the cache asks again', async () => (await send(url)).headers['x-cache'] === 'REVALIDATED');
    const replaced = await proxy.upload(await jpeg({ seed: 501 }), { replace: image.imageID });
    assert.equal(replaced.status, 200, await replaced.text());
    await waitFor(
      'the new picture is shown',
      async () => (await send(url)).headers.etag !== first.headers.etag,
    );
    const { body } = await send(url);
    assert.notDeepEqual(body, first.body);
  });
});
