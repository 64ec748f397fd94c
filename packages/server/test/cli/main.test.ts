/**
 * The `vitrine` command as an operator runs it: a separate process, with or without a running server on the
 * same data.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import stringWidth from 'string-width';
import {
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  type KeyJSON,
  successBody,
} from '../support/administration.ts';
import { type Outcome, terminalSkipReason, UNKNOWN_ID, User, VITRINE } from '../support/command.ts';
import { startPostgres } from '../support/postgres.ts';
import { ACCOUNT, startServer, type TestServer } from '../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

let user: User;
before(async () => {
  user = await User.create();
});
after(() => user.remove());

/** Runs `vitrine` on the data that the variables name. */
function run(env: Record<string, string>, ...words: string[]): Promise<Outcome> {
  return user.run(words, { env });
}

/** The JSON output of a command that must succeed. */
function runJSON<T>(env: Record<string, string>, ...words: string[]): Promise<T> {
  return user.json<T>(words, { env });
}

interface AccountJSON {
  readonly accountID: string;
  readonly displayName: string;
  readonly suspendedOn?: string;
  readonly imageQuota?: number;
  readonly byteQuota?: number;
  readonly disablePolicy?: string;
}

interface AuditEntryJSON {
  readonly action: string;
  readonly by: object;
}

/** Runs every command of accounts, keys and the audit trail. */
async function testAdministration(env: Record<string, string>): Promise<void> {
  const run = <T>(...words: string[]) => runJSON<T>(env, ...words);
  const account = await run<AccountJSON>('accounts', 'create', 'Café “One”', '--image-quota', '7');
  assert.deepEqual([account.displayName, account.imageQuota], ['Café “One”', 7]);
  const { accountID } = account;
  const second = await run<AccountJSON>('accounts', 'create', 'Two', '--id', UNKNOWN_ID.replace('7', 'A'));
  assert.equal(second.accountID, UNKNOWN_ID.replace('7', 'a'));
  const accounts = await run<AccountJSON[]>('accounts', 'list');
  assert.deepEqual(new Set(accounts.map((each) => each.accountID)), new Set([accountID, second.accountID]));
  assert.equal((await run<AccountJSON>('accounts', 'rename', accountID, 'One')).displayName, 'One');
  const quotas = await run<AccountJSON>(
    'accounts',
    'limit',
    accountID,
    '--image-quota',
    'default',
    '--byte-quota',
    '9',
  );
  assert.deepEqual([quotas.imageQuota, quotas.byteQuota], [undefined, 9]);
  await run('accounts', 'limit', accountID, '--byte-quota', 'default');
  const strict = await run<AccountJSON>('accounts', 'policy', accountID, 'refuse-in-use');
  assert.equal(strict.disablePolicy, 'refuse-in-use');
  assert.equal((await run<AccountJSON>('accounts', 'policy', accountID, 'allow')).disablePolicy, undefined);
  assert.ok((await run<AccountJSON>('accounts', 'suspend', accountID)).suspendedOn);
  assert.equal((await run<AccountJSON>('accounts', 'resume', accountID)).suspendedOn, undefined);
  assert.deepEqual(await run('accounts', 'show', accountID), {
    accountID,
    displayName: 'One',
    createdOn: (account as unknown as { createdOn: string }).createdOn,
  });

  const key = await run<KeyJSON>('keys', 'create', 'Shop', '--account', accountID, second.accountID);
  assert.deepEqual(key.accounts, [accountID, second.accountID]);
  assert.match(key.secretKey, /^vitrine_sk_/);
  const expires = ['--expires-on', '2099-01-01T00:00:00Z'];
  const admin = await run<KeyJSON>(
    'keys',
    'create',
    'Admin',
    '--all-accounts',
    '--scopes',
    'all',
    ...expires,
  );
  assert.equal(admin.accounts, 'all');
  assert.equal(admin.scopes.length, 7);
  const reader = await run<KeyJSON>(
    'keys',
    'create',
    'R',
    '--account',
    accountID,
    '--scopes',
    'images.read, ping.read',
  );
  assert.deepEqual(reader.scopes, [`/accounts/${accountID}/images.read`, '/ping.read']);
  const createKey = await run<KeyJSON>('keys', 'rotate', admin.publicKey, '--overlap', '90m');
  assert.notEqual(createKey.secretKey, admin.secretKey);
  const overlap = Date.parse(createKey.overlapUntil ?? '') - Date.now();
  assert.ok(overlap > 89 * 60_000 && overlap <= 90 * 60_000);
  assert.equal((await run<KeyJSON>('keys', 'revoke', key.keyID)).keyID, key.keyID);
  assert.equal((await run<KeyJSON[]>('keys', 'list')).length, 3);
  const ofAccount = await run<KeyJSON[]>('keys', 'list', '--account', accountID);
  assert.deepEqual(new Set(ofAccount.map(({ keyID }) => keyID)), new Set([key.keyID, reader.keyID]));

  const entries = await run<AuditEntryJSON[]>('audit', accountID);
  assert.deepEqual(
    entries.map(({ action }) => action),
    [
      'key.revoke',
      'key.create',
      'key.create',
      'account.resume',
      'account.suspend',
      'account.change',
      'account.change',
      'account.change',
      'account.change',
      'account.change',
      'account.create',
    ],
  );
  for (const { by } of entries) assert.deepEqual(by, { kind: 'operator', name: userInfo().username });
  assert.deepEqual(
    (await run<AuditEntryJSON[]>('audit', '--skip', '1')).map(({ action }) => action),
    ['key.create'],
  );
}

describe('the vitrine command', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-cli-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test('manages accounts and keys on SQLite before the first start of a server', () =>
    testAdministration({ VITRINE_DATA: join(folder, 'new') }));

  test('prints tables for lists, and a line for each field of a record', async () => {
    const env = { VITRINE_DATA: join(folder, 'tables') };
    const creation = await run(env, 'accounts', 'create', 'A shop');
    assert.match(
      creation.out,
      /^account {6}[0-9a-f-]{36}\nname {9}A shop\ncreated .*\nimage quota {2}default\nbyte quota {3}default\n$/,
    );
    const id = /[0-9a-f-]{36}/.exec(creation.out)?.[0] ?? '';
    const list = await run(env, 'accounts', 'list');
    assert.match(
      list.out,
      /^ACCOUNT {31}NAME {4}CREATED .*\n[0-9a-f-]{36} {2}A shop {2}20\S+ {2}- {10}default {6}default\n$/,
    );
    const key = await run(env, 'keys', 'create', 'Website', '--account', id);
    assert.match(key.out, /^secret key {2}vitrine_sk_\S+$/m);
    assert.match((await run(env, 'keys', 'list')).out, /vitrine_pk_\S+ {2}Website {2}[0-9a-f-]{36} {2}valid/);
    assert.equal((await run(env, 'accounts', 'list', '--skip', '1')).out, 'There are no accounts.\n');
    assert.match((await run(env, 'audit', id)).out, /^2 +\S+ {2}key\.create .*operator/m);
  });

  test('prints the reason of a failure, and exits with the code of its kind', async () => {
    const env = { VITRINE_DATA: join(folder, 'codes') };
    await runJSON(env, 'accounts', 'create', 'x', '--id', UNKNOWN_ID);
    const key = await runJSON<KeyJSON>(env, 'keys', 'create', 'x', '--account', UNKNOWN_ID);
    await runJSON(env, 'keys', 'revoke', key.keyID);
    const cases: [number, RegExp, string[], Record<string, string>?][] = [
      [2, /unknown command 'nonsense'/, ['nonsense']],
      [2, /unknown option '--nonsense'/, ['accounts', 'list', '--nonsense']],
      [2, /missing required argument 'name'/, ['accounts', 'create']],
      [2, /^<name> must be 1 to 200/, ['accounts', 'create', ' ']],
      [2, /^--image-quota must be a whole number/, ['accounts', 'create', 'x', '--image-quota', 'many']],
      [2, /^<policy> must be one of allow, refuse-in-use/, ['accounts', 'policy', UNKNOWN_ID, 'never']],
      [2, /It must be a whole number/, ['accounts', 'list', '--count', '-1']],
      [2, /either --account or --all-accounts/, ['keys', 'create', 'x']],
      [
        2,
        /^--scopes must have a form such as/,
        ['keys', 'create', 'x', '--all-accounts', '--scopes', 'nonsense'],
      ],
      [
        2,
        /^--expires-on must be in the future/,
        ['keys', 'create', 'x', '--all-accounts', '--expires-on', '2020-01-01T00:00:00Z'],
      ],
      [2, /accounts names .* does not exist/, ['keys', 'create', 'x', '--account', ACCOUNT]],
      [2, /such as 30s, 90m, 24h or 7d/, ['keys', 'rotate', key.keyID, '--overlap', 'long']],
      [2, /--overlap.* at most 7d/, ['keys', 'rotate', key.keyID, '--overlap', '8d']],
      [2, /VITRINE_DTA.*did you mean VITRINE_DATA/, ['accounts', 'list'], { VITRINE_DTA: 'x' }],
      [3, /account not found/, ['accounts', 'show', ACCOUNT]],
      [3, /account not found/, ['audit', 'nonsense']],
      [3, /account not found/, ['keys', 'list', '--account', ACCOUNT]],
      [3, /key not found/, ['keys', 'revoke', 'vitrine_pk_unknown']],
      [3, /key not found/, ['keys', 'rotate', UNKNOWN_ID]],
      [4, /already/, ['accounts', 'create', 'x', '--id', UNKNOWN_ID]],
      [4, /revoked/, ['keys', 'rotate', key.keyID]],
      [
        1,
        /database does not answer/,
        ['accounts', 'list'],
        { VITRINE_DATABASE: 'postgres://a:hunter2@127.0.0.1:1/x' },
      ],
    ];
    await Promise.all(
      cases.map(async ([code, text, words, more]) => {
        const outcome = await run({ ...env, ...more }, ...words);
        assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.err}`);
        assert.match(outcome.err, text);
        assert.equal(outcome.out, '');
        assert.equal(/ {4}at |hunter2/.test(outcome.err), false, 'no stack, no secret');
      }),
    );
    const suggestion = await run(env, 'acounts');
    assert.deepEqual(
      [suggestion.code, suggestion.err],
      [2, "error: unknown command 'acounts'\n(Did you mean accounts?)\n"],
    );
    for (const [command, pattern] of [
      [['gc', '--help'], /\(default: 1d\)/],
      [['keys', 'rotate', '--help'], /\(default: 1d\)/],
    ] as const) {
      assert.match((await run(env, ...command)).out.replace(/\s+/g, ' '), pattern);
    }
    const help = await run(env, '--help');
    assert.equal(help.code, 0);
    for (const word of ['serve', 'accounts', 'keys', 'audit', 'Exit codes']) {
      assert.ok(help.out.includes(word));
    }
  });

  test('prints its version', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
    assert.deepEqual((await run({}, '--version')).out, `${version}\n`);
    assert.deepEqual((await run({}, '-V')).out, `${version}\n`);
    assert.deepEqual(await runJSON({}, '--version'), { version, node: process.versions.node });
  });

  test('uses colours only on a terminal', { skip: terminalSkipReason() }, async () => {
    const env = { VITRINE_DATA: join(folder, 'colours'), TERM: 'xterm' };
    await run(env, 'accounts', 'create', '日本語の長い長い長い長い名前の店');
    const list = ['accounts', 'list'];
    const terminal = await user.runOnTerminal(list, env, undefined, 120);
    const [heading = '', row = ''] = terminal.out.trimEnd().split('\r\n');
    assert.match(heading, /^\u001b\[1mACCOUNT .*\u001b\[22m$/);
    assert.equal(
      stringWidth(row.slice(0, row.search(/\d{4}-\d\d-\d\dT/))),
      stringWidth(heading.slice(0, heading.indexOf('CREATED'))),
      terminal.out,
    );
    assert.ok(stringWidth(row) <= 120, terminal.out);
    assert.match(row, /日本語.*… {1,3}\d{4}-/);
    const plain = await user.runOnTerminal(list, { ...env, NO_COLOR: '1' }, undefined, 120);
    assert.equal(plain.out.includes('\u001b'), false);
    const piped = await run(env, ...list);
    assert.ok(piped.out.includes('名前の店') && !piped.out.includes('\u001b'));
    assert.match((await run({ ...env, FORCE_COLOR: '1' }, ...list)).out, /^\u001b\[1m/);
    const error = await user.runOnTerminal(['accounts', 'show', 'x'], env);
    assert.equal(error.out, '\u001b[31maccount not found\u001b[39m\r\n');
    assert.match((await user.runOnTerminal(['--help'], env)).out, /\u001b\[1mUsage:\u001b\[22m/);
    assert.equal((await run(env, '--help')).out.includes('\u001b'), false);
  });

  test('starts the server with "serve"', async () => {
    const env = { PATH: process.env.PATH, VITRINE_PORT: '0', VITRINE_DATA: join(folder, 'serve') };
    const [command, ...first] = VITRINE;
    const child = spawn(command, [...first, 'serve'], { env });
    try {
      let output = '';
      for await (const chunk of child.stdout) {
        output += chunk;
        if (output.includes('secret key')) break;
      }
      const url = /listening on (http[^"]+)/.exec(output)?.[1];
      assert.equal((await fetch(`${url}/livez`)).status, 200);
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      assert.equal((await exit)[0], 0);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

for (const [database, unavailable] of [
  ['SQLite', false],
  ['PostgreSQL', skip],
] as const) {
  describe(`the vitrine command while a server runs on ${database}`, { skip: unavailable }, () => {
    let server: TestServer;
    let env: Record<string, string>;
    before(async () => {
      const url = database === 'PostgreSQL' ? await postgres?.createDatabase() : undefined;
      const variables = url === undefined ? {} : { VITRINE_DATABASE: url };
      server = await startServer(variables);
      env = { VITRINE_DATA: server.folder, ...variables };
    });
    after(() => server.close());

    test('creates keys that work at once, and revokes them for the next request', async () => {
      const key = await runJSON<KeyJSON>(env, 'keys', 'create', 'New', '--account', ACCOUNT);
      const list = (authorization: string) =>
        server.send('GET', `/accounts/${ACCOUNT}/images`, undefined, authorization);
      const token = bearer((await createToken(server, key)).access_token);
      assert.deepEqual([(await list(basicOf(key))).status, (await list(token)).status], [200, 200]);
      const createKey = await runJSON<KeyJSON>(env, 'keys', 'rotate', key.keyID, '--overlap', '0');
      const responses = [await list(basicOf(key)), await list(token), await list(basicOf(createKey))];
      assert.deepEqual(
        responses.map(({ status }) => status),
        [401, 401, 200],
      );
      await runJSON(env, 'keys', 'revoke', key.publicKey);
      assert.equal((await list(basicOf(createKey))).status, 401);
    });

    test('suspends and resumes accounts for the next request', async () => {
      const accountID = await createAccount(server);
      const key = basicOf(await createKey(server, accountID));
      const show = async () => (await server.send('GET', `/accounts/${accountID}`, undefined, key)).status;
      assert.equal(await show(), 200);
      await runJSON(env, 'accounts', 'suspend', accountID);
      assert.equal(await show(), 403);
      await runJSON(env, 'accounts', 'resume', accountID);
      assert.equal(await show(), 200);
    });

    test('loses no write when the command and the server write at the same time', async () => {
      const accountID = await createAccount(server);
      const [ofCommand, ofServer] = [
        Promise.all(
          Array.from({ length: 4 }, (_, i) =>
            runJSON<KeyJSON>(env, 'keys', 'create', `${i}`, '--account', accountID),
          ),
        ),
        Promise.all(Array.from({ length: 40 }, () => createKey(server, accountID))),
      ];
      const keyIDs = [...(await ofCommand), ...(await ofServer)].map(({ keyID }) => keyID);
      const list = await successBody(server.send<KeyJSON[]>('GET', `/accounts/${accountID}/keys?count=200`));
      assert.deepEqual(new Set(list.map(({ keyID }) => keyID)), new Set(keyIDs));
    });
  });
}
