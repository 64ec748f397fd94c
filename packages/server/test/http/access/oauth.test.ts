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
import { ACCOUNT, basic, startServer, type TestServer } from '../../support/server.ts';

const HOUR = 3_600_000;

let server: TestServer;
let key: KeyJSON;
let clock = new Date('2030-01-01T00:00:00Z');
const pass = (milliseconds: number) => {
  clock = new Date(clock.getTime() + milliseconds);
};

before(async () => {
  server = await startServer({}, { now: () => clock });
  key = await createKey(server, ACCOUNT);
});
after(() => server.close());

const READ = `/accounts/${ACCOUNT}/images.read`;
const WRITE = `/accounts/${ACCOUNT}/images.write`;

interface Refusal {
  readonly error: string;
  readonly error_description?: string;
}

/** Sends a form, as RFC 6749 has it. */
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
    body: (text === '' ? {} : JSON.parse(text)) as TokenJSON & Refusal,
  };
}
const token = (fields: string | Record<string, string>, authorization?: string) =>
  post('/oauth2/token', fields, authorization);
const refresh = (refresh_token: string, more: Record<string, string> = {}, by: KeyJSON = key) =>
  token({ grant_type: 'refresh_token', refresh_token, ...more }, basicOf(by));
const ping = async (access: string) =>
  (await fetch(`${server.url}/ping`, { headers: { authorization: bearer(access) } })).status;

describe('a token', () => {
  test('is given for credentials in the header or the body, in a form or in JSON', async () => {
    const client = { client_id: key.publicKey, client_secret: key.secretKey };
    const grant = { grant_type: 'client_credentials' };
    const answers = [
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
    answers.push({ status: json.status, headers: json.headers, body: await json.json() } as never);
    const secrets = new Set<string>();
    for (const { status, headers, body } of answers) {
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
    assert.equal(secrets.size, 2 * answers.length);
  });

  test('allows all of its key if no scope is named, else what is named', async () => {
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

  test('of a key for all accounts may be for one of them', async () => {
    const all = await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'All', scopes: ALL_SCOPES }));
    const other = await createAccount(server);
    const narrow = await createToken(server, all, `/accounts/${other}/images.read ${WRITE}`);
    const list = (account: string) =>
      server.send('GET', `/accounts/${account}/images`, undefined, bearer(narrow.access_token));
    assert.equal((await list(other)).status, 200);
    assert.equal((await list(ACCOUNT)).status, 403);
    assert.equal((await createToken(server, all)).scope, ALL_SCOPES.join(' '));
  });

  test('ends after an hour, not a millisecond earlier', async () => {
    const { access_token } = await createToken(server, key);
    pass(HOUR - 1);
    assert.equal(await ping(access_token), 200);
    pass(1);
    assert.equal(await ping(access_token), 401);
  });

  test('ends with its key, be it that it expires or is revoked', async () => {
    const expiresOn = new Date(clock.getTime() + 60_000).toISOString();
    const brief = await createKey(server, ACCOUNT, { expiresOn });
    const { access_token, expires_in } = await createToken(server, brief);
    assert.equal(expires_in, 60);
    pass(60_000);
    assert.equal(await ping(access_token), 401);
    const doomed = await createKey(server, ACCOUNT);
    const theirs = await createToken(server, doomed);
    await successBody(server.send('DELETE', `/accounts/${ACCOUNT}/keys/${doomed.keyID}`));
    assert.equal(await ping(theirs.access_token), 401);
    assert.equal((await refresh(theirs.refresh_token, {}, doomed)).body.error, 'invalid_client');
  });

  test('ends with the secret it was got with; refreshing with the next one carries on', async () => {
    const rotated = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${rotated.keyID}/rotate`;
    const [one, two] = [await createToken(server, rotated), await createToken(server, rotated)];
    const next = await successBody(server.send<KeyJSON>('POST', path, { overlapSeconds: 60 }));
    assert.equal((await createToken(server, rotated)).expires_in, 60);
    const carried = await refresh(two.refresh_token, {}, next);
    assert.equal(carried.status, 200);
    pass(60_000);
    assert.equal(await ping(one.access_token), 401);
    assert.equal((await refresh(one.refresh_token, {}, next)).body.error, 'invalid_grant');
    assert.equal(await ping(carried.body.access_token), 200);
  });

  test('is not accepted in a URL, as Basic, or cut short', async () => {
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
  test('gets a new pair with the same rights, or fewer', async () => {
    const first = await createToken(server, key, `${READ} ${WRITE}`);
    const second = await refresh(first.refresh_token, { scope: READ });
    assert.equal(second.status, 200);
    assert.equal(second.body.scope, READ);
    const third = await refresh(second.body.refresh_token);
    assert.equal(third.body.scope, `${READ} ${WRITE}`);
    const wider = await refresh(third.body.refresh_token, { scope: '/ping.read' });
    assert.deepEqual([wider.status, wider.body.error], [400, 'invalid_scope']);
    assert.equal((await refresh(third.body.refresh_token)).status, 200, 'a refusal does not use it up');
  });

  test('that is used twice ends all that came of it', async () => {
    const first = await createToken(server, key);
    const second = await refresh(first.refresh_token);
    assert.equal(await ping(second.body.access_token), 200);
    const again = await refresh(first.refresh_token);
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_grant']);
    assert.equal(await ping(second.body.access_token), 401);
    assert.equal(await ping(first.access_token), 401);
    assert.equal((await refresh(second.body.refresh_token)).body.error, 'invalid_grant');
  });

  test('is good for a day, for its own key, and for nothing else', async () => {
    const { refresh_token, access_token } = await createToken(server, key);
    const other = await createKey(server, ACCOUNT);
    const answers = [
      await refresh(refresh_token, {}, other),
      await refresh(access_token),
      await refresh('vitrine_rt_unknown'),
    ];
    pass(24 * HOUR);
    answers.push(await refresh(refresh_token));
    for (const { status, body } of answers) {
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

  test('ends an access token, or a refresh token with what came of it; again and for the unknown it is 204', async () => {
    const one = await createToken(server, key);
    assert.equal((await revoke(one.access_token)).status, 204);
    assert.equal(await ping(one.access_token), 401);
    assert.equal((await refresh(one.refresh_token)).status, 200, 'only the access token ended');
    const two = await createToken(server, key);
    assert.equal((await revoke(two.refresh_token)).status, 204);
    assert.equal(await ping(two.access_token), 401);
    for (const value of [two.refresh_token, one.access_token, 'unknown']) {
      assert.equal((await revoke(value)).status, 204);
    }
  });

  test('a token of another key changes nothing', async () => {
    const { access_token } = await createToken(server, key);
    const other = await createKey(server, ACCOUNT);
    assert.equal((await revoke(access_token, other)).status, 204);
    assert.equal(await ping(access_token), 200);
  });
});

describe('a request for a token that is not good', () => {
  const grant = { grant_type: 'client_credentials' };
  const refused = async (
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

  test('gets the statuses and codes of RFC 6749', async () => {
    const good = basicOf(key);
    await refused({}, good, 400, 'invalid_request');
    await refused({ grant_type: 'refresh_token' }, good, 400, 'invalid_request');
    await refused('grant_type=client_credentials&scope=a&scope=b', good, 400, 'invalid_request');
    await refused({ grant_type: 'password' }, good, 400, 'unsupported_grant_type');
    for (const scope of [
      'nonsense',
      'images',
      '/accounts/x/images.read',
      '/images.read',
      '/accounts//ping.read',
    ]) {
      await refused({ ...grant, scope }, good, 400, 'invalid_scope');
    }
    const other = await createAccount(server);
    await refused({ ...grant, scope: `/accounts/${other}/images.read` }, good, 400, 'invalid_scope');
    const narrow = await createKey(server, ACCOUNT, { scopes: ['images.read'] });
    await refused({ ...grant, scope: `${READ} ${WRITE}` }, basicOf(narrow), 400, 'invalid_scope');
    await refused({ ...grant, client_id: 'another' }, good, 400, 'invalid_request');
    await refused({ ...grant, client_secret: 'another' }, good, 400, 'invalid_request');
  });

  test('without good credentials is invalid_client, the same whatever is wrong', async () => {
    const answers = [
      await refused(grant, undefined, 401, 'invalid_client'),
      await refused(grant, basic(key.publicKey, 'wrong'), 401, 'invalid_client'),
      await refused(grant, basic('unknown', key.secretKey), 401, 'invalid_client'),
      await refused({ ...grant, client_id: key.publicKey }, undefined, 401, 'invalid_client'),
      await refused({ ...grant, client_id: 'a\0', client_secret: 'b' }, undefined, 401, 'invalid_client'),
      await refused(grant, bearer((await createToken(server, key)).access_token), 401, 'invalid_client'),
    ];
    assert.equal(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1);
    for (const { headers } of answers) assert.match(headers.get('www-authenticate') ?? '', /^Basic /);
  });

  test('by somebody who keeps guessing is turned away, and the right secret with it, at that address only', async () => {
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
    assert.equal((await token(grant, basicOf(key))).status, 200, 'another key goes on');
  });

  test('in a shape that is none is refused as such', async () => {
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
      assert.equal(typeof ((await response.json()) as Refusal).error, 'string');
    }
  });
});
