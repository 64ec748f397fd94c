/**
 * Tests accounts, keys and the audit trail against a real server.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APIError, type CreateKeyRequest, GenericError, Vitrine } from '@vitrine/client';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';

const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000';

let server: TestServer;
let vitrine: Vitrine;
before(async () => {
  server = await startServer();
  vitrine = clientOf(KEY);
});
after(() => server.close());

const clientOf = ({ publicKey, secretKey }: { publicKey: string; secretKey: string }) =>
  new Vitrine({ serverURL: server.url, security: { username: publicKey, password: secretKey } });
const isAPIError = (status: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === status;
const isGenericError = (status: number) => (error: unknown) =>
  error instanceof GenericError && error.name === 'GenericError' && error.status === status;

describe('accounts', () => {
  test('support all of their operations', async () => {
    const accountID = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';
    const created = await vitrine.accounts.create({ accountID, displayName: 'Shop', imageQuota: 7 });
    assert.ok(created.result.createdOn instanceof Date);
    const { createdOn } = created.result;
    assert.deepEqual(created.result, { accountID, displayName: 'Shop', createdOn, imageQuota: 7 });
    await assert.rejects(vitrine.accounts.create({ accountID, displayName: 'Shop' }), isGenericError(409));
    await assert.rejects(vitrine.accounts.create({ displayName: '' }), isGenericError(400));

    assert.deepEqual((await vitrine.accounts.get({ accountID })).result, created.result);
    await assert.rejects(vitrine.accounts.get({ accountID: UNKNOWN_ID }), isAPIError(404));
    const page = await vitrine.accounts.list({ count: 1 });
    assert.deepEqual([page.result, page.headers['x-total-count']], [[created.result], ['2']]);
    const all: string[] = [];
    for await (const account of vitrine.accounts.list()) all.push(account.accountID);
    assert.deepEqual(all, [accountID, ACCOUNT]);

    const updated = await vitrine.accounts.update({ accountID, displayName: 'Store', byteQuota: 9 });
    assert.deepEqual(updated.result, { ...created.result, displayName: 'Store', byteQuota: 9 });
    const reset = await vitrine.accounts.update({ accountID, imageQuota: null });
    assert.equal('imageQuota' in reset.result, false);

    const suspended = await vitrine.accounts.suspend({ accountID });
    assert.ok(suspended.result.suspendedOn instanceof Date);
    const resumed = await vitrine.accounts.resume({ accountID });
    assert.equal('suspendedOn' in resumed.result, false);
  });

  test('have an audit trail, and so has the server', async () => {
    const { accountID } = (await vitrine.accounts.create({ displayName: 'Watched' })).result;
    await vitrine.accounts.suspend({ accountID });
    await vitrine.accounts.resume({ accountID });
    const page = await vitrine.accounts.audit({ accountID, count: 2 });
    assert.deepEqual(page.headers['x-total-count'], ['3']);
    const [last] = page.result;
    assert.ok(last?.on instanceof Date);
    assert.deepEqual([last.action, last.accountID, last.by.kind], ['account.resume', accountID, 'key']);
    const actions: string[] = [];
    for await (const { action } of vitrine.accounts.audit({ accountID, count: 1 })) actions.push(action);
    assert.deepEqual(actions, ['account.resume', 'account.suspend', 'account.create']);

    const { keyID } = (await vitrine.keys.create({ accounts: 'all', name: 'Everywhere' })).result;
    const [newest] = (await vitrine.accounts.audit()).result;
    assert.deepEqual([newest?.action, newest?.subject.id], ['key.create', keyID]);
  });
});

describe('keys', () => {
  test('of one account support all operations', async () => {
    const accountID = ACCOUNT;
    const expiresOn = new Date('2100-01-31T12:00:00.000Z');
    const { result: issued } = await vitrine.keys.create({
      accountID,
      name: 'Website',
      scopes: ['/accounts/{accountID}/images.read', '/ping.read'],
      expiresOn,
    });
    const { secretKey, ...key } = issued;
    const { keyID } = key;
    assert.ok(key.createdOn instanceof Date);
    assert.deepEqual([key.name, key.accounts, key.expiresOn], ['Website', [accountID], expiresOn]);
    assert.deepEqual((await vitrine.keys.get({ accountID, keyID })).result, key);
    await clientOf(issued).images.list({ accountID });
    await assert.rejects(clientOf(issued).keys.list({ accountID }), isAPIError(403));

    const ids: string[] = [];
    for await (const key of vitrine.keys.list({ accountID, count: 1 })) ids.push(key.keyID);
    assert.ok(ids.includes(keyID));

    const { result: rotated } = await vitrine.keys.rotate({ accountID, keyID, overlapSeconds: 0 });
    assert.ok(rotated.overlapUntil instanceof Date && rotated.secretKey !== secretKey);
    await assert.rejects(clientOf(issued).ping.ping(), isAPIError(401));
    await clientOf(rotated).ping.ping();
    const { overlapUntil } = (await vitrine.keys.rotate({ accountID, keyID })).result;
    assert.ok(overlapUntil > new Date(Date.now() + 23 * 60 * 60 * 1_000));

    assert.deepEqual(Object.keys(await vitrine.keys.revoke({ accountID, keyID })), ['headers']);
    await assert.rejects(clientOf(rotated).ping.ping(), isAPIError(401));
    const { revokedOn, lastUsedOn } = (await vitrine.keys.get({ accountID, keyID })).result;
    assert.ok(revokedOn instanceof Date && lastUsedOn instanceof Date);
    await assert.rejects(vitrine.keys.rotate({ accountID, keyID }), isGenericError(409));
    await assert.rejects(vitrine.keys.get({ accountID, keyID: UNKNOWN_ID }), isAPIError(404));
  });

  test('for several or all accounts support all operations', async () => {
    const { accountID } = (await vitrine.accounts.create({ displayName: 'Second' })).result;
    const accounts = [ACCOUNT, accountID];
    const { result: issued } = await vitrine.keys.create({ accounts, name: 'Both' });
    const { keyID } = issued;
    assert.deepEqual([...issued.accounts].sort(), [...accounts].sort());
    const everywhere = await vitrine.keys.create({ accounts: 'all', name: 'Everywhere' });
    assert.equal(everywhere.result.accounts, 'all');
    const names: string[] = [];
    for await (const { name } of vitrine.keys.list({ count: 2 })) names.push(name);
    assert.deepEqual(names.slice(0, 2), ['Everywhere', 'Both']);
    assert.equal((await vitrine.keys.get({ keyID })).result.name, 'Both');
    const { result: rotated } = await vitrine.keys.rotate({ keyID, overlapSeconds: 60 });
    await clientOf(rotated).images.list({ accountID });
    await vitrine.keys.revoke({ keyID });
    await assert.rejects(clientOf(rotated).images.list({ accountID }), isAPIError(401));
  });

  test('reject an undefined accountID instead of acting on all accounts', async () => {
    const before = (await vitrine.keys.list()).headers['x-total-count'];
    const { keyID } = (await vitrine.keys.create({ accounts: 'all', name: 'Kept' })).result;
    const undefinedAccount = { accountID: undefined } as unknown as { accountID: string };
    const { keys, accounts } = vitrine;
    for (const call of [
      async () => keys.list(undefinedAccount),
      () => keys.create({ ...undefinedAccount, name: 'x' }),
      () => keys.get({ ...undefinedAccount, keyID }),
      () => keys.rotate({ ...undefinedAccount, keyID }),
      () => keys.revoke({ ...undefinedAccount, keyID }),
      async () => accounts.audit(undefinedAccount),
    ])
      await assert.rejects(call, { name: 'TypeError', message: /^accountID must be an ID, not undefined/ });
    for (const accountID of [undefined, ACCOUNT]) {
      const both = { name: 'x', ...(accountID && { accountID, accounts: 'all' }) };
      await assert.rejects(keys.create(both as unknown as CreateKeyRequest), {
        name: 'TypeError',
        message: 'exactly one of accountID and accounts is required',
      });
    }
    assert.equal('revokedOn' in (await keys.get({ keyID })).result, false);
    assert.deepEqual((await keys.list()).headers['x-total-count'], [String(Number(before) + 1)]);
  });

  test('reject an invalid expiresOn, which JSON would turn into "never expires"', async () => {
    for (const expiresOn of [new Date('soon'), '2030-01-01T00:00:00Z' as unknown as Date])
      await assert.rejects(vitrine.keys.create({ accountID: ACCOUNT, name: 'x', expiresOn }), {
        name: 'TypeError',
        message: 'expiresOn must be a valid Date',
      });
  });
});

describe('the own key', () => {
  test('has its accounts and scopes', async () => {
    const all = (await vitrine.keys.me()).result;
    assert.deepEqual([all.allAccounts, all.publicKey], [true, KEY.publicKey]);
    assert.ok(all.accounts.some(({ accountID }) => accountID === ACCOUNT));
    const expiresOn = new Date('2099-01-01T00:00:00Z');
    const key = (await vitrine.keys.create({ accountID: ACCOUNT, name: 'Shop', expiresOn })).result;
    const { result } = await clientOf(key).keys.me();
    assert.deepEqual([result.keyID, result.expiresOn, result.allAccounts], [key.keyID, expiresOn, undefined]);
    assert.deepEqual(
      result.accounts.map(({ accountID }) => accountID),
      [ACCOUNT],
    );
    assert.ok(result.accounts[0]?.scopes.includes(`/accounts/${ACCOUNT}/images.read`));
  });
});
