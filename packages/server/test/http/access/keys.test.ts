/**
 * Accounts and keys over HTTP: the limits of their fields, the rights of new keys, and rotation.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
} from '../../support/administration.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, KEY, startServer, type TestServer } from '../../support/server.ts';

interface AccountJSON {
  readonly accountID: string;
  readonly displayName: string;
  readonly createdOn: string;
  readonly suspendedOn?: string;
  readonly imageQuota?: number;
  readonly byteQuota?: number;
}

let server: TestServer;
let clock = new Date('2030-01-01T00:00:00Z');
const advanceClock = (seconds: number) => {
  clock = new Date(clock.getTime() + seconds * 1000);
};

before(async () => {
  server = await startServer({}, { now: () => clock });
});
after(() => server.close());

const ping = async (key: { publicKey: string; secretKey: string }) =>
  (await server.send('GET', '/ping', undefined, basicOf(key))).status;
const assertRefused = async (
  status: number,
  text: RegExp,
  method: string,
  path: string,
  body?: unknown,
  authorization?: string,
) => {
  const answer = await server.send<{ error: string }>(method, path, body, authorization);
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.match(answer.body.error, text);
};

const MORE_RIGHTS = /rights that the credentials of this request do not have/;

describe('accounts', () => {
  test('are created, read, listed newest first in pages, renamed, and get quotas', async () => {
    advanceClock(1);
    const created = await successBody(
      server.send<AccountJSON>('POST', '/accounts', { displayName: ' Café  ' }),
    );
    assert.deepEqual(created, {
      accountID: created.accountID,
      displayName: 'Café',
      createdOn: clock.toISOString(),
    });
    const path = `/accounts/${created.accountID}`;
    assert.deepEqual(await successBody(server.send('GET', path)), created);
    const list = await server.send<AccountJSON[]>('GET', '/accounts?count=1');
    assert.deepEqual(list.body, [created]);
    assert.equal(list.headers.get('x-total-count'), '2');
    assert.match(list.headers.get('link') ?? '', /^<http.*\/accounts\?skip=1&count=1>; rel="next"$/);
    assert.equal((await server.send<AccountJSON[]>('GET', '/accounts?skip=1')).body[0]?.accountID, ACCOUNT);
    const changed = await successBody(
      server.send<AccountJSON>('PATCH', path, { displayName: 'New', imageQuota: 1, byteQuota: 5 }),
    );
    assert.deepEqual(changed, { ...created, displayName: 'New', imageQuota: 1, byteQuota: 5 });
    const back = await successBody(
      server.send<AccountJSON>('PATCH', path, { imageQuota: null, byteQuota: null }),
    );
    assert.deepEqual(back, { ...created, displayName: 'New' });
  });

  test('can be created with an ID, and only once', async () => {
    const accountID = '0f0e0d0c-0b0a-4908-8706-050403020100';
    const body = { displayName: 'Moved here', accountID: accountID.toUpperCase() };
    const created = await successBody(server.send<AccountJSON>('POST', '/accounts', body));
    assert.equal(created.accountID, accountID);
    await assertRefused(409, /already/, 'POST', '/accounts', body);
  });

  test('are refused with the field and its limit', async () => {
    const path = `/accounts/${ACCOUNT}`;
    for (const [body, text] of [
      [{}, /displayName is required/],
      [{ displayName: '' }, /displayName must be 1 to 200 characters/],
      [{ displayName: 'x'.repeat(201) }, /1 to 200/],
      [{ displayName: 5 }, /displayName must be a string/],
      [{ displayName: 'a\nb' }, /displayName must be one line/],
      [{ displayName: 'a\u202eb' }, /direction/],
      [{ displayName: 'a\u0000' }, /control/],
      [{ displayName: 'x', accountID: 'x' }, /accountID must be a UUID/],
      [{ displayName: 'x', imageQuota: -1 }, /imageQuota must be a whole number from 0 to 1000000000/],
      [{ displayName: 'x', imageQuota: '5' }, /imageQuota/],
      [
        { displayName: 'x', byteQuota: 2 ** 50 + 1 },
        /byteQuota must be a whole number from 0 to 1125899906842624/,
      ],
      [[], /JSON object/],
      [null, /JSON object/],
    ] as const) {
      await assertRefused(400, text, 'POST', '/accounts', body);
      if (text.source !== /displayName is required/.source && !text.source.includes('UUID')) {
        await assertRefused(400, text, 'PATCH', path, body);
      }
    }
    await assertRefused(400, /JSON object/, 'POST', '/accounts');
    await assertRefused(400, /skip must be/, 'GET', '/accounts?skip=x');
  });

  test('are read and renamed by their own keys; only keys for all accounts create, limit, suspend and resume them', async () => {
    const accountID = await createAccount(server);
    const mine = basicOf(await createKey(server, accountID));
    const path = `/accounts/${accountID}`;
    const list = await server.send<AccountJSON[]>('GET', '/accounts', undefined, mine);
    assert.deepEqual(
      list.body.map((account) => account.accountID),
      [accountID],
    );
    assert.equal(list.headers.get('x-total-count'), '1');
    await successBody(server.send('PATCH', path, { displayName: 'Mine' }, mine));
    await assertRefused(403, /for all accounts/, 'PATCH', path, { imageQuota: 1_000 }, mine);
    await assertRefused(403, /for all accounts/, 'PATCH', path, { byteQuota: null }, mine);
    await assertRefused(403, /for all accounts/, 'POST', '/accounts', { displayName: 'x' }, mine);
    await assertRefused(403, /for all accounts/, 'POST', `${path}/suspend`, undefined, mine);
    await assertRefused(403, /for all accounts/, 'GET', '/keys', undefined, mine);
    await assertRefused(403, /for all accounts/, 'GET', '/audit', undefined, mine);
    const suspended = await successBody(server.send<AccountJSON>('POST', `${path}/suspend`));
    assert.equal(suspended.suspendedOn, clock.toISOString());
    await assertRefused(403, /no rights/, 'GET', path, undefined, mine);
    assert.deepEqual((await server.send('GET', '/accounts', undefined, mine)).body, []);
    const resumed = await successBody(server.send<AccountJSON>('POST', `${path}/resume`));
    assert.equal(resumed.suspendedOn, undefined);
    await successBody(server.send('GET', path, undefined, mine));
  });

  test('get a changed quota at once', async () => {
    const accountID = await createAccount(server);
    await successBody(server.send('PATCH', `/accounts/${accountID}`, { imageQuota: 0 }));
    const answer = await server.upload(await picture(1), { account: accountID });
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /limit of 0 images/);
    await successBody(server.send('PATCH', `/accounts/${accountID}`, { imageQuota: null, byteQuota: 10 }));
    const other = await server.upload(await picture(1), { account: accountID });
    assert.equal(other.status, 400);
    assert.match(await other.text(), /10 bytes/);
  });
});

describe('keys', () => {
  test('are created with a secret that is shown once, read, listed and revoked', async () => {
    const accountID = await createAccount(server);
    const path = `/accounts/${accountID}/keys`;
    const expiresOn = '2031-02-03T04:05:06.000Z';
    const created = await successBody(server.send<KeyJSON>('POST', path, { name: 'Shop', expiresOn }));
    const { secretKey, ...shown } = created;
    assert.match(secretKey, /^vitrine_sk_[A-Za-z0-9_-]{43}$/);
    assert.match(created.publicKey, /^vitrine_pk_[A-Za-z0-9_-]{22}$/);
    assert.deepEqual(shown, {
      keyID: created.keyID,
      publicKey: created.publicKey,
      name: 'Shop',
      accounts: [accountID],
      scopes: [
        `/accounts/${accountID}/images.read`,
        `/accounts/${accountID}/images.write`,
        `/accounts/${accountID}/products.read`,
        `/accounts/${accountID}/products.write`,
        '/ping.read',
      ],
      createdOn: clock.toISOString(),
      expiresOn,
    });
    assert.deepEqual(await successBody(server.send('GET', `${path}/${created.keyID}`)), shown);
    const list = await server.send<KeyJSON[]>('GET', path);
    assert.deepEqual(list.body, [shown]);
    assert.equal(list.headers.get('x-total-count'), '1');
    assert.equal(await ping(created), 200);
    for (let again = 0; again < 2; again += 1) {
      assert.equal((await server.send('DELETE', `${path}/${created.keyID}`)).status, 204);
    }
    assert.equal(await ping(created), 401);
    await assertRefused(409, /revoked/, 'POST', `${path}/${created.keyID}/rotate`);
    const [ended] = await successBody(server.send<{ revokedOn?: string }[]>('GET', path));
    assert.equal(ended?.revokedOn, clock.toISOString());
  });

  test('accept every form of a scope', async () => {
    for (const texts of [
      ['images.read', 'ping.read'],
      ['/accounts/{accountID}/images.read', '/ping.read'],
      [`/accounts/${ACCOUNT.toUpperCase()}/images.read`, '/ping.read', '/ping.read'],
    ]) {
      const { scopes } = await createKey(server, ACCOUNT, { scopes: texts });
      assert.deepEqual(scopes, [`/accounts/${ACCOUNT}/images.read`, '/ping.read']);
    }
  });

  test('are refused with the field and its limit', async () => {
    const other = await createAccount(server);
    const path = `/accounts/${ACCOUNT}/keys`;
    for (const [change, text] of [
      [{ name: undefined }, /name is required/],
      [{ name: ' ' }, /name must be 1 to 200/],
      [{ scopes: [] }, /scopes must be a list of 1 to 100/],
      [{ scopes: 'images.read' }, /scopes must be a list/],
      [{ scopes: ['images'] }, /scopes must have a form such as/],
      [{ scopes: [`/accounts/${other}/images.read`] }, /another account/],
      [{ expiresOn: '2020-01-01T00:00:00Z' }, /expiresOn must be in the future/],
      [{ expiresOn: clock.toISOString() }, /expiresOn must be in the future/],
      [{ expiresOn: 'tomorrow' }, /expiresOn must be a date and time of RFC 3339/],
      [{ expiresOn: '2031-02-30' }, /RFC 3339/],
    ] as const) {
      await assertRefused(400, text, 'POST', path, { name: 'x', ...change });
    }
    for (const [accounts, text] of [
      [[], /accounts must be "all" or a list of 1 to 100/],
      ['some', /accounts must be "all"/],
      [['x'], /accounts must be a UUID/],
      [['7cec5bd3-6340-4de4-a923-bf6ec0f7e921'], /does not exist/],
    ] as const) {
      await assertRefused(400, text, 'POST', '/keys', { name: 'x', accounts });
    }
    const key = await createKey(server, ACCOUNT);
    for (const overlapSeconds of [-1, 1.5, '60', 604_801]) {
      const rotate = `${path}/${key.keyID}/rotate`;
      await assertRefused(400, /overlapSeconds must be a whole number from 0 to 604800/, 'POST', rotate, {
        overlapSeconds,
      });
    }
  });

  test('never have more scopes, more accounts or a later expiry than the credentials that create them', async () => {
    const accountID = await createAccount(server);
    const path = `/accounts/${accountID}/keys`;
    const expiresOn = new Date(clock.getTime() + 60_000).toISOString();
    const scopes = ['accounts.write', 'images.read'];
    const creator = await createKey(server, accountID, { scopes, expiresOn });
    const by = basicOf(creator);
    const make = (request: object) => server.send<KeyJSON>('POST', path, { name: 'x', ...request }, by);
    const byDefault = await successBody(make({}));
    assert.deepEqual(byDefault.scopes, [`/accounts/${accountID}/images.read`]);
    assert.equal((byDefault as { expiresOn?: string }).expiresOn, expiresOn);
    assert.equal((await make({ scopes: ['images.write'] })).status, 403);
    assert.equal((await make({ scopes: ['accounts.read'] })).status, 403);
    assert.equal((await make({ expiresOn: '2039-01-01T00:00:00Z' })).status, 403);
    await assertRefused(403, /no rights/, 'POST', `/accounts/${ACCOUNT}/keys`, { name: 'x' }, by);
    await assertRefused(403, /for all accounts/, 'POST', '/keys', { name: 'x', accounts: [accountID] }, by);

    const token = await createToken(server, await createKey(server, accountID), '/accounts.write');
    const asToken = bearer(token.access_token);
    await assertRefused(403, MORE_RIGHTS, 'POST', path, { name: 'x', scopes: ['images.read'] }, asToken);
  });

  test('with more rights than the caller can be neither rotated nor revoked', async () => {
    const accountID = await createAccount(server);
    const path = `/accounts/${accountID}/keys`;
    const weak = basicOf(
      await createKey(server, accountID, { scopes: ['accounts.write', 'accounts.read', 'ping.read'] }),
    );
    const strong = await createKey(server, accountID, { scopes: ['images.write', 'ping.read'] });
    const accounts = [ACCOUNT, accountID];
    const shared = await successBody(
      server.send<KeyJSON>('POST', '/keys', { name: 'x', accounts, scopes: ['accounts.read', 'ping.read'] }),
    );
    for (const { keyID } of [strong, shared]) {
      await assertRefused(403, MORE_RIGHTS, 'POST', `${path}/${keyID}/rotate`, {}, weak);
      await assertRefused(403, MORE_RIGHTS, 'DELETE', `${path}/${keyID}`, undefined, weak);
    }
    assert.equal(await ping(strong), 200);
    assert.equal(await ping(shared), 200);
  });

  test('for all accounts are created, rotated and revoked by keys for all accounts', async () => {
    const wide = await successBody(
      server.send<KeyJSON>('POST', '/keys', { name: 'Admin', scopes: ALL_SCOPES }),
    );
    assert.equal(wide.accounts, 'all');
    const by = basicOf(wide);
    const list = await successBody(server.send<KeyJSON[]>('GET', '/keys?count=200', undefined, by));
    assert.ok(list.some(({ keyID }) => keyID === wide.keyID));
    assert.equal((await server.send('GET', `/keys/${wide.keyID}`, undefined, by)).status, 200);
    assert.equal((await server.send('GET', `/keys/nonsense`, undefined, by)).status, 404);
    const next = await successBody(server.send<KeyJSON>('POST', `/keys/${wide.keyID}/rotate`, {}, by));
    assert.equal((await server.send('DELETE', `/keys/${wide.keyID}`, undefined, basicOf(next))).status, 204);
    assert.equal(await ping(wide), 401);
    assert.equal(await ping(next), 401);
  });

  test('expire at exactly their expiry', async () => {
    const expiresOn = new Date(clock.getTime() + 1_000).toISOString();
    const key = await createKey(server, ACCOUNT, { expiresOn });
    clock = new Date(clock.getTime() + 999);
    assert.equal(await ping(key), 200);
    clock = new Date(clock.getTime() + 1);
    assert.equal(await ping(key), 401);
    await assertRefused(409, /expired/, 'POST', `/accounts/${ACCOUNT}/keys/${key.keyID}/rotate`);
  });

  test('show their last use, which is recorded once a minute', async () => {
    const key = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${key.keyID}`;
    const lastUse = async () => (await successBody(server.send<KeyJSON>('GET', path))).lastUsedOn;
    const assertUsed = async (expected: Date) => {
      assert.equal(await ping(key), 200);
      // The use is recorded in the background, so it can appear after the response.
      while ((await lastUse()) !== expected.toISOString()) await new Promise(setImmediate);
    };
    assert.equal(await lastUse(), undefined);
    const first = clock;
    await assertUsed(first);
    advanceClock(59);
    await assertUsed(first);
    advanceClock(1);
    await assertUsed(clock);
  });
});

describe('a rotated key', () => {
  test('has two secrets during the overlap, one day by default, and then one', async () => {
    const key = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${key.keyID}/rotate`;
    const next = await successBody(server.send<KeyJSON>('POST', path));
    assert.equal(next.publicKey, key.publicKey);
    assert.notEqual(next.secretKey, key.secretKey);
    assert.equal(next.overlapUntil, new Date(clock.getTime() + 86_400_000).toISOString());
    assert.deepEqual([await ping(key), await ping(next)], [200, 200]);
    advanceClock(86_400 - 1);
    assert.deepEqual([await ping(key), await ping(next)], [200, 200]);
    advanceClock(1);
    assert.deepEqual([await ping(key), await ping(next)], [401, 200]);
  });

  test('has only the new secret without an overlap, and a second rotation ends the oldest secret', async () => {
    const key = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${key.keyID}/rotate`;
    const two = await successBody(server.send<KeyJSON>('POST', path, { overlapSeconds: 0 }));
    assert.deepEqual([await ping(key), await ping(two)], [401, 200]);
    const three = await successBody(server.send<KeyJSON>('POST', path, {}));
    const four = await successBody(server.send<KeyJSON>('POST', path, {}));
    assert.deepEqual([await ping(two), await ping(three), await ping(four)], [401, 200, 200]);
  });

  test('fails no request under load', async () => {
    let key = await createKey(server, ACCOUNT);
    const path = `/accounts/${ACCOUNT}/keys/${key.keyID}/rotate`;
    let rotating = true;
    const statuses = new Set<number>();
    const answerCounts = new Array<number>(16).fill(0);
    const clients = answerCounts.map(async (_, client) => {
      while (rotating) {
        statuses.add(await ping(key));
        answerCounts[client] = (answerCounts[client] ?? 0) + 1;
      }
    });
    for (let round = 0; round < 10; round += 1) {
      // Clients use the new secret from now on. Requests with the previous secret must still succeed.
      key = await successBody(server.send<KeyJSON>('POST', path, {}));
      // Requests with the previous secret must arrive before the next rotation ends it.
      const before = [...answerCounts];
      while (answerCounts.some((count, client) => count < (before[client] ?? 0) + 2)) {
        await new Promise(setImmediate);
      }
    }
    rotating = false;
    await Promise.all(clients);
    assert.deepEqual([...statuses], [200]);
    assert.ok(answerCounts.every((count) => count >= 20));
  });
});

describe('the bootstrap key', () => {
  test('stays revoked with its old secret, and becomes valid with another secret', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-test-'));
    try {
      const first = await startServer({ VITRINE_DATA: folder });
      const [key] = await successBody(first.send<KeyJSON[]>('GET', '/keys'));
      await successBody(first.send('DELETE', `/keys/${key?.keyID}`));
      await first.close();
      const same = await startServer({ VITRINE_DATA: folder });
      assert.equal((await same.send('GET', '/ping')).status, 401);
      await same.close();
      const env = { VITRINE_DATA: folder, VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:another` };
      const next = await startServer(env);
      const answer = await next.send('GET', '/ping', undefined, basic(KEY.publicKey, 'another'));
      assert.equal(answer.status, 200);
      await next.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
