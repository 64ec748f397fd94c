/**
 * The audit trail over HTTP: each entry names the author, the request and the change.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  successBody,
} from '../../support/administration.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer, type TestServer, uploadForm } from '../../support/server.ts';

interface EntryJSON {
  readonly sequence: number;
  readonly on: string;
  readonly action: string;
  readonly accountID?: string;
  readonly subject: { readonly kind: string; readonly id: string };
  readonly by: Record<string, string>;
  readonly before?: string;
  readonly after?: string;
  readonly details?: Record<string, unknown>;
}

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server.close());

describe('the audit trail', () => {
  test('contains the key, the token, the request ID, the address and the digests', async () => {
    const accountID = await createAccount(server, 'Audited');
    const key = await createKey(server, accountID);
    const token = await createToken(server, key);
    const send = async (method: string, path: string, body: FormData | string | null, requestID: string) => {
      const headers = { authorization: bearer(token.access_token), 'x-request-id': requestID };
      const response = await fetch(`${server.url}/accounts/${accountID}/images${path}`, {
        method,
        body,
        headers: { ...headers, ...(typeof body === 'string' && { 'content-type': 'application/json' }) },
      });
      assert.ok(response.ok, await response.clone().text());
      return response;
    };
    const added = await send('POST', '', uploadForm(await picture(1)), 'request-upload');
    const { imageID } = (await added.json()) as ImageJSON;
    await send('PUT', `/${imageID}`, uploadForm(await picture(2)), 'request-replace');
    await send('PUT', `/${imageID}/metadata`, '{"altText":"a lamp"}', 'request-alt-text');
    await send('DELETE', `/${imageID}`, null, 'request-disable');
    await send('DELETE', `/${imageID}`, null, 'request-again');

    const path = `/accounts/${accountID}/audit`;
    const answer = await server.send<EntryJSON[]>('GET', path, undefined, basicOf(key));
    assert.equal(answer.headers.get('x-total-count'), '7');
    const entries = answer.body.toReversed();
    assert.deepEqual(
      entries.map(({ action, subject, sequence }) => [sequence, action, subject.kind]),
      [
        [1, 'account.create', 'account'],
        [2, 'key.create', 'key'],
        [3, 'token.create', 'token'],
        [4, 'image.upload', 'image'],
        [5, 'image.replace', 'image'],
        [6, 'image.describe', 'image'],
        [7, 'image.disable', 'image'],
      ],
    );
    const [, ofKey, ofToken, upload, replace, altText, disable] = entries;
    assert.equal(ofKey?.subject.id, key.keyID);
    assert.notEqual(ofKey?.by.keyID, key.keyID);
    assert.equal(ofToken?.by.keyID, key.keyID);
    assert.equal(ofToken?.by.tokenID, undefined);
    const tokenID = ofToken?.subject.id;
    for (const [entry, requestID] of [
      [upload, 'request-upload'],
      [replace, 'request-replace'],
      [altText, 'request-alt-text'],
      [disable, 'request-disable'],
    ] as const) {
      assert.deepEqual(entry?.subject, { kind: 'image', id: imageID });
      assert.deepEqual(entry?.by, {
        kind: 'key',
        keyID: key.keyID,
        tokenID,
        requestID,
        address: '127.0.0.1',
      });
      assert.equal(entry?.accountID, accountID);
    }
    assert.match(upload?.after ?? '', /^[0-9a-f]{64}$/);
    assert.equal(upload?.before, undefined);
    assert.equal(replace?.before, upload?.after);
    assert.notEqual(replace?.after, replace?.before);
    assert.equal(disable?.before, replace?.after);
    assert.ok(Date.parse(upload?.on ?? '') <= Date.parse(disable?.on ?? ''));

    const page = await server.send<EntryJSON[]>('GET', `${path}?skip=2&count=2`);
    assert.deepEqual(page.body, answer.body.slice(2, 4));
    assert.match(page.headers.get('link') ?? '', /audit\?skip=4&count=2>; rel="next"$/);
  });

  test('of the server contains keys and tokens for all accounts', async () => {
    const wide = await successBody(
      server.send<{ keyID: string }>('POST', '/keys', { name: 'Wide', scopes: ['/ping.read'] }),
    );
    const entries = await successBody(server.send<EntryJSON[]>('GET', '/audit'));
    assert.equal(entries[0]?.action, 'key.create');
    assert.equal(entries[0]?.subject.id, wide.keyID);
    assert.equal(entries[0]?.accountID, undefined);
    const first = entries.at(-1);
    assert.deepEqual([first?.action, first?.by], ['key.create', { kind: 'server' }]);
  });
});
