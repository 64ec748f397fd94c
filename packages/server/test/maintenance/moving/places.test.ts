/**
 * Moves between all kinds of places: only records, only blobs, back again and undone. Wrong targets are
 * refused. The passes run in the process of the test, next to a running server.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { type MoveTarget, withMovePlaces } from '../../../src/cli/admin/move-places.ts';
import type { MoveStage, MoveSummary } from '../../../src/maintenance/moving/move.ts';
import { moveLibrary } from '../../../src/maintenance/moving/move.ts';
import { undoMove } from '../../../src/maintenance/moving/undo.ts';
import { CREDENTIALS, opaqueFiles, startS3 } from '../../blobs/s3-servers.ts';
import { User } from '../../support/command.ts';
import {
  addPictures,
  digestOf,
  envOf,
  largePicture,
  originalPath,
  verifyLibrary,
} from '../../support/libraries.ts';
import { startPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';
import { assertSameAnswers, fillLibrary, newBlobs, objectPath, readRows } from './moves.ts';

const { postgres, skip: noPostgres } = await startPostgres();
const { s3, skip: noS3 } = await startS3();
Object.assign(process.env, CREDENTIALS);

type Env = Record<string, string>;

let user: User;
let folder: string;
let number = 0;
before(async () => {
  user = await User.create();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-places-'));
});
after(async () => {
  await user.remove();
  await rm(folder, { recursive: true, force: true });
  await s3?.stop();
  await postgres?.stop();
});

/** A folder that does not exist. */
function newFolder(): string {
  number += 1;
  return join(folder, String(number));
}

function newSqlite(): Required<MoveTarget> {
  const parent = newFolder();
  return { to: `sqlite:${join(parent, 'vitrine.db')}`, blobs: `file:${join(parent, 'blobs')}` };
}

/** The variables of a server at the target. Its caches are in a folder of their own. */
function envAt({ to, blobs }: MoveTarget, source: Env = {}): Env {
  return {
    ...source,
    VITRINE_DATA: source.VITRINE_DATA ?? newFolder(),
    ...(to !== undefined && { VITRINE_DATABASE: to }),
    ...(blobs !== undefined && { VITRINE_BLOBS: blobs }),
  };
}

/** Changes one byte of a file, and not its length. */
async function alterByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 0xff;
  await writeFile(path, bytes);
}

function move(
  env: Env,
  target: MoveTarget,
  options: {
    finish?: boolean;
    reads?: boolean;
    skipMissing?: boolean;
    onStage?: (stage: MoveStage) => Promise<void>;
  } = {},
): Promise<MoveSummary> {
  return withMovePlaces({ env }, target, ({ places }) =>
    moveLibrary({
      ...places,
      finish: options.finish ?? false,
      readsBlobs: options.reads ?? false,
      skipMissing: options.skipMissing ?? false,
      concurrency: 4,
      ...(options.onStage && { events: { onStage: options.onStage } }),
    }),
  );
}

async function finish(env: Env, target: MoveTarget): Promise<Extract<MoveSummary, { outcome: 'moved' }>> {
  const summary = await move(env, target, { finish: true });
  assert.equal(summary.outcome, 'moved');
  return summary as Extract<MoveSummary, { outcome: 'moved' }>;
}

function undo(env: Env, target: MoveTarget | undefined, force = false): Promise<void> {
  return withMovePlaces({ env }, target ?? {}, ({ places }) =>
    undoMove({ source: places.source, target: target && places.target, from: places.from, force }),
  );
}

async function withServer<T>(env: Env, work: (server: TestServer) => Promise<T>): Promise<T> {
  const server = await startServer(env);
  try {
    return await work(server);
  } finally {
    // A connection that is not idle yet would stay open until its keep-alive timeout.
    server.app.http.server.closeAllConnections();
    await server.close();
  }
}

describe('a move', () => {
  test(
    'of the blobs alone to S3 excludes the servers that know the former ones',
    {
      skip: noS3,
      timeout: 120_000,
    },
    () =>
      withServer({}, async (source) => {
        if (s3 === undefined) return;
        await fillLibrary(source);
        const env = envOf(source);
        const target = { blobs: await newBlobs(s3) };
        assert.equal((await move(env, target)).outcome, 'copied');
        const added = await source.addImage(await picture(300));
        const summary = await finish(env, target);
        assert.equal(summary.verification?.originals, 16);
        await withServer(
          envAt(target, {
            ...env,
            VITRINE_DATA: newFolder(),
            VITRINE_DATABASE: `sqlite:${join(source.folder, 'vitrine.db')}`,
          }),
          async (moved) => {
            await assertSameAnswers(source, moved);
            await moved.addImage(await picture(301));
            // The former server runs on. It may change records, and may not add originals.
            const refused = await source.upload(await picture(302));
            assert.equal(refused.status, 503);
            assert.match(await refused.text(), /must be restarted, because its blobs were moved/);
            const replaced = await source.upload(await picture(303), { replace: added.imageID });
            assert.equal(replaced.status, 503);
            await replaced.text();
            const path = `/accounts/${ACCOUNT}/images/${added.imageID}/metadata`;
            assert.equal((await source.send('PUT', path, { altText: 'new' })).status, 200);
            assert.equal((await moved.addImage(await picture(303))).altText, undefined);
          },
        );
        await assert.rejects(startServer(env), /was moved to .*s3:\/\//);
        await assert.rejects(
          move(env, { blobs: await newBlobs(s3) }),
          /was moved to .*, and not to .*see --undo/,
        );
        assert.equal((await move(env, target, { finish: true })).outcome, 'moved-before');
      }),
  );

  test(
    'of the records alone to PostgreSQL leaves the blobs where they are',
    {
      skip: noPostgres,
      timeout: 120_000,
    },
    () =>
      withServer({}, async (source) => {
        await fillLibrary(source);
        const env = envOf(source);
        const target = { to: await postgres?.createEmptyDatabase() } as { to: string };
        const files = await readdir(join(source.folder, 'blobs'), { recursive: true });
        const summary = await finish(env, target);
        assert.equal(summary.verification, undefined);
        assert.deepEqual(await readdir(join(source.folder, 'blobs'), { recursive: true }), files);
        await withServer(envAt(target, env), (moved) => assertSameAnswers(source, moved));
        assert.equal((await source.upload(await picture(1))).status, 503);
      }),
  );

  test('from PostgreSQL to PostgreSQL copies every record', {
    skip: noPostgres,
    timeout: 120_000,
  }, async () => {
    const database = await postgres?.createEmptyDatabase();
    await withServer({ VITRINE_DATABASE: database ?? '' }, async (source) => {
      await fillLibrary(source);
      const env = envOf(source, database);
      const target = { to: (await postgres?.createEmptyDatabase()) ?? '' };
      await finish(env, target);
      assert.deepEqual(await readRows(envAt(target, env)), await readRows(env));
    });
  });

  test('goes back to the place that the library has left, with the changes since', {
    skip: noPostgres || noS3,
    timeout: 180_000,
  }, async () => {
    if (s3 === undefined || postgres === undefined) return;
    const source = await startServer();
    try {
      await fillLibrary(source);
      const env = envOf(source);
      const target = { to: await postgres.createEmptyDatabase(), blobs: await newBlobs(s3) };
      await finish(env, target);
      const atTarget = envAt(target);
      await withServer(atTarget, async (moved) => {
        const [first] = await addPictures(moved, 2_000, 3);
        await moved.send('DELETE', `/accounts/${ACCOUNT}/images/${first?.imageID}`);
      });
      const former = {
        to: `sqlite:${join(source.folder, 'vitrine.db')}`,
        blobs: `file:${join(source.folder, 'blobs')}`,
      };
      const summary = await finish(atTarget, former);
      assert.ok((summary.passes[0]?.inserted ?? 99) < 40, 'only the changes are copied');
      assert.equal(summary.passes[0]?.originals, 3);
      assert.deepEqual(await readRows(env), await readRows(atTarget));
      await assert.rejects(startServer(atTarget), /was moved to .*vitrine\.db with/);
      // The server of the former place never stopped.
      await source.addImage(await picture(2_100));
      assert.deepEqual(await verifyLibrary(env), []);
    } finally {
      await source.close();
    }
  });

  test(
    'finds exchanged files, removed rows and changed rows of every kind',
    {
      skip: noPostgres,
      timeout: 120_000,
    },
    () =>
      withServer({}, async (source) => {
        await fillLibrary(source);
        const images = await addPictures(source, 5_000, 3);
        const env = envOf(source);
        const target = { to: (await postgres?.createEmptyDatabase()) ?? '', blobs: newSqlite().blobs };
        await move(env, target);
        const [a, b, c] = images.map(({ imageID }) => imageID);
        const replace = async (imageID: string | undefined, picked: number) => {
          const answer = await source.upload(await picture(picked), { replace: imageID ?? '' });
          assert.equal(answer.status, 200, await answer.text());
        };
        // The last two exchange their files, and the first gets another one.
        await replace(a, 6_000);
        await replace(b, 6_001);
        await replace(c, 5_001);
        await replace(b, 5_002);
        const path = `/accounts/${ACCOUNT}/images/${a}/metadata`;
        await source.send('PUT', path, { altText: 'x', tags: ['one', 'two'] });
        const { body: products } = await source.send('GET', `/accounts/${ACCOUNT}/products`);
        const [{ productID }] = products as [{ productID: string }];
        await source.send('DELETE', `/accounts/${ACCOUNT}/products/${productID}`);
        const summary = await move(env, target);
        assert.ok(summary.outcome === 'copied');
        assert.ok((summary.passes[0]?.deleted ?? 0) >= 2, 'the uses of the product are removed');
        assert.ok((summary.passes[0]?.updated ?? 0) >= 4);
        await finish(env, target);
        assert.deepEqual(await readRows(envAt(target, env)), await readRows(env));
        assert.deepEqual(await verifyLibrary(envAt(target)), []);
      }),
  );

  test('can be undone while nothing has changed at the target', { timeout: 120_000 }, () =>
    withServer({}, async (source) => {
      await fillLibrary(source);
      const env = envOf(source);
      await assert.rejects(undo(env, undefined), /was not moved from here/);
      const target = newSqlite();
      await finish(env, target);
      await assert.rejects(undo(env, undefined), /in use at .*: give that place with --to/);
      await undo(env, target);
      await source.addImage(await picture(400));
      await assert.rejects(startServer(envAt(target)), /was moved to .*vitrine\.db with/);
      await finish(env, target);
      await withServer(envAt(target), async (moved) => {
        await moved.addImage(await picture(401));
        await assert.rejects(undo(env, target), /has changed at the target since its move/);
        // The target stays in use after the refusal.
        await moved.addImage(await picture(402));
      });
      await undo(env, target, true);
      await source.addImage(await picture(403));
      await assert.rejects(startServer(envAt(target)), /was moved to/);
    }),
  );

  test(
    'whose records differ at the end leaves the source in use, and can be repeated',
    {
      timeout: 120_000,
    },
    () =>
      withServer({}, async (source) => {
        const env = envOf(source);
        await addPictures(source, 0, 4);
        const target = newSqlite();
        let uploads = 100;
        const damage = async (stage: MoveStage) => {
          if (stage !== 'originals') return;
          uploads += 1;
          const answer = await source.upload(await picture(uploads));
          await answer.text();
          if (answer.status !== 503) return;
          // The last pass has compared the records. Now a row is lost at the target.
          const raw = new DatabaseSync(target.to.slice('sqlite:'.length));
          raw.exec('drop trigger events_sealed_delete; delete from events where sequence = 1');
          raw.close();
        };
        await assert.rejects(
          move(env, target, { finish: true, onStage: damage }),
          /the records of the target differ from the source in events: \d+ rows instead of \d+/,
        );
        await source.addImage(await picture(99));
        await assert.rejects(startServer(envAt(target)), /has not ended/);
        await finish(env, target);
        assert.deepEqual(await readRows(envAt(target)), await readRows(env));
      }),
  );

  test(
    'copies damaged files again: cut ones in each pass, others at the end with --full',
    {
      skip: noS3 || opaqueFiles,
      timeout: 120_000,
    },
    () =>
      withServer({}, async (source) => {
        if (s3 === undefined) return;
        const env = envOf(source);
        await fillLibrary(source);
        const large = await largePicture(200);
        const target = { to: newSqlite().to, blobs: await newBlobs(s3) };
        await move(env, target);
        const pathOf = (key: string) => objectPath(s3, target.blobs, key);
        const originalAt = (digest: string) => pathOf(`originals/${digest.slice(0, 2)}/${digest}`);
        const [cut, altered] = [await picture(3), await picture(4)].map(digestOf) as [string, string];
        const rungs = pathOf(`rungs/${digestOf(large).slice(0, 2)}/${digestOf(large)}`);
        const [rung = ''] = await readdir(rungs);
        await truncate(originalAt(cut), 10);
        for (const path of [originalAt(altered), join(rungs, rung)]) await alterByte(path);

        const again = await move(env, target);
        assert.equal(again.outcome === 'copied' && again.passes[0]?.originals, 1);
        assert.equal(digestOf(await readFile(originalAt(cut))), cut);
        assert.notEqual(digestOf(await readFile(originalAt(altered))), altered);
        const summary = await move(env, target, { finish: true, reads: true });
        assert.ok(summary.outcome === 'moved');
        assert.deepEqual(
          [summary.verification?.repaired.originals, summary.verification?.repaired.rungs],
          [1, 1],
        );
        assert.equal(digestOf(await readFile(originalAt(altered))), altered);
        assert.deepEqual(await verifyLibrary(envAt(target)), []);
      }),
  );

  test('is refused with missing originals, unless they are given up', { timeout: 120_000 }, () =>
    withServer({}, async (source) => {
      const env = envOf(source);
      await addPictures(source, 0, 3);
      const [lost, damaged] = [digestOf(await picture(0)), digestOf(await picture(1))];
      await rm(originalPath(source, lost));
      await writeFile(originalPath(source, damaged), 'damaged');
      const target = newSqlite();
      const words = ['migrate', '--to', target.to, '--blobs', target.blobs];
      const passes = await user.run(words, { env });
      assert.equal(passes.code, 5, passes.out + passes.err);
      assert.match(passes.out, new RegExp(`^missing: original ${lost}: it is not stored$`, 'm'));
      assert.match(
        passes.out,
        new RegExp(`^missing: original ${damaged}: its bytes do not have the digest$`, 'm'),
      );
      const refused = await user.run([...words, '--finish'], { env });
      assert.equal(refused.code, 4);
      assert.match(refused.err, /the source lacks 2 originals, such as [0-9a-f]{64} \(.*--skip-missing/);
      await source.addImage(await picture(8));
      const skipped = await user.run([...words, '--finish', '--skip-missing'], { env });
      assert.equal(skipped.code, 5, skipped.err);
      assert.match(skipped.out, /^moved +the library is in use at the target/m);
    }),
  );
});

describe('a target is refused', () => {
  let source: TestServer;
  let env: Env;
  before(async () => {
    source = await startServer();
    env = envOf(source);
    await addPictures(source, 0, 2);
  });
  after(() => source.close());

  test('if its database or its blobs belong to another library', { timeout: 60_000 }, () =>
    withServer({}, async (other) => {
      const to = `sqlite:${join(other.folder, 'vitrine.db')}`;
      await assert.rejects(move(env, { to, blobs: newSqlite().blobs }), /belongs to another library/);
      const blobs = `file:${join(other.folder, 'blobs')}`;
      await assert.rejects(move(env, { to: newSqlite().to, blobs }), /blobs belong to another library/);
      await other.addImage(await picture(5));
    }),
  );

  test('if it has records or originals and no library', { timeout: 60_000 }, async () => {
    const target = newSqlite();
    const made = await user.run(['accounts', 'create', 'Mine'], {
      env: { VITRINE_DATABASE: target.to, VITRINE_DATA: newFolder() },
    });
    assert.equal(made.code, 0, made.err);
    await assert.rejects(move(env, target), /the database is not empty: there are accounts in it/);
    const blobs = newFolder();
    const digest = digestOf(await picture(0));
    await mkdir(join(blobs, 'originals', digest.slice(0, 2)), { recursive: true });
    await writeFile(join(blobs, 'originals', digest.slice(0, 2), digest), await picture(0));
    await assert.rejects(
      move(env, { to: newSqlite().to, blobs: `file:${blobs}` }),
      /the target blobs are not empty, and belong to no library: there is the original/,
    );
  });

  test('if it is the library itself', { timeout: 60_000 }, async () => {
    const to = `sqlite:${join(source.folder, '.', 'vitrine.db')}`;
    await assert.rejects(move(env, { to }), /--to is the database of the library/);
    const blobs = `file:${join(source.folder, 'blobs')}/`;
    await assert.rejects(move(env, { blobs }), /--blobs are the blobs of the library/);
    await source.addImage(await picture(6));
  });

  test('while it is filled, by every command and server', { timeout: 60_000 }, async () => {
    const target = newSqlite();
    await move(env, target);
    const atTarget = envAt(target);
    await assert.rejects(
      startServer(atTarget),
      /a move of the library [0-9a-f-]+ to this place has not ended/,
    );
    const made = await user.run(['accounts', 'create', 'Mine'], { env: atTarget });
    assert.equal(made.code, 1);
    assert.match(made.err, /cannot be changed here now, because it is being moved/);
    const collection = await user.run(['gc'], { env: atTarget });
    assert.equal(collection.code, 4);
    await assert.rejects(move(atTarget, newSqlite()), /to its present place has not ended/);
  });

  test('by an earlier run after a later one has begun', { timeout: 60_000 }, async () => {
    const target = newSqlite();
    let hasBegun = false;
    const first = move(env, target, {
      async onStage() {
        if (hasBegun) return;
        hasBegun = true;
        await move(env, target);
      },
    });
    await assert.rejects(first, /another run of "vitrine migrate" writes to this target now/);
    assert.equal((await move(env, target)).outcome, 'copied');
  });

  test('and a dry run creates nothing', { timeout: 60_000 }, async () => {
    const target = newSqlite();
    const report = await user.json<{ images: number; originalsToCopy: number; bytesToCopy: number }>(
      ['migrate', '--to', target.to, '--blobs', target.blobs, '--dry-run'],
      { env },
    );
    assert.ok(report.images >= 3 && report.originalsToCopy === report.images && report.bytesToCopy > 0);
    await assert.rejects(stat(target.blobs.slice('file:'.length)), /ENOENT/);
    await assert.rejects(stat(target.to.slice('sqlite:'.length)), /ENOENT/);
  });
});
