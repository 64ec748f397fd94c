/**
 * Commands of maintenance that are told to end in the middle of their work, by a terminal or by who looks after services:
 * beside a server that goes on. They say so, with the exit code that goes with it, and leave nothing half-made.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { type Outcome, User, withoutTerminal } from '../../support/command.ts';
import { addManyImages, addUnreferencedOriginals, digestOf, originalPath } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

/** So many that each command tells of the first thousand, and has most of its work before it. */
const IMAGES = 3_000;
const LITTER = 60;

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/** Resolves once something with such a path is made in the folder. */
async function appeared(folder: string, path: string): Promise<void> {
  for await (const { filename } of watch(folder, { recursive: true })) if (filename?.startsWith(path)) return;
}

describe('interrupted', () => {
  let user: User;
  let server: TestServer;
  let env: Record<string, string>;
  let folder: string;
  /** A backup of 80 images: each takes a restore some milliseconds. */
  let small: string;
  let uploads = 0;
  before(async () => {
    user = await User.make();
    folder = await mkdtemp(join(tmpdir(), 'vitrine-interrupted-'));
    server = await startServer({ VITRINE_IMAGE_QUOTA: '100000' });
    env = { VITRINE_DATA: server.folder };
    await addManyImages(server, IMAGES);
    const other = await startServer();
    try {
      await addManyImages(other, 80);
      small = join(folder, 'small.tar');
      const made = await user.run(['backup', small], { env: { VITRINE_DATA: other.folder } });
      assert.equal(made.code, 0, made.err);
    } finally {
      await other.close();
    }
  });
  after(async () => {
    await server.close();
    await user.leave();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a command, and sends it the signal with the first line that it writes. */
  async function interrupted(
    words: readonly string[],
    signal: NodeJS.Signals,
    place = env,
  ): Promise<Outcome> {
    let sent = false;
    const outcome = await user.run(words, {
      env: place,
      onLine: (_line, child) => {
        if (!sent) child.kill(signal);
        sent = true;
      },
    });
    await serves();
    return outcome;
  }

  /** The server beside goes on as if nothing had been. */
  async function serves(): Promise<void> {
    uploads += 1;
    const bytes = await picture(uploads);
    const { imageID } = await server.addImage(bytes);
    const { body } = await server.send('GET', `/accounts/${ACCOUNT}/images/${imageID}`);
    assert.equal((await fetch(body.link)).status, 200);
  }

  /** Neither a hold nor a copy of the records. */
  async function leftNothing(): Promise<void> {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    const { holds } = raw.prepare('select count(*) as holds from collection_holds').get() as {
      holds: number;
    };
    raw.close();
    assert.equal(holds, 0);
    const names = await readdir(server.folder);
    assert.deepEqual(
      names.filter((name) => name.startsWith('vitrine-snapshot')),
      [],
    );
  }

  for (const [signal, code] of SIGNALS) {
    test(`a backup leaves the one before, by ${signal}`, async () => {
      const place = await mkdtemp(join(folder, 'backup-'));
      const file = join(place, 'library.tar');
      await writeFile(file, 'the one before');
      const outcome = await interrupted(['backup', file], signal);
      assert.equal(
        outcome.err,
        `interrupted by ${signal}: there is no new backup, and nothing of it is left\n`,
      );
      assert.deepEqual([outcome.code, outcome.out], [code, `1000 of ${IMAGES + uploads - 1} originals\n`]);
      assert.deepEqual(await readdir(place), ['library.tar']);
      assert.equal(await readFile(file, 'utf8'), 'the one before');
      await leftNothing();
    });

    test(`a restore leaves an empty library, in which it can be begun again, by ${signal}`, async () => {
      const place = await mkdtemp(join(folder, 'restored-'));
      const restoring = user.run(['restore', small], {
        env: { VITRINE_DATA: place },
        onStart: (child) => {
          appeared(place, 'blobs/originals/').then(() => child.kill(signal), assert.fail);
        },
      });
      const outcome = await restoring;
      assert.equal(
        outcome.err,
        `interrupted by ${signal}: nothing was restored, and the library is as empty as it was\n`,
      );
      assert.deepEqual([outcome.code, outcome.out], [code, '']);
      const left = await readdir(join(place, 'blobs'), { recursive: true, withFileTypes: true });
      assert.deepEqual(
        left.filter((entry) => entry.isFile()).map(({ name }) => name),
        [],
      );
      const again = await user.run(['restore', small], { env: { VITRINE_DATA: place } });
      assert.equal(again.code, 0, again.err);
      const verified = await user.run(['verify', '--no-rungs'], { env: { VITRINE_DATA: place } });
      assert.equal(verified.code, 0, verified.out);
    });

    test(`verify says how far it came, by ${signal}`, async () => {
      const outcome = await interrupted(['verify', '--no-rungs'], signal);
      assert.match(
        outcome.err,
        new RegExp(
          `^interrupted by ${signal}: \\d{4} originals checked, 0 findings, and the rest not looked at\n$`,
        ),
      );
      assert.equal(outcome.code, code);
      assert.match(outcome.out, /^1000 of \d{4} originals\n$/);
    });

    test(`gc says what it removed, and what it left is whole, by ${signal}`, async () => {
      await addUnreferencedOriginals(server, LITTER);
      const outcome = await interrupted(['gc', '--grace', '0'], signal);
      const [, removed] =
        /: (\d+) originals? removed before; what is left is for the next run\n$/.exec(outcome.err) ?? [];
      assert.equal(outcome.code, code, outcome.err);
      const lines = outcome.out.split('\n').filter((line) => line.startsWith('original '));
      assert.equal(lines.length, Number(removed));
      assert.ok(Number(removed) > 0 && Number(removed) < LITTER, removed);
      const verified = await user.run(['verify', '--no-rungs'], { env });
      assert.equal(verified.code, 0, verified.out);
      const rest = await user.json<{ originals: number }>(['gc', '--grace', '0'], { env });
      assert.equal(rest.originals, LITTER - Number(removed));
    });
  }

  test('verify ends its JSON, which says that it is not complete', async () => {
    const lost = digestOf(Buffer.from('Picture 1'));
    const bytes = await readFile(originalPath(server, lost));
    await rm(originalPath(server, lost));
    const outcome = await interrupted(['verify', '--no-rungs', '--json'], 'SIGTERM');
    await writeFile(originalPath(server, lost), bytes);
    assert.equal(outcome.code, 143, outcome.err);
    assert.equal(JSON.parse(outcome.out).complete, false);
  });

  describe('by Ctrl-C on a terminal', { skip: withoutTerminal() }, () => {
    test('a command says that it heard, and then what is left', async () => {
      const file = join(folder, 'typed.tar');
      let typed = false;
      const { code, out } = await user.runOnTerminal(['backup', file], env, (shown, type) => {
        if (!typed && /\d+ of \d+ originals, /.test(shown)) type('\u0003');
        typed ||= /\d+ of \d+ originals, /.test(shown);
      });
      assert.equal(code, 130, out);
      assert.match(out, /\u001b\[2KSIGINT: ending in order; again ends at once\r\n/);
      assert.match(out, /interrupted by SIGINT: there is no new backup, and nothing of it is left\r\n$/);
      await assert.rejects(stat(file));
      await leftNothing();
    });
  });
});
