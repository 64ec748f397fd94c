/**
 * Moves that SIGKILL ends at each of their steps, and that run again. A proxy in front of S3 kills the
 * command at a chosen request, so no kill depends on the speed of the machine.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { CREDENTIALS, startS3 } from '../../blobs/s3-servers.ts';
import { assertSameAnswers, fillLibrary, type MoveJSON, newBlobs } from '../../maintenance/moving/moves.ts';
import { startProxy, type TestProxy, User } from '../../support/command.ts';
import { addManyImages, envOf } from '../../support/libraries.ts';
import { startPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { startServer, type TestServer } from '../../support/server.ts';

const { postgres, skip: noPostgres } = await startPostgres();
const { s3, skip: noS3 } = await startS3();
const skip = noPostgres || noS3;

/** The step at which a run is killed. */
interface Kill {
  readonly name: string;
  /** Matches the requests to S3 that count. */
  readonly request: RegExp;
  /** The request at which the command is killed. */
  readonly number: number;
  /** Before the store gets the request, or after it has answered. */
  readonly when: 'before' | 'after';
  /** Only requests after the library was closed for changes count. */
  readonly isClosed?: true;
  readonly words?: readonly string[];
}

const ORIGINAL = /^PUT \S+\/originals\/[0-9a-f]{2}\/[0-9a-f]{64}\b/;
const RUNG = /^PUT \S+\/rungs\//;
const ID = /^PUT \S+\/library\/library\b/;
const LISTING = /^GET \S+list-type=2/;

const KILLS: readonly Kill[] = [
  { name: 'before the target has an ID', request: ID, number: 1, when: 'before' },
  { name: 'before an original is stored', request: ORIGINAL, number: 6, when: 'before' },
  { name: 'after an original is stored', request: ORIGINAL, number: 9, when: 'after' },
  { name: 'after a rung is stored', request: RUNG, number: 1, when: 'after' },
  {
    name: 'while the library is closed',
    request: LISTING,
    number: 1,
    when: 'before',
    isClosed: true,
    words: ['--finish'],
  },
  {
    name: 'after the source has left, before the target is complete',
    request: ID,
    number: 1,
    when: 'before',
    isClosed: true,
    words: ['--finish'],
  },
  {
    name: 'before the target is opened',
    request: ID,
    number: 1,
    when: 'after',
    isClosed: true,
    words: ['--finish'],
  },
];

describe('a killed move', { skip }, () => {
  let user: User;
  before(async () => {
    user = await User.create();
  });
  after(async () => {
    await user.remove();
    await s3?.stop();
    await postgres?.stop();
  });

  /** A proxy to S3 that kills the command at the step. */
  async function startKiller(kill: Kill): Promise<{ proxy: TestProxy; watch: Watch }> {
    let child: ChildProcess | undefined;
    let isClosed = false;
    let count = 0;
    const isDue = (line: string) => {
      if ((kill.isClosed ?? false) !== isClosed || !kill.request.test(line)) return false;
      count += 1;
      return count === kill.number;
    };
    const end = () => child?.kill('SIGKILL');
    const proxy = await startProxy({ url: s3?.endpoint } as TestServer, {
      intercept(request) {
        // The request is never answered.
        const isKilled = kill.when === 'before' && isDue(`${request.method} ${request.url}`);
        if (isKilled) end();
        return isKilled;
      },
      onResponse(line) {
        if (kill.when === 'after' && isDue(line)) end();
      },
    });
    const watch: Watch = {
      onStart: (started) => {
        child = started;
      },
      onLine: (line) => {
        if (line.startsWith('closed')) isClosed = true;
      },
    };
    return { proxy, watch };
  }

  for (const kill of KILLS) {
    test(`${kill.name}: it continues without a second copy`, { timeout: 180_000 }, async () => {
      const source = await startServer();
      const env = { ...CREDENTIALS, ...envOf(source) };
      const { proxy, watch } = await startKiller(kill);
      try {
        await fillLibrary(source);
        const blobs = await newBlobs(s3 as NonNullable<typeof s3>, proxy.url);
        const database = (await postgres?.createEmptyDatabase()) ?? '';
        const words = ['migrate', '--to', database, '--blobs', blobs, '--concurrency', '2'];
        const killed = await user.run([...words, ...(kill.words ?? [])], { env, ...watch });
        assert.equal(killed.signal, 'SIGKILL', killed.out + killed.err);

        const bucket = new URL(blobs).hostname;
        const stored = (await s3?.objectsIn(bucket))?.filter((name) => name.includes('/originals/')) ?? [];
        const atTarget = { ...CREDENTIALS, VITRINE_DATABASE: database, VITRINE_BLOBS: blobs };
        await assert.rejects(startServer(atTarget), /move of the library|belongs to no|never used/);
        const { status } = await source.upload(await picture(4_000));
        assert.equal(status, kill.isClosed ? 503 : 201);

        proxy.clearRequests();
        const { passes, outcome } = await user.json<MoveJSON>([...words, '--finish'], { env });
        assert.equal(outcome, 'moved');
        assert.equal(passes.at(-1)?.isLast, true);
        const sent = proxy.requests.filter((line) => ORIGINAL.test(line)).map((line) => line.slice(-200));
        for (const name of stored) {
          assert.ok(!sent.some((line) => line.includes(name)), `${name} is copied once`);
        }
        const moved = await startServer(atTarget);
        try {
          const images = await assertSameAnswers(source, moved);
          assert.ok(sent.length + stored.length >= images.length - 1, 'every original was copied');
        } finally {
          // A connection that is not idle yet would stay open until its keep-alive timeout.
          moved.app.http.server.closeAllConnections();
          await moved.close();
        }
      } finally {
        await proxy.close();
        await source.close();
      }
    });
  }

  test('while records are compared, it continues', { timeout: 180_000 }, async () => {
    const source = await startServer();
    const env = { ...CREDENTIALS, ...envOf(source) };
    try {
      await addManyImages(source, 2_500);
      const blobs = await newBlobs(s3 as NonNullable<typeof s3>);
      const words = ['migrate', '--to', (await postgres?.createEmptyDatabase()) ?? '', '--blobs', blobs];
      const killed = await user.run(words, {
        env,
        onLine: (line, child) => {
          if (/records of images/.test(line)) child.kill('SIGKILL');
        },
      });
      assert.equal(killed.signal, 'SIGKILL', killed.out + killed.err);
      const { outcome, tables, verification } = await user.json<MoveJSON>([...words, '--finish'], { env });
      assert.deepEqual([outcome, tables.images?.rows, verification?.originals], ['moved', 2_500, 2_500]);
    } finally {
      await source.close();
    }
  });
});

interface Watch {
  readonly onStart: (child: ChildProcess) => void;
  readonly onLine: (line: string) => void;
}
