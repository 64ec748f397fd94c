/**
 * `vitrine accounts` and `keys` on a server over its API, and the choice between a server and local data.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createAccount, createKey, type KeyJSON } from '../../support/administration.ts';
import { UNKNOWN_ID, User } from '../../support/command.ts';
import { startServer, type TestServer } from '../../support/server.ts';

interface AccountJSON {
  readonly accountID: string;
  readonly displayName: string;
  readonly imageQuota?: number;
  readonly suspendedOn?: string;
}

describe('accounts and keys on a server', () => {
  let server: TestServer;
  let user: User;
  before(async () => {
    server = await startServer();
    user = await User.create();
    await user.login(server.url, { profile: 'admin' });
  });
  after(async () => {
    await user.remove();
    await server.close();
  });
  const admin = ['--profile', 'admin'];

  test('give the same JSON as the commands on local data', async () => {
    const local = { env: { VITRINE_DATA: server.folder } };
    const create = ['accounts', 'create', 'Café', '--image-quota', '7', ...admin];
    const account = await user.json<AccountJSON>(create);
    const { accountID } = account;
    assert.deepEqual(await user.json(['accounts', 'show', accountID], local), account);
    assert.deepEqual(await user.json(['accounts', 'show', accountID, ...admin]), account);
    assert.deepEqual(
      await user.json(['accounts', 'list', ...admin]),
      await user.json(['accounts', 'list', '--data', server.folder]),
    );
    const rename = await user.json<AccountJSON>(['accounts', 'rename', accountID, 'Bar', ...admin]);
    assert.equal(rename.displayName, 'Bar');
    const limit = ['accounts', 'limit', accountID, '--image-quota', 'default', ...admin];
    assert.equal((await user.json<AccountJSON>(limit)).imageQuota, undefined);
    await user.json(['accounts', 'policy', accountID, 'refuse-in-use', ...admin]);
    assert.ok((await user.json<AccountJSON>(['accounts', 'suspend', accountID, ...admin])).suspendedOn);
    assert.equal(
      (await user.json<AccountJSON>(['accounts', 'resume', accountID, ...admin])).suspendedOn,
      undefined,
    );

    const key = await user.json<KeyJSON>(['keys', 'create', 'Web', '--account', accountID, ...admin]);
    assert.match(key.secretKey, /^vitrine_sk_/);
    const all = ['keys', 'create', 'All', '--all-accounts', '--scopes', 'images.read', ...admin];
    assert.equal((await user.json<KeyJSON>(all)).accounts, 'all');
    const rotation = await user.json<KeyJSON>(['keys', 'rotate', key.publicKey, '--overlap', '1h', ...admin]);
    assert.notEqual(rotation.secretKey, key.secretKey);
    const [listed] = await user.json<KeyJSON[]>(['keys', 'list', '--account', accountID, ...admin]);
    assert.deepEqual([listed], await user.json(['keys', 'list', '--account', accountID], local));
    assert.equal(
      (await user.json<KeyJSON & { revokedOn?: string }>(['keys', 'revoke', key.keyID, ...admin])).keyID,
      key.keyID,
    );
    assert.match((await user.run(['keys', 'list', ...admin])).out, /revoked 20/);
    assert.match((await user.run(['accounts', 'list', '--server', server.url])).out, /Bar/);
  });

  test('have the rights of the key', async () => {
    const accountID = await createAccount(server);
    const key = await createKey(server, accountID);
    const env = { VITRINE_SERVER: server.url, VITRINE_KEY: key.publicKey, VITRINE_SECRET: key.secretKey };
    const run = (...words: string[]) => user.run([...words, '--server', server.url], { env });
    assert.equal((await run('accounts', 'create', 'No')).code, 4);
    assert.equal((await run('accounts', 'rename', accountID, 'Own')).code, 0);
    const own = await run('keys', 'create', 'Second', '--account', accountID, '--json');
    assert.equal(own.code, 0, own.err);
    const list = await run('keys', 'list', '--json');
    assert.equal((JSON.parse(list.out) as unknown[]).length, 2);
    assert.equal((await run('keys', 'revoke', (JSON.parse(own.out) as KeyJSON).publicKey)).code, 0);
    assert.equal((await run('keys', 'revoke', 'unknown')).code, 3);
    assert.equal((await run('accounts', 'show', UNKNOWN_ID)).code, 4);
  });

  test('or local data are chosen clearly', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-choice-'));
    try {
      const cases: [number, RegExp, string[], Record<string, string>?][] = [
        [2, /^give either --data, for local data, or --profile or --server/, ['--data', folder, ...admin]],
        [2, /^give either --profile or --server/, ['--server', server.url, ...admin]],
        [
          2,
          /^--data cannot be used while VITRINE_DATABASE/,
          ['--data', folder],
          { VITRINE_DATABASE: 'sqlite:x' },
        ],
        [2, /^--server must be an http or https URL/, ['--server', 'x']],
        [
          3,
          /^no profile has the server http:\/\/127\.0\.0\.1:1: create it/,
          ['--server', 'http://127.0.0.1:1'],
        ],
        [3, /^there is no profile "none"/, ['--profile', 'none']],
        [
          3,
          /^there is no library at .*; for a server, give --profile or --server/,
          [],
          { VITRINE_DATA: folder },
        ],
        [3, /^there is no library at/, ['--data', folder]],
      ];
      for (const [code, text, words, env = {}] of cases) {
        const outcome = await user.run(['accounts', 'list', ...words], { env });
        assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.err}`);
        assert.match(outcome.err, text);
      }
      const created = await user.json<AccountJSON>(['accounts', 'create', 'Local', '--data', folder]);
      const list = await user.json<AccountJSON[]>(['accounts', 'list', '--data', folder]);
      assert.deepEqual(list, [created]);
      for (const command of ['accounts', 'keys']) {
        const { out } = await user.run([command, '--help']);
        assert.match(out, /Without --profile and --server, the command works on local data/);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
