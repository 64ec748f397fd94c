/**
 * Maintenance commands that SIGINT or SIGTERM interrupts while a server runs. Checks their messages and exit
 * codes, and that they leave no partial results.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { type Outcome, signalAtLine, terminalSkipReason, User } from '../../support/command.ts';
import { addManyImages, addUnreferencedOriginals, digestOf, originalPath } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

/** Each command prints a line after 1 000 images, and still has most of its work to do then. */
const IMAGES = 3_000;
const LITTER = 60;

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/** Resolves once a file whose path starts with `path` appears in the folder. */
async function waitForFile(folder: string, path: string): Promise<void> {
  for await (const { filename } of watch(folder, { recursive: true })) if (filename?.startsWith(path)) return;
}

describe('an interrupted maintenance command', () => {
  let user: User;
  let server: TestServer;
  let env: Record<string, string>;
  let folder: string;
  /** A backup of 80 images. The restore of each takes some milliseconds. */
  let smallBackup: string;
  let uploads = 0;
  before(async () => {
    user = await User.create();
    folder = await mkdtemp(join(tmpdir(), 'vitrine-interrupted-'));
    server = await startServer({ VITRINE_IMAGE_QUOTA: '100000' });
    env = { VITRINE_DATA: server.folder };
    await addManyImages(server, IMAGES);
    const other = await startServer();
    try {
      await addManyImages(other, 80);
      smallBackup = join(folder, 'small.tar');
      const backup = await user.run(['backup', smallBackup], { env: { VITRINE_DATA: other.folder } });
      assert.equal(backup.code, 0, backup.err);
    } finally {
      await other.close();
    }
  });
  after(async () => {
    await server.close();
    await user.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a command, sends it the signal after its first line, and checks that the server still works. */
  async function interrupt(words: readonly string[], signal: NodeJS.Signals): Promise<Outcome> {
    const outcome = await user.run(words, { env, onLine: signalAtLine(1, signal) });
    await checkServer();
    return outcome;
  }

  async function checkServer(): Promise<void> {
    uploads += 1;
    const bytes = await picture(uploads);
    const { imageID } = await server.addImage(bytes);
    const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images/${imageID}`);
    assert.equal((await fetch(body.link)).status, 200);
  }

  /** Asserts that the database has no collection hold and the folder no copy of the records. */
  async function assertNothingLeft(): Promise<void> {
    const database = new DatabaseSync(join(server.folder, 'vitrine.db'));
    const { holds } = database.prepare('select count(*) as holds from collection_holds').get() as {
      holds: number;
    };
    database.close();
    assert.equal(holds, 0);
    const names = await readdir(server.folder);
    assert.deepEqual(
      names.filter((name) => name.startsWith('vitrine-snapshot')),
      [],
    );
  }

  for (const [signal, code] of SIGNALS) {
    test(`keeps the previous backup file when ${signal} interrupts backup`, async () => {
      const target = await mkdtemp(join(folder, 'backup-'));
      const file = join(target, 'library.tar');
      await writeFile(file, 'the previous backup');
      const outcome = await interrupt(['backup', file], signal);
      assert.equal(
        outcome.err,
        `interrupted by ${signal}: no backup was written, and no temporary file is left\n`,
      );
      assert.deepEqual([outcome.code, outcome.out], [code, `1000 of ${IMAGES + uploads - 1} originals\n`]);
      assert.deepEqual(await readdir(target), ['library.tar']);
      assert.equal(await readFile(file, 'utf8'), 'the previous backup');
      await assertNothingLeft();
    });

    test(`leaves an empty library for another attempt when ${signal} interrupts restore`, async () => {
      const target = await mkdtemp(join(folder, 'restored-'));
      const outcome = await user.run(['restore', smallBackup], {
        env: { VITRINE_DATA: target },
        onStart: (child) => {
          waitForFile(target, 'blobs/originals/').then(() => child.kill(signal), assert.fail);
        },
      });
      assert.equal(
        outcome.err,
        `interrupted by ${signal}: nothing was restored, and the library is still empty\n`,
      );
      assert.deepEqual([outcome.code, outcome.out], [code, '']);
      const entries = await readdir(join(target, 'blobs'), { recursive: true, withFileTypes: true });
      assert.deepEqual(
        entries.filter((entry) => entry.isFile()).map(({ name }) => name),
        [],
      );
      const again = await user.run(['restore', smallBackup], { env: { VITRINE_DATA: target } });
      assert.equal(again.code, 0, again.err);
      const verification = await user.run(['verify', '--no-rungs'], { env: { VITRINE_DATA: target } });
      assert.equal(verification.code, 0, verification.out);
    });

    test(`prints the number of checked originals when ${signal} interrupts verify`, async () => {
      const outcome = await interrupt(['verify', '--no-rungs'], signal);
      assert.match(
        outcome.err,
        new RegExp(
          `^interrupted by ${signal}: \\d{4} originals checked, 0 findings; the rest was not checked\n$`,
        ),
      );
      assert.equal(outcome.code, code);
      assert.match(outcome.out, /^1000 of \d{4} originals\n$/);
    });

    test(`prints the number of removals and leaves a valid library when ${signal} interrupts gc`, async () => {
      await addUnreferencedOriginals(server, LITTER);
      let isSent = false;
      const outcome = await user.run(['gc', '--grace', '0'], {
        env,
        onLine(line, child) {
          if (!isSent && line.startsWith('original ')) isSent = child.kill(signal);
        },
      });
      await checkServer();
      const [, removals] =
        /: (\d+) originals? removed; run gc again to remove the rest\n$/.exec(outcome.err) ?? [];
      assert.equal(outcome.code, code, outcome.err);
      const lines = outcome.out.split('\n').filter((line) => line.startsWith('original '));
      assert.equal(lines.length, Number(removals));
      assert.ok(Number(removals) > 0 && Number(removals) < LITTER, removals);
      const verification = await user.run(['verify', '--no-rungs'], { env });
      assert.equal(verification.code, 0, verification.out);
      const rest = await user.json<{ originals: number }>(['gc', '--grace', '0'], { env });
      assert.equal(rest.originals, LITTER - Number(removals));
    });
  }

  test('completes the JSON of verify with "complete": false', async () => {
    const digest = digestOf(Buffer.from('Picture 1'));
    const bytes = await readFile(originalPath(server, digest));
    await rm(originalPath(server, digest));
    const outcome = await interrupt(['verify', '--no-rungs', '--json'], 'SIGTERM');
    await writeFile(originalPath(server, digest), bytes);
    assert.equal(outcome.code, 143, outcome.err);
    assert.equal(JSON.parse(outcome.out).complete, false);
  });

  describe('on a terminal', { skip: terminalSkipReason() }, () => {
    test('confirms Ctrl-C at once, and prints the state at the end', async () => {
      const file = join(folder, 'typed.tar');
      let hasTyped = false;
      const { code, out } = await user.runOnTerminal(['backup', file], env, (shown, type) => {
        if (hasTyped || !/\d+ of \d+ originals, /.test(shown)) return;
        hasTyped = true;
        type('\u0003');
      });
      assert.equal(code, 130, out);
      assert.match(out, /\u001b\[2KSIGINT: cleaning up; a second signal ends at once\r\n/);
      assert.match(out, /interrupted by SIGINT: no backup was written, and no temporary file is left\r\n$/);
      await assert.rejects(stat(file));
      await assertNothingLeft();
    });
  });
});
