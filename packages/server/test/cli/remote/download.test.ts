/**
 * `vitrine download`, `whoami`, `usage` and `completion` against a real server, with credentials from the
 * environment.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createKey } from '../../support/administration.ts';
import { rejectOriginals, setUpAccount } from '../../support/cli-accounts.ts';
import { startProxy, terminalSkipReason, UNKNOWN_ID, type User } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import { KEY } from '../../support/server.ts';

const setup = setUpAccount();
const { addImage } = setup;
let user: User;
let folder: string;
let number = 0;
beforeEach(async () => {
  user = setup.user;
  number += 1;
  folder = join(user.home, `downloads-${number}`);
  await mkdir(folder);
});

describe('vitrine download', () => {
  test('saves originals under their public IDs, and renditions with the options of url', async () => {
    const [one, two] = [await addImage(1), await addImage(2)];
    const results = await user.json<{ file: string; kind: string; bytes: number }[]>(
      ['download', one.imageID, two.publicID],
      { cwd: folder },
    );
    assert.deepEqual(
      results.map(({ file, kind }) => [file, kind]),
      [one, two].map(({ publicID }) => [`${publicID}.jpg`, 'original']),
    );
    assert.deepEqual(await readFile(join(folder, `${one.publicID}.jpg`)), await picture(1));
    const words = ['download', one.link, '--size', '20x0', '--format', 'webp', '-o', folder];
    assert.equal((await user.run(words)).code, 0);
    const rendition = await readFile(join(folder, `${one.publicID}.webp`));
    assert.equal(rendition.toString('latin1', 8, 12), 'WEBP');
    const [command = '', ...args] = commandOf('download', one.imageID, '-o', '-');
    const piped = await promisify(execFile)(command, args, { env: user.env, encoding: 'buffer' });
    assert.deepEqual(piped.stdout, await picture(1));
  });

  test('replaces a file only with --force', async () => {
    const { imageID } = await addImage(1);
    const file = join(folder, 'mine.jpg');
    await writeFile(file, 'mine');
    const refusal = await user.run(['download', imageID, '-o', file]);
    assert.deepEqual([refusal.code, refusal.err], [2, `${file} exists: give --force to replace it\n`]);
    assert.equal(await readFile(file, 'utf8'), 'mine');
    assert.equal((await user.run(['download', imageID, '-o', file, '--force'])).code, 0);
    assert.deepEqual(await readFile(file), await picture(1));
    assert.equal((await user.run(['download', imageID, '-o', folder])).code, 0);
    const again = await user.run(['download', imageID, '-o', folder]);
    assert.equal(again.code, 4, again.err);
    assert.match(again.err, /\.jpg exists: give --force/);
    assert.equal((await readdir(folder)).length, 2, 'no partial file is left');
  });

  test('leaves no partial file when the connection breaks or the user interrupts', async () => {
    const { imageID } = await addImage(1);
    let stop = () => {};
    const proxy = await startProxy(setup.server, {
      intercept(request, response) {
        if (!request.url?.startsWith('/images/')) return false;
        response.writeHead(200, { 'content-type': 'image/webp', 'content-length': '100000' });
        response.write(Buffer.alloc(50_000), () => stop());
        if (request.url.includes('size=10x10')) setImmediate(() => response.destroy());
        return true;
      },
    });
    try {
      await user.login(proxy.url, { account: setup.account });
      const words = ['download', imageID, '-o', folder, '--size'];
      const broken = await user.run([...words, '10x10']);
      assert.equal(broken.code, 1, broken.err);
      assert.deepEqual(await readdir(folder), []);
      const interrupted = await user.run([...words, '20x20'], {
        onStart: (child) => {
          stop = () => child.kill('SIGINT');
        },
      });
      assert.equal(interrupted.code, 130, interrupted.err);
      assert.match(interrupted.err, /interrupted by SIGINT: 0 files saved, and no partial file is left/);
      assert.deepEqual(await readdir(folder), []);
    } finally {
      await proxy.close();
    }
  });

  test('saves a rendition from a server without originals, and says so', async () => {
    const { imageID } = await addImage(1);
    const proxy = await startProxy(setup.server, { intercept: rejectOriginals });
    try {
      await user.login(proxy.url, { account: setup.account });
      const outcome = await user.run(['download', imageID, '-o', folder]);
      assert.equal(outcome.code, 6, outcome.err);
      assert.match(outcome.out, /re-encoded/);
    } finally {
      await proxy.close();
    }
  });

  test('continues after one image, and has the exit code of a single failure', async () => {
    const { imageID, publicID } = await addImage(1);
    const both = await user.run(['download', UNKNOWN_ID, imageID, '-o', folder]);
    assert.deepEqual([both.code, both.err], [5, '1 of 2 images were not saved\n']);
    assert.deepEqual(await readdir(folder), [`${publicID}.jpg`]);
    assert.equal((await user.run(['download', UNKNOWN_ID, '-o', folder])).code, 3);
    for (const [text, ...words] of [
      [/takes one image/, imageID, imageID, '-o', '-'],
      [/must be an existing folder/, imageID, imageID, '-o', join(folder, 'none')],
      [/^--size must be of the form WxH/, imageID, '--size', 'big'],
    ] as const) {
      const { code, err } = await user.run(['download', ...words]);
      assert.equal(code, 2, err);
      assert.match(err, text);
    }
  });

  test('writes no picture to a terminal', { skip: terminalSkipReason() }, async () => {
    const { imageID } = await addImage(1);
    const { code, out } = await user.runOnTerminal(['download', imageID, '-o', '-'], { NO_COLOR: '1' });
    assert.deepEqual(
      [code, out],
      [2, 'standard output is a terminal: give --output FILE, or use a pipe\r\n'],
    );
  });
});

describe('credentials', () => {
  const keyEnv = (key: { publicKey: string; secretKey: string }) => ({
    VITRINE_SERVER: setup.server.url,
    VITRINE_KEY: key.publicKey,
    VITRINE_SECRET: key.secretKey,
  });

  test('come from --profile, then from the environment, then from the default profile', async () => {
    const key = await createKey(setup.server, setup.account);
    await user.login(setup.server.url, { profile: 'other' });
    const whoami = (words: string[], env = {}) =>
      user.json<{ source: string; keyID: string; accountID: string }>(['whoami', ...words], { env });
    assert.equal((await whoami([])).source, 'the profile "default"');
    const fromEnv = await whoami([], keyEnv(key));
    assert.deepEqual(
      [fromEnv.source, fromEnv.keyID, fromEnv.accountID],
      ['the environment', key.keyID, setup.account],
    );
    assert.equal((await whoami(['--profile', 'other'], keyEnv(key))).source, 'the profile "other"');
    assert.equal((await whoami([], { VITRINE_PROFILE: 'other' })).source, 'the profile "other"');
    assert.equal((await whoami([], { ...keyEnv(key), VITRINE_PROFILE: 'other' })).source, 'the environment');
  });

  test('in the environment are complete, and name an account if the key has several', async () => {
    const cases: [RegExp, Record<string, string>][] = [
      [/^VITRINE_SECRET must be set too/, { VITRINE_SERVER: 'http://a', VITRINE_KEY: 'x' }],
      [/^VITRINE_KEY and VITRINE_SECRET must be set too/, { VITRINE_SERVER: 'http://a' }],
      [/^VITRINE_SERVER must be an http or https URL/, { ...keyEnv(KEY), VITRINE_SERVER: 'a' }],
      [/^VITRINE_ACCOUNT must be a UUID/, { ...keyEnv(KEY), VITRINE_ACCOUNT: 'a' }],
      [/^VITRINE_ACCOUNT must be set, because/, keyEnv(KEY)],
    ];
    for (const [text, env] of cases) {
      const { code, err } = await user.run(['list'], { env });
      assert.equal(code, 2, err);
      assert.match(err, text);
    }
    // The local commands and the server know these variables too.
    const local = await user.run(['accounts', 'list'], {
      env: { ...keyEnv(KEY), VITRINE_DATA: setup.server.folder },
    });
    assert.equal(local.code, 0, local.err);
  });

  test('and their rights are shown by whoami', async () => {
    const key = await createKey(setup.server, setup.account, { name: 'Shop', scopes: ['images.read'] });
    const { out } = await user.run(['whoami'], { env: keyEnv(key) });
    assert.match(out, new RegExp(`^account +${setup.account}$`, 'm'));
    assert.match(out, /^scopes +images\.read$/m);
    assert.match(out, /^accounts +1$/m);
    assert.match((await user.run(['whoami'])).out, /^accounts +all$/m);
    assert.equal(out.includes(key.secretKey), false);
    const wrong = await user.run(['whoami'], { env: { ...keyEnv(key), VITRINE_SECRET: 'wrong' } });
    assert.equal(wrong.code, 4);
  });
});

describe('vitrine usage', () => {
  test('shows the counters of the account and the products of an image', async () => {
    const { imageID } = await addImage(1);
    const disabled = await addImage(2);
    await user.json(['disable', disabled.imageID]);
    const product = ['products', 'create', '--title', 'Lamp', '--price', '1 USD', '--image', imageID];
    const { productID } = await user.json<{ productID: string }>(product);
    const usage = await user.json<Record<string, unknown>>(['usage']);
    assert.deepEqual([usage.images, usage.enabledImages, usage.products], [2, 1, 1]);
    assert.match((await user.run(['usage'])).out, /^image quota +default of the server$/m);
    const { out } = await user.run(['usage', imageID]);
    assert.equal(
      out,
      `SHOWN BY  ID                                    PLACE\nproduct   ${productID}  Lamp\n`,
    );
    assert.equal((await user.run(['usage', disabled.imageID])).out, 'Nothing shows the image.\n');
  });
});

describe('vitrine completion', () => {
  test('prints a script for each shell, which bash accepts', async () => {
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const { code, out, err } = await user.run(['completion', shell]);
      assert.deepEqual([code, err], [0, '']);
      assert.match(out, /vitrine/);
      if (shell === 'bash') assert.equal(spawnSync('bash', ['-n'], { input: out }).status, 0);
    }
    assert.equal((await user.run(['completion', 'cmd'])).code, 2);
  });

  test('works in bash without another package, after a second reading, and with names of files', async () => {
    const { out } = await user.run(['completion', 'bash']);
    const [program = '', ...words] = commandOf();
    const bash = [
      'set -o pipefail',
      `vitrine() { ${[program, ...words].map((word) => `'${word}'`).join(' ')} "$@"; }`,
      'compopt() { echo "compopt $*"; }',
      `script=$(cat); eval "$script"; eval "$script"`,
      `try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); $function; echo "$COMPREPLY"; }`,
      `function=$(complete -p vitrine | sed -E 's/.*-F ([^ ]+) .*/\\1/')`,
      'try vitrine down',
      'try vitrine upload pho',
    ].join('\n');
    const { stdout, stderr } = spawnSync('bash', ['-c', bash], { input: out, encoding: 'utf8' });
    assert.deepEqual(
      [stderr, stdout.split('\n').filter((line) => line && line !== 'compopt +o default')],
      ['', ['download', 'compopt -o default']],
    );
  });

  test('completes commands and options', async () => {
    assert.match((await user.run(['complete', '--', 'down'])).out, /^download\t/);
    assert.match((await user.run(['complete', '--', 'keys', 'ro'])).out, /^rotate\t/);
    assert.match((await user.run(['complete', '--', 'url', '--fo'])).out, /^--format\t/);
  });
});

/** The command line of `vitrine` with these words. */
function commandOf(...words: string[]): string[] {
  return [
    process.execPath,
    '--conditions=vitrine-source',
    join(import.meta.dirname, '../../../vitrine.mjs'),
    ...words,
  ];
}
