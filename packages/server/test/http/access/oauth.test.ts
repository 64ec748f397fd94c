import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  ALL_SCOPES,
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  type KeyJSON,
  successBody,
  type TokenJSON,
} from '../../support/administration.ts';
import { ACCOUNT, basic, skipOnSeveralNodes, startServer, type TestServer } from '../../support/server.ts';

const HOUR = 3_600_000;

let server: TestServer;
let key: KeyJSON;
let clock = new Date('2030-01-01T00:00:00Z');
const advanceClock = (milliseconds: number) => {
  clock = new Date(clock.getTime() + milliseconds);
};

before(async () => {
  server = await startServer({}, { now: () => clock });
  key = await createKey(server, ACCOUNT);
});
after(() => server.close());

const READ = `/accounts/${ACCOUNT}/images.read`;
const WRITE = `/accounts/${ACCOUNT}/images.write`;

interface OAuthErrorJSON {
  readonly error: string;
  readonly error_description?: string;
}

/** Sends a form, as RFC 6749 requires. */
async function post(path: string, fields: string | Record<string, string>, authorization?: string) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization !== undefined && { authorization }),
    },
    body: typeof fields === 'string' ? fields : new URLSearchParams(fields).toString(),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? {} : JSON.parse(text)) as TokenJSON & OAuthErrorJSON,
  };
}
const token = (fields: string | Record<string, string>, authorization?: string) =>
  post('/oauth2/token', fields, authorization);
const refresh = (refresh_token: string, more: Record<string, string> = {}, by: KeyJSON = key) =>
  token({ grant_type: 'refresh_token', refresh_token, ...more }, basicOf(by));
const ping = async (access: string) =>
  (await fetch(`${server.url}/ping`, { headers: { authorization: bearer(access) } })).status;

describe('a token', () => {
  test('is issued for credentials in the header or the body, as a form or as JSON', async () => {
    const client = { client_id: key.publicKey, client_secret: key.secretKey };
    const grant = { grant_type: 'client_credentials' };
    const responses = [
      await token(grant, basicOf(key)),
      await token({ ...grant, ...client }),
      await token({ ...grant, ...client }, basicOf(key)),
      await token({ ...grant, scope: '' }, basicOf(key)),
      await server.send<TokenJSON>('POST', '/oauth2/token', { ...grant, ...client }, basicOf(key)),
    ];
    const json = await fetch(`${server.url}/oauth2/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...grant, ...client }),
    });
    responses.push({ status: json.status, headers: json.headers, body: await json.json() } as never);
    const secrets = new Set<string>();
    for (const { status, headers, body } of responses) {
      assert.equal(status, 200);
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.equal(headers.get('pragma'), 'no-cache');
      assert.equal(headers.get('x-moov-version'), 'v2024.01.00');
      assert.deepEqual(Object.keys(body).sort(), [
        'access_token',
        'expires_in',
        'refresh_token',
        'scope',
        'token_type',
      ]);
      assert.equal(body.token_type, 'Bearer');
      assert.equal(body.expires_in, 3_600);
      assert.match(body.access_token, /^vitrine_at_[A-Za-z0-9_-]{43}$/);
      assert.match(body.refresh_token, /^vitrine_rt_[A-Za-z0-9_-]{43}$/);
      assert.equal(await ping(body.access_token), 200);
      secrets.add(body.access_token).add(body.refresh_token);
    }
    assert.equal(secrets.size, 2 * responses.length);
  });

  test('allows all scopes of its key by default, or exactly the requested scopes', async () => {
    const whole = await createToken(server, key);
    assert.equal(whole.scope, ALL_SCOPES.map((scope) => scope.replace('{accountID}', ACCOUNT)).join(' '));
    const narrow = await createToken(server, key, `${READ} /ping.read`);
    assert.equal(narrow.scope, `${READ} /ping.read`);
    const as = (method: string, body?: unknown) =>
      server.send(method, `/accounts/${ACCOUNT}/images`, body, bearer(narrow.access_token));
    assert.equal((await as('GET')).status, 200);
    assert.equal((await as('POST', {})).status, 403);
    assert.equal(await ping(narrow.access_token), 200);
    assert.equal((await createToken(server, key, 'images.read')).scope, READ);
  });

  test('of a key for all accounts can be for one account', async () => {
    const all = await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'All', scopes: ALL_SCOPES }));
    const other = await createAccount(server);
    const narrow = await createToken(server, all, `/accounts/${other}/images.read ${WRITE}`);
    const list = (account: string) =>
      server.send('GET', `/accounts/${account}/images`, undefined, bearer(narrow.access_token));
    assert.equal((await list(other)).status, 200);
    assert.equal((await list(ACCOUNT)).status, 403);
    assert.equal((await createToken(server, all)).scope, ALL_SCOPES.join(' '));
  });

  test('expires after exactly one hour', async () => {
    const { access_token } = await createToken(server, key);
    advanceClock(HOUR - 1);
    assert.equal(await ping(access_token), 200);
    advanceClock(1);
    assert.equal(await ping(access_token), 401);
  });

  test('ends when its key expires or is revoked', async () => {
    const expiresOn = new Date(clock.getTime() + 60_000).toISOString();
    const brief = await createKey(server, ACCOUNT, { expiresOn });
    const { access_token, expires_in } = await createToken(server, brief);
    assert.equal(expires_in, 60);
    advanceClock(60_000);
    assert.equal(await ping(access_token), 401);
    const doomed = await createKey(server, ACCOUNT);
    const theirs = await createToken(server, doomed);
    await successBody(server.send('DELETE', `/accounts/${ACCOUNT}/keys/${doomed.keyID}`));
    assert.equal(await ping(theirs.access_token), 401);
    assert.equal((await refresh(theirs.refresh_token, {}, doomed)).body.error, 'invalid_client');
  });

  test('ends with its secret, and can be refreshed with the next secret before that', async () => {
    const rotated = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${rotated.keyID}/rotate`;
    const [one, two] = [await createToken(server, rotated), await createToken(server, rotated)];
    const next = await successBody(server.send<KeyJSON>('POST', path, { overlapSeconds: 60 }));
    assert.equal((await createToken(server, rotated)).expires_in, 60);
    const refreshed = await refresh(two.refresh_token, {}, next);
    assert.equal(refreshed.status, 200);
    advanceClock(60_000);
    assert.equal(await ping(one.access_token), 401);
    assert.equal((await refresh(one.refresh_token, {}, next)).body.error, 'invalid_grant');
    assert.equal(await ping(refreshed.body.access_token), 200);
  });

  test('is refused in a URL, as Basic credentials, or without its last character', async () => {
    const { access_token, refresh_token } = await createToken(server, key);
    assert.equal((await fetch(`${server.url}/ping?access_token=${access_token}`)).status, 401);
    for (const authorization of [
      basic(key.publicKey, access_token),
      basic(access_token, ''),
      bearer(access_token.slice(0, -1)),
      bearer(refresh_token),
      bearer(`${access_token} ${access_token}`),
      `Token ${access_token}`,
    ]) {
      const answer = await server.send('GET', '/ping', undefined, authorization);
      assert.equal(answer.status, 401, authorization.slice(0, 12));
      assert.equal(
        answer.headers.get('www-authenticate'),
        'Basic realm="Vitrine", charset="UTF-8", Bearer realm="Vitrine"',
      );
    }
  });
});

describe('a refresh token', () => {
  test('gets new tokens with the same rights or fewer', async () => {
    const first = await createToken(server, key, `${READ} ${WRITE}`);
    const second = await refresh(first.refresh_token, { scope: READ });
    assert.equal(second.status, 200);
    assert.equal(second.body.scope, READ);
    const third = await refresh(second.body.refresh_token);
    assert.equal(third.body.scope, `${READ} ${WRITE}`);
    const wider = await refresh(third.body.refresh_token, { scope: '/ping.read' });
    assert.deepEqual([wider.status, wider.body.error], [400, 'invalid_scope']);
    assert.equal(
      (await refresh(third.body.refresh_token)).status,
      200,
      'a refused request does not use up the refresh token',
    );
  });

  test('that is used twice ends all tokens of its family', async () => {
    const first = await createToken(server, key);
    const second = await refresh(first.refresh_token);
    assert.equal(await ping(second.body.access_token), 200);
    const again = await refresh(first.refresh_token);
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant']);
    assert.equal(await ping(second.body.access_token), 401);
    assert.equal(await ping(first.access_token), 401);
    assert.equal((await refresh(second.body.refresh_token)).body.error, 'invalid_grant');
  });

  test('is valid for one day and only for its own key', async () => {
    const { refresh_token, access_token } = await createToken(server, key);
    const other = await createKey(server, ACCOUNT);
    const responses = [
      await refresh(refresh_token, {}, other),
      await refresh(access_token),
      await refresh('vitrine_rt_unknown'),
    ];
    advanceClock(24 * HOUR);
    responses.push(await refresh(refresh_token));
    for (const { status, body } of responses) {
      assert.deepEqual(
        [status, body],
        [400, { error: 'invalid_grant', error_description: 'the refresh token is not valid' }],
      );
    }
  });
});

describe('revoking', () => {
  const revoke = (value: string, by: KeyJSON = key) =>
    post('/oauth2/revoke', { token: value, token_type_hint: 'access_token' }, basicOf(by));

  test('ends an access token, or the family of a refresh token, and returns 204 for ended and unknown tokens', async () => {
    const one = await createToken(server, key);
    assert.equal((await revoke(one.access_token)).status, 204);
    assert.equal(await ping(one.access_token), 401);
    assert.equal((await refresh(one.refresh_token)).status, 200, 'the refresh token is still valid');
    const two = await createToken(server, key);
    assert.equal((await revoke(two.refresh_token)).status, 204);
    assert.equal(await ping(two.access_token), 401);
    for (const value of [two.refresh_token, one.access_token, 'unknown']) {
      assert.equal((await revoke(value)).status, 204);
    }
  });

  test('does not end a token of another key', async () => {
    const { access_token } = await createToken(server, key);
    const other = await createKey(server, ACCOUNT);
    assert.equal((await revoke(access_token, other)).status, 204);
    assert.equal(await ping(access_token), 200);
  });
});

describe('an invalid request for a token', () => {
  const grant = { grant_type: 'client_credentials' };
  const assertRefused = async (
    fields: string | Record<string, string>,
    authorization: string | undefined,
    status: number,
    error: string,
  ) => {
    const answer = await token(fields, authorization);
    assert.deepEqual([answer.status, answer.body.error], [status, error], JSON.stringify(fields));
    assert.equal(typeof answer.body.error_description, 'string');
    return answer;
  };

  test('gets the status and the code of RFC 6749', async () => {
    const valid = basicOf(key);
    await assertRefused({}, valid, 400, 'invalid_request');
    await assertRefused({ grant_type: 'refresh_token' }, valid, 400, 'invalid_request');
    await assertRefused('grant_type=client_credentials&scope=a&scope=b', valid, 400, 'invalid_request');
    await assertRefused({ grant_type: 'password' }, valid, 400, 'unsupported_grant_type');
    for (const scope of [
      'nonsense',
      'images',
      '/accounts/x/images.read',
      '/images.read',
      '/accounts//ping.read',
    ]) {
      await assertRefused({ ...grant, scope }, valid, 400, 'invalid_scope');
    }
    const other = await createAccount(server);
    await assertRefused({ ...grant, scope: `/accounts/${other}/images.read` }, valid, 400, 'invalid_scope');
    const narrow = await createKey(server, ACCOUNT, { scopes: ['images.read'] });
    await assertRefused({ ...grant, scope: `${READ} ${WRITE}` }, basicOf(narrow), 400, 'invalid_scope');
    await assertRefused({ ...grant, client_id: 'another' }, valid, 400, 'invalid_request');
    await assertRefused({ ...grant, client_secret: 'another' }, valid, 400, 'invalid_request');
  });

  test('gets the same invalid_client for all invalid credentials', async () => {
    const responses = [
      await assertRefused(grant, undefined, 401, 'invalid_client'),
      await assertRefused(grant, basic(key.publicKey, 'wrong'), 401, 'invalid_client'),
      await assertRefused(grant, basic('unknown', key.secretKey), 401, 'invalid_client'),
      await assertRefused({ ...grant, client_id: key.publicKey }, undefined, 401, 'invalid_client'),
      await assertRefused(
        { ...grant, client_id: 'a\0', client_secret: 'b' },
        undefined,
        401,
        'invalid_client',
      ),
      await assertRefused(
        grant,
        bearer((await createToken(server, key)).access_token),
        401,
        'invalid_client',
      ),
    ];
    assert.equal(new Set(responses.map(({ body }) => JSON.stringify(body))).size, 1);
    for (const { headers } of responses) assert.match(headers.get('www-authenticate') ?? '', /^Basic /);
  });

  test('gets 429 after 100 wrong secrets, also with the right secret, and does not affect other keys', {
    skip: skipOnSeveralNodes,
  }, async () => {
    const victim = await createKey(server, ACCOUNT);
    let last = 0;
    for (let guess = 0; guess <= 110 && last !== 429; guess += 1) {
      last = (await token(grant, basic(victim.publicKey, `guess ${guess}`))).status;
    }
    assert.equal(last, 429);
    const right = await token(grant, basicOf(victim));
    assert.equal(right.status, 429);
    assert.match(right.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.match(right.body.error, /too many failed attempts/);
    assert.equal((await token(grant, basicOf(key))).status, 200, 'another key still works');
  });

  test('gets 400 or 415 for a malformed body', async () => {
    for (const [type, body, status] of [
      ['application/json', '[]', 400],
      ['application/json', '{"grant_type": 5}', 400],
      ['application/json', '{', 400],
      ['text/plain', 'grant_type=client_credentials', 415],
      ['application/x-www-form-urlencoded', 'grant_type=%ff%fe', 400],
    ] as const) {
      const response = await fetch(`${server.url}/oauth2/token`, {
        method: 'POST',
        headers: { 'content-type': type, authorization: basicOf(key) },
        body,
      });
      assert.equal(response.status, status, `${type} ${body}`);
      assert.equal(typeof ((await response.json()) as OAuthErrorJSON).error, 'string');
    }
  });
});
