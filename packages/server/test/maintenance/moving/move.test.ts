/**
 * Moves of a running library from SQLite and files to PostgreSQL and S3, with the `vitrine` command. Then the
 * servers at both places are compared.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CREDENTIALS, startS3 } from '../../blobs/s3-servers.ts';
import { User } from '../../support/command.ts';
import { envOf, verifyLibrary } from '../../support/libraries.ts';
import { startPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, startServer } from '../../support/server.ts';
import { assertSameAnswers, fillLibrary, type MoveJSON, newBlobs, Writer } from './moves.ts';

const { postgres, skip: noPostgres } = await startPostgres();
const { s3, skip: noS3 } = await startS3();
const skip = noPostgres || noS3;

let user: User;
let folder: string;
before(async () => {
  user = await User.create();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-move-'));
});
after(async () => {
  await user.remove();
  await rm(folder, { recursive: true, force: true });
  await s3?.stop();
  await postgres?.stop();
});

if (postgres !== undefined && s3 !== undefined) {
  test('a library moves to PostgreSQL and S3 while clients write', { timeout: 180_000 }, async () => {
    const source = await startServer();
    const env = { ...CREDENTIALS, ...envOf(source) };
    const target = ['--to', await postgres.createEmptyDatabase(), '--blobs', await newBlobs(s3)];
    const writer = new Writer();
    try {
      const key = await fillLibrary(source);
      writer.start(source, 10_000);

      const preview = await user.json<{ images: number; originalsToCopy: number }>(
        ['migrate', ...target, '--dry-run'],
        { env },
      );
      assert.ok(preview.images >= 15 && preview.originalsToCopy >= 15, JSON.stringify(preview));

      const first = await user.json<MoveJSON>(['migrate', ...target], { env });
      assert.equal(first.outcome, 'copied');
      assert.equal(first.isClose, true);
      assert.ok((first.passes[0]?.originals ?? 0) >= 15);
      assert.ok((first.passes[0]?.rungs ?? 0) >= 2, 'the rungs are copied too');

      const [, database = '', , blobs = ''] = target;
      const atTarget = { ...CREDENTIALS, VITRINE_DATABASE: database, VITRINE_BLOBS: blobs };
      await assert.rejects(
        startServer(atTarget),
        /a move of the library [0-9a-f-]+ to this place has not ended/,
      );

      const finished = await user.json<MoveJSON>(['migrate', ...target, '--finish'], { env });
      assert.equal(finished.outcome, 'moved');
      assert.equal(finished.passes.at(-1)?.isLast, true);
      const { rows = 0 } = finished.tables.images ?? {};
      assert.ok(rows > preview.images, 'the images that were added meanwhile are there');
      assert.deepEqual(finished.environment, { VITRINE_DATABASE: database, VITRINE_BLOBS: blobs });

      await writer.stop();
      assert.ok((writer.statuses.get(503) ?? 0) > 0, 'changes were refused since the library was closed');
      assert.deepEqual(
        [...writer.statuses.keys()].filter((status) => ![200, 201, 503].includes(status)),
        [],
      );
      const refused = await source.upload(await picture(1));
      assert.equal(refused.status, 503);
      assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/);

      const moved = await startServer({ ...atTarget, ...finished.environment });
      try {
        const images = await assertSameAnswers(source, moved);
        const texts = new Map(images.map(({ imageID, altText }) => [imageID, altText]));
        for (const [imageID, { altText }] of writer.acknowledged) assert.equal(texts.get(imageID), altText);
        assert.equal(images.length, rows);
        const { body } = await moved.send('GET', '/me', undefined, basic(key.publicKey, key.secretKey));
        assert.equal((body as { publicKey: string }).publicKey, key.publicKey);
        const { imageID } = await moved.addImage(await picture(77_000));
        const change = { altText: 'after the move' };
        const path = `/accounts/${ACCOUNT}/images/${imageID}/metadata`;
        assert.equal((await moved.send('PUT', path, change)).status, 200);
        assert.deepEqual(await verifyLibrary(atTarget), []);
      } finally {
        await moved.close();
      }

      const again = await user.json<MoveJSON>(['migrate', ...target, '--finish'], { env });
      assert.equal(again.outcome, 'moved-before');
      await assert.rejects(
        source.restart(),
        /the library [0-9a-f-]+ was moved to postgres:\/\/.* with s3:\/\//,
      );
      const collection = await user.run(['gc', '--grace', '0'], { env });
      assert.equal(collection.code, 4);
      assert.match(collection.err, /was moved to/);
    } finally {
      await writer.stop();
      await source.close().catch(() => undefined);
    }
  });
} else test('a library moves to PostgreSQL and S3 while clients write', { skip }, () => undefined);
