/**
 * `vitrine verify`, `gc`, `backup`, `restore` and `doctor` as operators run them: processes of their own beside a server.
 * What they find and do is in test/maintenance; here is what they say, and how they end.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Readable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { type Check, networkDisk } from '../../../src/cli/admin/doctor-checks.ts';
import { User, withoutTerminal } from '../../support/command.ts';
import { besides, digestOf, originalPath } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { startServer, type TestServer } from '../../support/server.ts';

let user: User;
let folder: string;
before(async () => {
  user = await User.make();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-operations-'));
});
after(async () => {
  await user.leave();
  await rm(folder, { recursive: true, force: true });
});

describe('the commands of maintenance', () => {
  let server: TestServer;
  let env: Record<string, string>;
  let bytes: Buffer;
  beforeEach(async () => {
    server = await startServer();
    env = { VITRINE_DATA: server.folder };
    bytes = await picture(1);
    await server.added(bytes);
  });
  afterEach(() => server.close());

  test('verify is silent about what is well, names what is not, and repairs what it may', async () => {
    const well = await user.run(['verify'], { env });
    assert.deepEqual(
      [well.code, well.out, well.err],
      [0, '1 original checked, 0 findings, 0 repaired\n', ''],
    );

    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('update accounts set byte_count = 1');
    raw.close();
    const found = await user.run(['verify', '--no-rungs'], { env });
    assert.equal(found.code, 1);
    assert.match(
      found.out,
      /^counters: wrong counters of the account: bytes 1 instead of \d+ \(account [0-9a-f-]{36}\)$/m,
    );
    assert.equal(found.err, 'something is wrong: 1 finding\n');
    const repaired = await user.run(['verify', '--repair'], { env });
    assert.equal(repaired.code, 0, repaired.err);
    assert.match(repaired.out, /: repaired\n1 original checked, 1 finding, 1 repaired\n$/);

    await rm(originalPath(server, digestOf(bytes)));
    const told = await user.json<{ originals: number; findings: { kind: string }[] }>(
      ['verify', '--repair'],
      {
        env,
        code: 1,
      },
    );
    assert.deepEqual([told.originals, told.findings.map(({ kind }) => kind)], [1, ['original-missing']]);
  });

  test('verify prints what it finds as one JSON object', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('update accounts set byte_count = 1');
    raw.close();
    await rm(originalPath(server, digestOf(bytes)));
    const told = await user.json<{ originals: number; findings: { kind: string }[]; complete: boolean }>(
      ['verify', '--no-rungs'],
      { env, code: 1 },
    );
    assert.deepEqual(
      [told.originals, told.complete, told.findings.map(({ kind }) => kind)],
      [1, true, ['counters', 'original-missing']],
    );
  });

  describe('on a terminal', { skip: withoutTerminal() }, () => {
    test('verify shows a bar, and what it finds above it', async () => {
      await rm(originalPath(server, digestOf(bytes)));
      const { code, out } = await user.runOnTerminal(['verify', '--no-rungs'], env);
      assert.equal(code, 1, out);
      assert.match(out, /1 of 1 originals, \S+ left/);
      const line = out.indexOf('original-missing: the original is not stored');
      assert.ok(line > out.indexOf('0 of 1') && line < out.lastIndexOf('1 of 1'), JSON.stringify(out));
    });

    test('gc, backup and restore show bars as well', async () => {
      await besides(env, async ({ blobs }) => {
        await using file = await blobs.stage(Readable.from([Buffer.from('nobody names it')]), { limit: 100 });
        await blobs.keepOriginal(file);
      });
      const collected = await user.runOnTerminal(['gc', '--grace', '0'], env);
      assert.equal(collected.code, 0, collected.out);
      assert.match(collected.out, /2 of 2 originals, \S+ left/);
      assert.match(collected.out, /original [0-9a-f]{64}, 15 bytes\r\n/);
      assert.match(collected.out, /removed +1 original with all rungs/);
      const file = join(folder, 'on-a-terminal.tar');
      const kept = await user.runOnTerminal(['backup', file], env);
      assert.equal(kept.code, 0, kept.out);
      assert.match(kept.out, /1 of 1 originals, \S+ left/);
      const brought = await user.runOnTerminal(['restore', file], {
        VITRINE_DATA: join(folder, 'on-a-terminal'),
      });
      assert.equal(brought.code, 0, brought.out);
      assert.match(brought.out, /100 %, \S+ left/);
      // What stays on the screen is what was done, and no bar.
      assert.match(brought.out, /\u001b\[2Krecords .*\r\noriginals +1\r\nbytes +\d+\r\nnext .*\r\n$/s);
    });
  });

  test('gc says what it would remove, and then removes it', async () => {
    const [image] = (await (
      await server.fetch('/accounts/3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb/images')
    ).json()) as {
      imageID: string;
    }[];
    await server.added(await picture(2), { replace: image?.imageID ?? '' });
    const waiting = await user.json<{ originals: number; waiting: number }>(['gc'], { env });
    assert.deepEqual([waiting.originals, waiting.waiting], [0, 1]);
    const planned = await user.run(['gc', '--grace', '0', '--dry-run'], { env });
    assert.match(
      planned.out,
      new RegExp(
        `^original ${digestOf(bytes)}, ${bytes.length} bytes\nwould remove +1 original with all rungs`,
      ),
    );
    assert.ok(await stat(originalPath(server, digestOf(bytes))));
    const done = await user.run(['gc', '--grace', '0'], { env });
    assert.match(
      done.out,
      /^removed +1 original with all rungs, 0 rungs without an original, 0 unfinished uploads$/m,
    );
    await assert.rejects(stat(originalPath(server, digestOf(bytes))));
    assert.equal((await user.run(['gc', '--grace', 'long'], { env })).code, 2);
  });

  test('backup and restore tell what they moved, and how they fail', async () => {
    const file = join(folder, 'library.tar');
    const done = await user.run(['backup', file], { env });
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /^records +1 account, 1 key, 1 image, \d+ lines of the audit trail, \d+ others$/m);
    assert.match(done.out, new RegExp(`^originals +1\nbytes +${bytes.length}$`, 'm'));
    const place = { VITRINE_DATA: join(folder, 'restored') };
    const summary = await user.json<{ originals: number }>(['restore', file], { env: place });
    assert.equal(summary.originals, 1);
    const again = await user.run(['restore', file], { env: place });
    assert.equal(again.code, 4);
    assert.match(again.err, /^the blobs are not empty/);
    assert.equal((await user.run(['verify'], { env: place })).code, 0);

    await rm(originalPath(server, digestOf(bytes)));
    const partly = await user.run(['backup', file], { env });
    assert.equal(partly.code, 5);
    assert.match(partly.out, new RegExp(`^missing: original ${digestOf(bytes)}: it is not stored`));
    const nowhere = await user.run(['backup', join(folder, 'absent', 'x.tar')], { env });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.err, /^ENOENT/);
    const onFolder = await user.run(['backup', folder], { env });
    assert.deepEqual([onFolder.code, onFolder.err], [2, `${folder} is a folder: name a file\n`]);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const onPipe = await user.run(['backup', pipe], { env });
    assert.deepEqual([onPipe.code, onPipe.err], [2, `${pipe} is no file: name a file\n`]);
    assert.ok((await stat(pipe)).isFIFO());
    const mistyped = { VITRINE_DATA: join(folder, 'mistyped') };
    const absent = await user.run(['restore', join(folder, 'absent.tar')], { env: mistyped });
    assert.equal(absent.code, 2);
    await assert.rejects(stat(mistyped.VITRINE_DATA), 'no library is left behind');
  });

  test('those of a library that is not there say so, and make none', async () => {
    const place = { VITRINE_DATA: join(folder, 'nothing') };
    for (const words of [['verify'], ['gc'], ['backup', join(folder, 'x.tar')]]) {
      const outcome = await user.run(words, { env: place });
      assert.equal(outcome.code, 3, words.join(' '));
      assert.match(outcome.err, /there is no library here/);
    }
    await assert.rejects(stat(place.VITRINE_DATA));
  });
});

describe('vitrine doctor', () => {
  /** What it says of each thing it looks at. */
  async function examined(env: Record<string, string>, code = 0): Promise<Map<string, Check>> {
    const checks = await user.json<Check[]>(['doctor'], { env: { VITRINE_PORT: '0', ...env }, code });
    return new Map(checks.map((check) => [check.name, check]));
  }

  test('finds a machine well before there is a library, and makes none', async () => {
    const place = join(folder, 'before');
    const checks = await examined({ VITRINE_DATA: place });
    for (const [name, { outcome, text }] of checks) assert.notEqual(outcome, 'fail', `${name}: ${text}`);
    assert.match(checks.get('database')?.text ?? '', /will be made at the first start/);
    assert.match(checks.get('decoder')?.text ?? '', /read and wrote test pictures/);
    assert.match(checks.get('sharp')?.text ?? '', /libvips .*JPEG, PNG, WebP and AVIF/);
    await assert.rejects(stat(place));
  });

  test('finds a server that works, and prints lines for people', async () => {
    const server = await startServer();
    try {
      const env = { VITRINE_DATA: server.folder, VITRINE_PORT: new URL(server.url).port };
      const { code, out } = await user.run(['doctor'], { env });
      assert.equal(code, 0, out);
      assert.match(out, /^ok {4}database +\S+vitrine\.db answers, with the schema \d{4}-/m);
      assert.match(out, /^ok {4}port +a server answers at http:\/\/127\.0\.0\.1:\d+, and is ready$/m);
    } finally {
      await server.close();
    }
  });

  test('knows disks that several machines may share', () => {
    // As linux/magic.h has them: NFS, SMB, CIFS, SMB2; and ext4, btrfs, xfs, overlayfs, tmpfs.
    assert.deepEqual([0x6969, 0x517b, 0xff534d42, 0xfe534d42].map(networkDisk), ['NFS', 'SMB', 'SMB', 'SMB']);
    for (const local of [0xef53, 0x9123683e, 0x58465342, 0x794c7630, 0x01021994]) {
      assert.equal(networkDisk(local), undefined);
    }
  });

  test('tells every problem of the configuration', async () => {
    const { code, out } = await user.run(['doctor'], { env: { VITRINE_PORT: 'x', VITRINE_DTA: 'y' } });
    assert.equal(code, 1);
    assert.match(out, /^FAIL {2}configuration +VITRINE_PORT is "x"/m);
    assert.match(out, /^FAIL {2}configuration +VITRINE_DTA .*did you mean VITRINE_DATA/m);
  });

  test('tells what would keep the server from starting, and what is unwise', async () => {
    const place = join(folder, 'ill');
    await mkdir(place);
    await chmod(place, 0o755);
    await writeFile(join(place, 'vitrine.db'), 'no database, but some other file of more than a few bytes');
    await writeFile(join(place, 'blobs'), 'a file');
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    // Answers nothing that a server of ours would.
    other.on('connection', (socket) => socket.destroy());
    const { port } = other.address() as { port: number };
    try {
      const checks = await examined(
        {
          VITRINE_DATA: place,
          VITRINE_PORT: `${port}`,
          VITRINE_PUBLIC_URL: 'http://images.example',
          VITRINE_BOOTSTRAP_ACCOUNT: '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb',
          VITRINE_BOOTSTRAP_KEY: 'ci:hunter2',
        },
        1,
      );
      const outcome = (name: string) => checks.get(name)?.outcome;
      assert.deepEqual(
        ['data folder', 'blobs', 'database', 'port', 'public URL', 'bootstrap key', 'decoder'].map(outcome),
        ['warn', 'fail', 'fail', 'fail', 'warn', 'warn', 'ok'],
      );
      assert.match(checks.get('port')?.text ?? '', /something else than Vitrine/);
      assert.equal(JSON.stringify([...checks]).includes('hunter2'), false);
      assert.match(await readFile(join(place, 'vitrine.db'), 'utf8'), /^no database/);
    } finally {
      other.close();
    }
    const lost = await examined(
      { VITRINE_DATABASE: 'postgres://a:hunter2@127.0.0.1:1/x', VITRINE_DATA: folder },
      1,
    );
    assert.equal(lost.get('database')?.outcome, 'fail');
    assert.match(lost.get('database')?.text ?? '', /ECONNREFUSED/);
    assert.equal(JSON.stringify([...lost]).includes('hunter2'), false);
  });
});
