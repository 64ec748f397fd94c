/**
 * Exports and imports that are killed, at lines of their output and at moments of the wire, and run again.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Accounts, giveNoOriginals } from '../../support/cli-accounts.ts';
import { startWire, User } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import { startServer, type TestServer } from '../../support/server.ts';

describe('moving an account, killed', () => {
  let server: TestServer;
  let user: User;
  let accounts: Accounts;
  let folder: string;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    user = await User.make();
    accounts = await Accounts.make(server);
    folder = join(user.home, 'copy');
  });
  afterEach(() => user.leave());

  for (const killAt of [1, 4, 8]) {
    test(`resumes an import from a server that was killed after line ${killAt}`, async () => {
      await accounts.fill(12);
      await user.login(server.url, { profile: 'source', account: accounts.source });
      await user.login(server.url, { account: accounts.target });
      let lines = 0;
      const killed = await user.run(['import', '--from', 'source', '--parallel', '3'], {
        onLine: (_line, child) => {
          lines += 1;
          if (lines === killAt) child.kill('SIGKILL');
        },
      });
      assert.equal(killed.signal, 'SIGKILL');
      const resumed = await user.run(['import', '--from', 'source']);
      assert.equal(resumed.code, 0, resumed.err);
      await accounts.checkCopied();
      // What was passed through is gone.
      const copies = await readdir(join(user.config, 'copies'), { recursive: true });
      assert.deepEqual(
        copies.filter((name) => name.endsWith('.jpg')),
        [],
      );
    });
  }

  /** Kills the command at the moment when the server has answered, and the command does not know it yet. */
  async function killedBefore(answer: RegExp, times: number, words: readonly string[]): Promise<void> {
    let child: ChildProcess | undefined;
    let seen = 0;
    const wire = await startWire(server, {
      beforeAnswer: (asked) => {
        if (answer.test(asked) && ++seen === times) child?.kill('SIGKILL');
      },
    });
    try {
      await user.login(wire.url, { account: accounts.target });
      const killed = await user.run([...words, '--parallel', '1'], {
        onStart: (started) => {
          child = started;
        },
      });
      assert.equal(killed.signal, 'SIGKILL');
      const resumed = await user.run(words);
      assert.ok(resumed.code === 0 || resumed.code === 6, resumed.err);
    } finally {
      await wire.close();
    }
  }

  test('makes no duplicate of a picture that arrived just before the kill', async () => {
    await accounts.fill(8);
    await user.login(server.url, { profile: 'source', account: accounts.source });
    await killedBefore(/^POST /, 3, ['import', '--from', 'source']);
    await accounts.checkCopied();
  });

  test('makes no duplicate either where every rendition comes out a little different', async () => {
    await accounts.fill(8);
    let count = 100;
    const restless = await startWire(server, {
      instead: (request, response) => {
        if (giveNoOriginals(request, response)) return true;
        if (!request.url?.startsWith('/images/')) return false;
        count += 1;
        picture(count).then(
          (bytes) => response.writeHead(200, { 'content-type': 'image/jpeg' }).end(bytes),
          () => response.destroy(),
        );
        return true;
      },
    });
    try {
      await user.login(restless.url, { profile: 'source', account: accounts.source });
      await killedBefore(/^POST /, 3, ['import', '--from', 'source']);
      await accounts.checkCopied();
    } finally {
      await restless.close();
    }
  });

  test('leaves none enabled that is to be disabled, when the kill comes in between', async () => {
    await accounts.fill(8);
    await user.login(server.url, { profile: 'source', account: accounts.source });
    await killedBefore(/^DELETE /, 1, ['import', '--from', 'source']);
    await accounts.checkCopied();
  });

  test('resumes an import from a folder, and an export, that were killed', async () => {
    await accounts.fill(10);
    await user.login(server.url, { account: accounts.source });
    let lines = 0;
    const killed = await user.run(['export', folder], {
      onLine: (_line, child) => {
        lines += 1;
        if (lines === 3) child.kill('SIGKILL');
      },
    });
    assert.equal(killed.signal, 'SIGKILL');
    await writeFile(join(folder, 'manifest.jsonl'), '{"imageID":"torn', { flag: 'a' });
    const rest = await user.run(['export', folder]);
    assert.ok(rest.code === 0 || rest.code === 6, rest.err);
    assert.match(rest.out, /^\d exported, [3-9] exported before, 0 failed$/m);
    await killedBefore(/^POST /, 4, ['import', folder]);
    await accounts.checkCopied();
  });
});
