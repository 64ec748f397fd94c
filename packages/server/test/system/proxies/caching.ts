/**
 * What every proxy with a cache has to do besides `expectations.ts`.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { waitFor } from '../../support/waiting.ts';
import { type Answer, CLIENT_HEADERS, send } from './requests.ts';
import type { ProxySetup } from './setup.ts';

/** Fetches a picture until the cache answers. */
export async function storedAnswer(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  let answer = await send(url, headers);
  await waitFor(`a hit for ${url}`, async () => {
    answer = await send(url, headers);
    return answer.headers['x-cache'] === 'HIT';
  });
  return answer;
}

/** Registers the tests. */
export function describeCache(setup: ProxySetup): void {
  const { proxy, nodes } = setup;

  describe('the cache', () => {
    test('stores one picture for all browsers, one for all links with a format, and others apart', async () => {
      const url = proxy.url + (await setup.addPicture());
      const [chrome = '', firefox = ''] = CLIENT_HEADERS;
      const first = await storedAnswer(url, { accept: chrome });
      assert.equal(first.headers['content-type'], 'image/webp');
      // At most a second has passed, or the cache asks the node again: REVALIDATED is a hit, too.
      const isStored = ({ headers }: Answer) =>
        headers['x-cache'] === 'HIT' || headers['x-cache'] === 'REVALIDATED';
      assert.ok(isStored(await send(url, { accept: firefox })));
      const other = await send(url, { accept: '*/*' });
      assert.equal(other.headers['content-type'], 'image/jpeg');
      assert.equal(other.headers['x-cache'], 'MISS');
      assert.ok(isStored(await send(url)), 'no header is like */*');
      assert.equal((await send(`${url}?format=png`, { accept: chrome })).headers['x-cache'], 'MISS');
      for (const accept of ['image/jpeg', 'image/webp;q=0', '*/*']) {
        const answer = await send(`${url}?format=png`, { accept });
        assert.ok(isStored(answer), accept);
        assert.equal(answer.headers['content-type'], 'image/png');
      }
      // Other names do not choose the format, so they may not choose the class.
      for (const query of ['?FORMAT=png', '?xformat=png', '?format=gif']) {
        await send(url + query, { accept: chrome });
        const { status, headers } = await send(url + query, { accept: 'image/jpeg' });
        if (status === 200) assert.equal(headers['content-type'], 'image/jpeg', query);
      }
    });

    test('does not store errors, and stores a 404 only briefly', async () => {
      const path = await setup.addPicture();
      for (let time = 0; time < 2; time += 1) {
        const { status, headers } = await send(`${proxy.url}${path}?size=nonsense`);
        assert.equal(status, 400);
        assert.notEqual(headers['x-cache'], 'HIT');
      }
      assert.equal((await send(`${proxy.url}/images/aaaaaaaaaaaaaaaaaaaaa`)).status, 404);
    });

    test('shows stored pictures while no node runs, and answers 503 in JSON for others', async () => {
      const [stored, fresh] = [await setup.addPicture(), await setup.addPicture()];
      const { body } = await storedAnswer(proxy.url + stored);
      for (const index of nodes.ports.keys()) await nodes.kill(index);
      for (let time = 0; time < 3; time += 1) {
        const answer = await send(proxy.url + stored);
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.body, body);
      }
      for (const url of [proxy.url + fresh, `${proxy.url}/accounts`]) {
        const answer = await send(url);
        assert.equal(answer.status, 503);
        assert.equal(answer.headers['retry-after'], '2');
        assert.equal(answer.headers['cache-control'], 'no-store');
        assert.deepEqual(JSON.parse(answer.body.toString()), { error: 'the server cannot be reached' });
      }
      for (const index of nodes.ports.keys()) await nodes.start(index);
      await waitFor(
        'new pictures are shown again',
        async () => (await send(proxy.url + fresh)).status === 200,
      );
    });
  });
}
