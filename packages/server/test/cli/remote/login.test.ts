/**
 * `vitrine login`, `logout` and `profiles`: the saved profiles, the modes of their files, and that no secret
 * is printed.
 */
import assert from 'node:assert/strict';
import { access, chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createAccount } from '../../support/administration.ts';
import { terminalSkipReason, User } from '../../support/command.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../support/server.ts';

describe('vitrine login', () => {
  let server: TestServer;
  let user: User;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    user = await User.create();
  });
  afterEach(() => user.remove());

  const words = (...more: string[]) => [
    ...['login', '--server', server.url, '--account', ACCOUNT, '--key', KEY.publicKey],
    ...more,
  ];
  const file = () => join(user.configFolder, 'profiles.json');
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

  test('saves a profile that the server accepted in a file that only the user can read', async () => {
    const { code, out, err } = await user.run(words(), { input: `${KEY.secretKey}\n` });
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, new RegExp(`^profile +default\\nserverURL +${server.url}\\n`));
    assert.equal(await modeOf(file()), 0o600);
    assert.equal(await modeOf(user.configFolder), 0o700);
    assert.deepEqual(await readdir(user.configFolder), ['profiles.json']);
    assert.deepEqual(await user.json(['list']), []);
  });

  test('reads the secret from a named variable or from the command line', async () => {
    await user.json(words('--profile', 'a', '--secret-env', 'SHOP'), { env: { SHOP: KEY.secretKey } });
    await user.json(words('--profile', 'b', '--secret', KEY.secretKey));
    const profiles = await user.json<{ profile: string }[]>(['profiles']);
    assert.deepEqual(
      profiles.map(({ profile }) => profile),
      ['a', 'b'],
    );
    const withoutVariable = await user.run(words('--secret-env', 'NONE'));
    assert.equal(withoutVariable.code, 2);
    assert.equal(withoutVariable.err, 'the variable NONE must have a secret key of 1 to 4096 characters\n');
  });

  test('asks for the secret on a terminal and does not show it', { skip: terminalSkipReason() }, async () => {
    let hasTyped = false;
    const { code, out } = await user.runOnTerminal(words(), {}, (shown, type) => {
      if (hasTyped || !shown.includes('Secret key: ')) return;
      hasTyped = true;
      type(`${KEY.secretKey}\r`);
    });
    assert.equal(code, 0, out);
    assert.ok(out.includes('Secret key: ') && !out.includes(KEY.secretKey), out);
    assert.ok((await readFile(file(), 'utf8')).includes(KEY.secretKey));
  });

  test('ends with 130 after Ctrl-C at a question', { skip: terminalSkipReason() }, async () => {
    for (const [asked, args] of [
      ['Server URL: ', ['login']],
      ['Secret key: ', words()],
    ] as const) {
      let hasTyped = false;
      const { code, out } = await user.runOnTerminal([...args], {}, (shown, type) => {
        if (hasTyped || !shown.includes(asked)) return;
        hasTyped = true;
        type('\u0003');
      });
      assert.equal(code, 130, out);
      assert.match(out, /interrupted by SIGINT: /);
    }
  });

  test('asks for everything that is missing on a terminal', { skip: terminalSkipReason() }, async () => {
    const accounts = [await createAccount(server), await createAccount(server)];
    const { body: key } = await server.send('POST', '/keys', { name: 'Two', accounts });
    const answers = [
      ['Server URL: ', `${server.url}/\r`],
      ['Public key: ', `${key.publicKey}\r`],
      ['Secret key: ', `${key.secretKey}\r`],
      ['Account, 1 to 2: ', '2\r'],
    ];
    const { code, out } = await user.runOnTerminal(['login'], {}, (shown, type) => {
      const [question = '', answer = ''] = answers[0] ?? [];
      if (answers.length === 0 || !shown.includes(question)) return;
      answers.shift();
      type(answer);
    });
    assert.equal(code, 0, out);
    assert.equal(out.includes(key.secretKey), false);
    const [profile] = await user.json<{ accountID: string; serverURL: string }[]>(['profiles']);
    // The newest account is first.
    assert.deepEqual([profile?.accountID, profile?.serverURL], [accounts[0], server.url]);
    assert.equal(await modeOf(file()), 0o600);
  });

  test('takes the account of a key with one account', async () => {
    const account = await createAccount(server);
    const { body: key } = await server.send('POST', `/accounts/${account}/keys`, { name: 'One' });
    const line = ['login', '--server', server.url, '--key', key.publicKey];
    const { code, err } = await user.run(line, { input: key.secretKey });
    assert.equal(code, 0, err);
    assert.equal((await user.json<{ accountID: string }[]>(['profiles']))[0]?.accountID, account);
    const all = await user.run([...line.slice(0, 3), '--key', KEY.publicKey], { input: KEY.secretKey });
    assert.deepEqual([all.code, all.err], [2, '--account is required without a terminal\n']);
  });

  test('takes the only account of a server for a key for all accounts', async () => {
    const fresh = await startServer();
    try {
      const line = ['login', '--server', fresh.url, '--key', KEY.publicKey];
      const { code, err } = await user.run(line, { input: KEY.secretKey });
      assert.equal(code, 0, err);
      assert.equal((await user.json<{ accountID: string }[]>(['profiles']))[0]?.accountID, ACCOUNT);
    } finally {
      await fresh.close();
    }
  });

  test('saves no profile that the server rejects, and does not print the secret', async () => {
    const wrongSecret = await user.run(words(), { input: 'not-the-secret\n' });
    assert.equal(wrongSecret.code, 4);
    assert.equal(`${wrongSecret.out}${wrongSecret.err}`.includes('not-the-secret'), false);
    await assert.rejects(access(file()));
    const unreachable = await user.run(
      ['login', '--server', 'http://127.0.0.1:1', '--account', ACCOUNT, '--key', 'x'],
      { input: 'secret-of-x' },
    );
    assert.equal(unreachable.code, 1);
    assert.match(unreachable.err, /^no answer from http:\/\/127\.0\.0\.1:1/);
  });

  test('prints no secret in lists, JSON and errors', async () => {
    await user.login(server.url);
    for (const line of [
      ['profiles'],
      ['profiles', '--json'],
      ['show', 'nonsense'],
      ['logout', '--profile', 'x'],
    ]) {
      const { out, err } = await user.run(line);
      assert.equal(`${out}${err}`.includes(KEY.secretKey), false, line.join(' '));
    }
  });

  test('resets the mode of a profile file that other users can read', async () => {
    await user.login(server.url);
    await chmod(file(), 0o644);
    await user.json(['list']);
    assert.equal(await modeOf(file()), 0o600);
  });

  test('saves profiles in XDG_CONFIG_HOME if it is an absolute path', async () => {
    const elsewhere = join(user.home, 'elsewhere');
    await user.json(words('--secret', KEY.secretKey), { env: { XDG_CONFIG_HOME: elsewhere } });
    assert.equal(await modeOf(join(elsewhere, 'vitrine/profiles.json')), 0o600);
    await user.json(words('--secret', KEY.secretKey), { env: { XDG_CONFIG_HOME: 'relative' } });
    assert.equal(await modeOf(file()), 0o600);
  });

  test('saves several accounts under names, and removes them', async () => {
    const other = await createAccount(server);
    await user.login(server.url);
    await user.login(server.url, { profile: 'other', account: other });
    const profiles = await user.json<{ accountID: string }[]>(['profiles']);
    assert.deepEqual(
      profiles.map(({ accountID }) => accountID),
      [ACCOUNT, other],
    );
    await user.json(['logout', '--profile', 'other']);
    const list = await user.run(['list', '--profile', 'other']);
    assert.deepEqual(
      [list.code, list.err],
      [3, 'there is no profile "other": create it with vitrine login --profile other\n'],
    );
  });

  test('rejects wrong arguments and a damaged profile file with the reason', async () => {
    const cases: [RegExp, string[]][] = [
      [/^--server is required without a terminal/, ['login']],
      [/^--key is required without a terminal/, ['login', '--server', server.url]],
      [/^--account must be a UUID/, ['login', '--server', server.url, '--account', 'x', '--key', 'x']],
      [/http or https URL/, ['login', '--server', 'ftp://x', '--account', ACCOUNT, '--key', 'x']],
      [
        /must not contain credentials/,
        ['login', '--server', 'http://a:b@x', '--account', ACCOUNT, '--key', 'x'],
      ],
      [
        /^--key must be a public key without a colon/,
        ['login', '--server', server.url, '--account', ACCOUNT, '--key', 'a:b'],
      ],
      [/name of a profile/, words('--profile', '../x')],
      [/standard input must have a secret key/, words()],
    ];
    for (const [text, line] of cases) {
      const { code, err } = await user.run(line);
      assert.equal(code, 2, err);
      assert.match(err, text);
    }
    await mkdir(user.configFolder, { recursive: true });
    await writeFile(file(), '{"default": {"serverURL": 1}}');
    const { code, err } = await user.run(['list']);
    assert.equal(code, 2);
    assert.match(err, /has no valid profiles: repair it/);
  });
});
