/**
 * The output and exit codes of `vitrine verify`, `gc`, `backup` and `restore` while a server runs. The tests
 * of the work itself are in test/maintenance.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Readable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { terminalSkipReason, User } from '../../support/command.ts';
import { digestOf, originalPath, runWithStores } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

let user: User;
let folder: string;
before(async () => {
  user = await User.create();
  folder = await mkdtemp(join(tmpdir(), 'vitrine-maintenance-'));
});
after(async () => {
  await user.remove();
  await rm(folder, { recursive: true, force: true });
});

describe('the maintenance commands', () => {
  let server: TestServer;
  let env: Record<string, string>;
  let bytes: Buffer;
  beforeEach(async () => {
    server = await startServer();
    env = { VITRINE_DATA: server.folder };
    bytes = await picture(1);
    await server.addImage(bytes);
  });
  afterEach(() => server.close());

  function damageCounters(): void {
    const database = new DatabaseSync(join(server.folder, 'vitrine.db'));
    database.exec('update accounts set byte_count = 1');
    database.close();
  }

  test('verify prints each finding, and repairs only derived data', async () => {
    const intactReport = await user.run(['verify'], { env });
    assert.deepEqual(
      [intactReport.code, intactReport.out, intactReport.err],
      [0, '1 original checked, 0 findings, 0 repaired\n', ''],
    );

    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('update accounts set byte_count = 1');
    raw.close();
    const first = await user.run(['verify', '--no-rungs'], { env });
    assert.equal(first.code, 1);
    assert.match(
      first.out,
      /^counters: wrong counters of the account: bytes 1 instead of \d+ \(account [0-9a-f-]{36}\)$/m,
    );
    assert.equal(first.err, 'problems found: 1 finding\n');
    const repaired = await user.run(['verify', '--repair'], { env });
    assert.equal(repaired.code, 0, repaired.err);
    assert.match(repaired.out, /: repaired\n1 original checked, 1 finding, 1 repaired\n$/);

    await rm(originalPath(server, digestOf(bytes)));
    const report = await user.json<{ originals: number; findings: { kind: string }[] }>(
      ['verify', '--repair'],
      {
        env,
        code: 1,
      },
    );
    assert.deepEqual([report.originals, report.findings.map(({ kind }) => kind)], [1, ['original-missing']]);
  });

  test('verify prints its findings as one JSON object', async () => {
    damageCounters();
    await rm(originalPath(server, digestOf(bytes)));
    const report = await user.json<{ originals: number; findings: { kind: string }[]; complete: boolean }>(
      ['verify', '--no-rungs'],
      { env, code: 1 },
    );
    assert.deepEqual(
      [report.originals, report.complete, report.findings.map(({ kind }) => kind)],
      [1, true, ['counters', 'original-missing']],
    );
  });

  describe('on a terminal', { skip: terminalSkipReason() }, () => {
    test('verify shows a progress bar, and its findings above the bar', async () => {
      await rm(originalPath(server, digestOf(bytes)));
      const { code, out } = await user.runOnTerminal(['verify', '--no-rungs'], env);
      assert.equal(code, 1, out);
      assert.match(out, /1 of 1 originals, \S+ left/);
      const line = out.indexOf('original-missing: the original is not stored');
      assert.ok(line > out.indexOf('0 of 1') && line < out.lastIndexOf('1 of 1'), JSON.stringify(out));
    });

    test('gc, backup and restore show progress bars', async () => {
      await runWithStores(env, async ({ blobs }) => {
        await using file = await blobs.stage(Readable.from([Buffer.from('not referenced!')]), { limit: 100 });
        await blobs.storeOriginal(file);
      });
      const gc = await user.runOnTerminal(['gc', '--grace', '0'], env);
      assert.equal(gc.code, 0, gc.out);
      assert.match(gc.out, /2 of 2 originals, \S+ left/);
      assert.match(gc.out, /original [0-9a-f]{64}, 15 bytes\r\n/);
      assert.match(gc.out, /removed +1 original with all rungs/);
      const file = join(folder, 'on-a-terminal.tar');
      const backup = await user.runOnTerminal(['backup', file], env);
      assert.equal(backup.code, 0, backup.out);
      assert.match(backup.out, /1 of 1 originals, \S+ left/);
      const restore = await user.runOnTerminal(['restore', file], {
        VITRINE_DATA: join(folder, 'on-a-terminal'),
      });
      assert.equal(restore.code, 0, restore.out);
      assert.match(restore.out, /100 %, \S+ left/);
      // The results stay on the screen, and the bar is removed.
      assert.match(restore.out, /\u001b\[2Krecords .*\r\noriginals +1\r\nbytes +\d+\r\nnext .*\r\n$/s);
    });
  });

  test('gc lists with --dry-run what it removes without it', async () => {
    const [image] = (await server.send('GET', `/accounts/${ACCOUNT}/images`)).body as ImageJSON[];
    await server.addImage(await picture(2), { replace: image?.imageID ?? '' });
    const summary = await user.json<{ originals: number; waiting: number }>(['gc'], { env });
    assert.deepEqual([summary.originals, summary.waiting], [0, 1]);
    const dryRun = await user.run(['gc', '--grace', '0', '--dry-run'], { env });
    assert.match(
      dryRun.out,
      new RegExp(
        `^original ${digestOf(bytes)}, ${bytes.length} bytes\nwould remove +1 original with all rungs`,
      ),
    );
    assert.ok(await stat(originalPath(server, digestOf(bytes))));
    const done = await user.run(['gc', '--grace', '0'], { env });
    assert.match(done.out, /^removed +1 original with all rungs, 0 other rungs, 0 unfinished uploads$/m);
    await assert.rejects(stat(originalPath(server, digestOf(bytes))));
    assert.equal((await user.run(['gc', '--grace', 'long'], { env })).code, 2);
  });

  test('gc sweeps the part of the store that --sweep says', async () => {
    const orphan = originalPath(server, 'ab'.repeat(32));
    await mkdir(dirname(orphan), { recursive: true });
    await writeFile(orphan, 'not referenced');
    const gc = (sweep: string) => user.run(['gc', '--grace', '0', '--sweep', sweep], { env });
    const none = await gc('none');
    assert.match(none.out, /^removed +0 originals .*\nbytes +0\nwaiting .*\nswept +0 % of the store\n$/);
    const some = await gc('12.5%');
    assert.match(some.out, /^removed +1 original .*\nbytes +14\nwaiting .*\nswept +12.5 % of the store\n$/m);
    for (const invalid of ['5', '101%', '-1%', 'most', '5 %']) {
      const { code, err } = await gc(invalid);
      assert.equal(code, 2, invalid);
      assert.match(err, /It must be all, none, or a percentage from 0% to 100%\./);
    }
  });

  test('gc names the blobs that the store fails to remove, and ends with exit code 5', async () => {
    const [image] = (await server.send('GET', `/accounts/${ACCOUNT}/images`)).body as ImageJSON[];
    await server.addImage(await picture(2), { replace: image?.imageID ?? '' });
    // Removed originals are first copied into this folder.
    const obstacle = join(server.folder, 'blobs/removed');
    await rm(obstacle, { recursive: true, force: true });
    await writeFile(obstacle, 'not a folder');
    const failed = await user.run(['gc', '--grace', '0'], { env });
    assert.deepEqual([failed.code, failed.err], [5, 'the store failed 1 time: run gc again\n']);
    assert.match(failed.out, new RegExp(`^failed: original ${digestOf(bytes)}: .+\nremoved +0 originals`));
    const report = await user.json<{ failed: number; failures: { subject: string; reason: string }[] }>(
      ['gc', '--grace', '0'],
      { env, code: 5 },
    );
    assert.deepEqual(
      [report.failed, report.failures.map(({ subject }) => subject)],
      [1, [`original ${digestOf(bytes)}`]],
    );
    await rm(obstacle);
    assert.equal((await user.json<{ originals: number }>(['gc', '--grace', '0'], { env })).originals, 1);
  });

  test('backup and restore print the numbers of records and originals, and the reasons of failures', async () => {
    const file = join(folder, 'library.tar');
    const done = await user.run(['backup', file], { env });
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /^records +1 account, 1 key, 1 image, \d+ lines of the audit trail, \d+ others$/m);
    assert.match(done.out, new RegExp(`^originals +1\nbytes +${bytes.length}$`, 'm'));
    const target = { VITRINE_DATA: join(folder, 'restored') };
    const summary = await user.json<{ originals: number }>(['restore', file], { env: target });
    assert.equal(summary.originals, 1);
    const again = await user.run(['restore', file], { env: target });
    assert.equal(again.code, 4);
    assert.match(again.err, /^the blobs are not empty/);
    assert.equal((await user.run(['verify'], { env: target })).code, 0);

    await rm(originalPath(server, digestOf(bytes)));
    const partly = await user.run(['backup', file], { env });
    assert.equal(partly.code, 5);
    assert.match(partly.out, new RegExp(`^missing: original ${digestOf(bytes)}: it is not stored`));
    const nowhere = await user.run(['backup', join(folder, 'absent', 'x.tar')], { env });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.err, /^ENOENT/);
    const onFolder = await user.run(['backup', folder], { env });
    assert.deepEqual([onFolder.code, onFolder.err], [2, `${folder} is a folder: give the path of a file\n`]);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const onPipe = await user.run(['backup', pipe], { env });
    assert.deepEqual(
      [onPipe.code, onPipe.err],
      [2, `${pipe} is not a regular file: give the path of a file\n`],
    );
    assert.ok((await stat(pipe)).isFIFO());
    const mistypedEnv = { VITRINE_DATA: join(folder, 'mistyped') };
    const absent = await user.run(['restore', join(folder, 'absent.tar')], { env: mistypedEnv });
    assert.equal(absent.code, 2);
    await assert.rejects(stat(mistypedEnv.VITRINE_DATA), 'no library is left behind');
  });

  test('verify, gc and backup fail without a library, and create none', async () => {
    const missingEnv = { VITRINE_DATA: join(folder, 'missing') };
    for (const words of [['verify'], ['gc'], ['backup', join(folder, 'x.tar')]]) {
      const outcome = await user.run(words, { env: missingEnv });
      assert.equal(outcome.code, 3, words.join(' '));
      assert.match(outcome.err, /there is no library at/);
    }
    await assert.rejects(stat(missingEnv.VITRINE_DATA));
  });
});
