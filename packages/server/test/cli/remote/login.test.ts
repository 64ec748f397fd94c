/**
 * Logging in: what is kept, who can read it, and that secrets stay secret.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createAccount } from '../../support/administration.ts';
import { User, VITRINE, withoutTerminal } from '../../support/command.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../support/server.ts';

/** Runs a command on a terminal of its own, and types a line when it is asked. */
const TERMINAL = `
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[3], sys.argv[3:])
shown, typed = b'', False
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if not typed and sys.argv[1].encode() in shown:
        os.write(terminal, sys.argv[2].encode() + b'\\r')
        typed = True
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`;

describe('vitrine login', () => {
  let server: TestServer;
  let user: User;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    user = await User.make();
  });
  afterEach(() => user.leave());

  const words = (...more: string[]) => [
    ...['login', '--server', server.url, '--account', ACCOUNT, '--key', KEY.publicKey],
    ...more,
  ];
  const file = () => join(user.config, 'profiles.json');
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

  test('keeps what the server accepted where only its user can read it', async () => {
    const { code, out, err } = await user.run(words(), { input: `${KEY.secretKey}\n` });
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, new RegExp(`^profile +default\\nserverURL +${server.url}\\n`));
    assert.equal(await modeOf(file()), 0o600);
    assert.equal(await modeOf(user.config), 0o700);
    assert.deepEqual(await readdir(user.config), ['profiles.json']);
    assert.deepEqual(await user.json(['list']), []);
  });

  test('takes the secret from a variable that is named, or, if told to, from the command line', async () => {
    await user.json(words('--profile', 'a', '--secret-env', 'SHOP'), { env: { SHOP: KEY.secretKey } });
    await user.json(words('--profile', 'b', '--secret', KEY.secretKey));
    const found = await user.json<{ profile: string }[]>(['profiles']);
    assert.deepEqual(
      found.map(({ profile }) => profile),
      ['a', 'b'],
    );
    const missing = await user.run(words('--secret-env', 'NONE'));
    assert.deepEqual([missing.code, missing.err], [2, 'the variable NONE holds no secret key\n']);
  });

  test('asks for the secret on a terminal, and does not show it', { skip: withoutTerminal() }, async () => {
    const terminal = spawn(
      'python3',
      ['-c', TERMINAL, 'Secret key: ', KEY.secretKey, ...VITRINE, ...words()],
      {
        env: user.env,
      },
    );
    let shown = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
    });
    const [code] = await once(terminal, 'close');
    assert.equal(code, 0, shown);
    assert.ok(shown.includes('Secret key: ') && !shown.includes(KEY.secretKey), shown);
    assert.ok((await readFile(file(), 'utf8')).includes(KEY.secretKey));
  });

  test('keeps nothing that the server refuses, and never repeats the secret', async () => {
    const wrong = await user.run(words(), { input: 'not-the-secret\n' });
    assert.equal(wrong.code, 4);
    assert.equal(`${wrong.out}${wrong.err}`.includes('not-the-secret'), false);
    await assert.rejects(access(file()));
    const away = await user.run(
      ['login', '--server', 'http://127.0.0.1:1', '--account', ACCOUNT, '--key', 'x'],
      { input: 'secret-of-x' },
    );
    assert.equal(away.code, 1);
    assert.match(away.err, /^no answer from http:\/\/127\.0\.0\.1:1/);
  });

  test('prints the secret in no list, no JSON and no error', async () => {
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

  test('makes a file private again that others could read', async () => {
    await user.login(server.url);
    await chmod(file(), 0o644);
    await user.json(['list']);
    assert.equal(await modeOf(file()), 0o600);
  });

  test('keeps profiles under XDG_CONFIG_HOME, which must be absolute', async () => {
    const elsewhere = join(user.home, 'elsewhere');
    await user.json(words('--secret', KEY.secretKey), { env: { XDG_CONFIG_HOME: elsewhere } });
    assert.equal(await modeOf(join(elsewhere, 'vitrine/profiles.json')), 0o600);
    await user.json(words('--secret', KEY.secretKey), { env: { XDG_CONFIG_HOME: 'relative' } });
    assert.equal(await modeOf(file()), 0o600);
  });

  test('knows several accounts by name, and forgets them', async () => {
    const other = await createAccount(server);
    await user.login(server.url);
    await user.login(server.url, { profile: 'other', account: other });
    const found = await user.json<{ accountID: string }[]>(['profiles']);
    assert.deepEqual(
      found.map(({ accountID }) => accountID),
      [ACCOUNT, other],
    );
    await user.json(['logout', '--profile', 'other']);
    const gone = await user.run(['list', '--profile', 'other']);
    assert.deepEqual(
      [gone.code, gone.err],
      [3, 'there is no profile "other" here: vitrine login --profile other makes one\n'],
    );
  });

  test('says what is wrong with its words, and with a file that is not its own', async () => {
    const cases: [RegExp, string[]][] = [
      [/required option '--server/, ['login']],
      [/account must be a UUID/, ['login', '--server', server.url, '--account', 'x', '--key', 'x']],
      [/http or https URL/, ['login', '--server', 'ftp://x', '--account', ACCOUNT, '--key', 'x']],
      [/no credentials/, ['login', '--server', 'http://a:b@x', '--account', ACCOUNT, '--key', 'x']],
      [/no colon/, ['login', '--server', server.url, '--account', ACCOUNT, '--key', 'a:b']],
      [/name of a profile/, words('--profile', '../x')],
      [/standard input holds no secret key/, words()],
    ];
    for (const [text, line] of cases) {
      const { code, err } = await user.run(line);
      assert.equal(code, 2, err);
      assert.match(err, text);
    }
    await mkdir(user.config, { recursive: true });
    await writeFile(file(), '{"default": {"serverURL": 1}}');
    const { code, err } = await user.run(['list']);
    assert.equal(code, 2);
    assert.match(err, /holds no profiles: mend it/);
  });
});
