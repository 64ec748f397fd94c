/**
 * Exports and imports that SIGKILL ends, after a line of output or between a response and its receipt, and
 * that run again.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { rejectOriginals, setUpCopy } from '../../support/cli-accounts.ts';
import { signalAtLine, startProxy } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';

describe('a killed export or import', () => {
  const setup = setUpCopy();

  for (const line of [1, 4, 8]) {
    test(`an import from a server resumes after a kill at line ${line}`, async () => {
      const { server, user, accounts } = setup;
      await accounts.fillSource(12);
      await user.login(server.url, { profile: 'source', account: accounts.source });
      await user.login(server.url, { account: accounts.target });
      const firstRun = await user.run(['import', '--from', 'source', '--parallel', '3'], {
        onLine: signalAtLine(line, 'SIGKILL'),
      });
      assert.equal(firstRun.signal, 'SIGKILL');
      const secondRun = await user.run(['import', '--from', 'source']);
      assert.equal(secondRun.code, 0, secondRun.err);
      await accounts.assertCopied();
      // The local copies of imported pictures are deleted.
      const copies = await readdir(join(user.configFolder, 'copies'), { recursive: true });
      assert.deepEqual(
        copies.filter((name) => name.endsWith('.jpg')),
        [],
      );
    });
  }

  /**
   * Kills the command after the server has answered and before the command gets the response, and runs it
   * again.
   * @param pattern matches the requests that count.
   * @param number the request at which the command is killed.
   */
  async function killBeforeResponse(
    pattern: RegExp,
    number: number,
    words: readonly string[],
  ): Promise<void> {
    const { server, user, accounts } = setup;
    let child: ChildProcess | undefined;
    let count = 0;
    const proxy = await startProxy(server, {
      onResponse: (request) => {
        if (pattern.test(request) && ++count === number) child?.kill('SIGKILL');
      },
    });
    try {
      await user.login(proxy.url, { account: accounts.target });
      const firstRun = await user.run([...words, '--parallel', '1'], {
        onStart: (started) => {
          child = started;
        },
      });
      assert.equal(firstRun.signal, 'SIGKILL');
      const secondRun = await user.run(words);
      assert.ok(secondRun.code === 0 || secondRun.code === 6, secondRun.err);
    } finally {
      await proxy.close();
    }
  }

  test('an import creates no duplicate of a picture that arrived just before the kill', async () => {
    const { server, user, accounts } = setup;
    await accounts.fillSource(8);
    await user.login(server.url, { profile: 'source', account: accounts.source });
    await killBeforeResponse(/^POST /, 3, ['import', '--from', 'source']);
    await accounts.assertCopied();
  });

  test('an import creates no duplicate when each download of a rendition has other bytes', async () => {
    const { server, user, accounts } = setup;
    await accounts.fillSource(8);
    let renditions = 100;
    const source = await startProxy(server, {
      intercept: (request, response) => {
        if (rejectOriginals(request, response)) return true;
        if (!request.url?.startsWith('/images/')) return false;
        renditions += 1;
        picture(renditions).then(
          (bytes) => response.writeHead(200, { 'content-type': 'image/jpeg' }).end(bytes),
          () => response.destroy(),
        );
        return true;
      },
    });
    try {
      await user.login(source.url, { profile: 'source', account: accounts.source });
      await killBeforeResponse(/^POST /, 3, ['import', '--from', 'source']);
      await accounts.assertCopied();
    } finally {
      await source.close();
    }
  });

  test('an import disables an image after a kill between its upload and its disabling', async () => {
    const { server, user, accounts } = setup;
    await accounts.fillSource(8);
    await user.login(server.url, { profile: 'source', account: accounts.source });
    await killBeforeResponse(/^DELETE /, 1, ['import', '--from', 'source']);
    await accounts.assertCopied();
  });

  test('an export and an import from a folder resume after a kill', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(10);
    await user.login(server.url, { account: accounts.source });
    const firstRun = await user.run(['export', folder], { onLine: signalAtLine(3, 'SIGKILL') });
    assert.equal(firstRun.signal, 'SIGKILL');
    await writeFile(join(folder, 'manifest.jsonl'), '{"imageID":"torn', { flag: 'a' });
    const secondRun = await user.run(['export', folder]);
    assert.ok(secondRun.code === 0 || secondRun.code === 6, secondRun.err);
    assert.match(secondRun.out, /^\d exported, [3-9] exported before, 0 failed$/m);
    await killBeforeResponse(/^POST /, 4, ['import', folder]);
    await accounts.assertCopied();
  });
});
