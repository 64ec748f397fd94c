/**
 * `vitrine upload` against a real server: what is sent, what is not sent again, and what is said of it.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createAccount } from '../../support/administration.ts';
import { startWire, User, type Wire, withoutTerminal } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

interface Result {
  readonly file: string;
  readonly outcome: string;
  readonly imageID?: string;
  readonly link?: string;
  readonly error?: string;
}

describe('vitrine upload', () => {
  let server: TestServer;
  let wire: Wire;
  let user: User;
  let account: string;
  let folder: string;
  before(async () => {
    server = await startServer();
    wire = await startWire(server);
  });
  after(async () => {
    await wire.close();
    await server.close();
  });
  beforeEach(async () => {
    account = await createAccount(server);
    user = await User.make();
    await user.login(wire.url, { account });
    folder = join(user.home, 'photos');
    await mkdir(folder);
    wire.reset();
  });
  afterEach(() => user.leave());

  const save = async (name: string, number: number) => {
    await writeFile(join(folder, name), await picture(number));
    return join(folder, name);
  };
  const outcomes = (results: readonly Result[]) =>
    results.map(({ file, outcome }) => [file.slice(folder.length + 1), outcome]);
  const sent = () => wire.asked.filter((line) => line.startsWith('POST')).length;
  const listed = async () =>
    (await (await server.fetch(`/accounts/${account}/images?count=200`)).json()) as ImageJSON[];

  test('takes files, and the pictures of folders and their folders', async () => {
    await mkdir(join(folder, 'more/deep'), { recursive: true });
    await save('a.jpg', 1);
    await save('B.JPEG', 2);
    await save('more/c.jpg', 3);
    await save('more/deep/d.webp', 4);
    await save('more/.hidden.jpg', 5);
    await save('notes.txt', 6);
    await symlink(join(folder, 'notes.txt'), join(folder, 'e.png'));
    await symlink(folder, join(folder, 'more/circle.png'));
    const results = await user.json<Result[]>(['upload', folder, '--alt', 'Mine']);
    assert.deepEqual(outcomes(results), [
      ['B.JPEG', 'uploaded'],
      ['a.jpg', 'uploaded'],
      ['e.png', 'uploaded'],
      ['more/c.jpg', 'uploaded'],
      ['more/deep/d.webp', 'uploaded'],
    ]);
    const images = await listed();
    assert.deepEqual(
      new Set(images.map(({ imageID }) => imageID)),
      new Set(results.map((one) => one.imageID)),
    );
    assert.ok(images.every(({ altText }) => altText === 'Mine'));
    // By its name it is taken, too: the server goes by its bytes.
    const named = await user.json<Result[]>(['upload', join(folder, 'more/.hidden.jpg')]);
    assert.equal(named[0]?.outcome, 'uploaded');
  });

  test('takes patterns as shells do, and each file once', async () => {
    const files = await Promise.all([save('x1.jpg', 1), save('x2.jpg', 2), save('y.jpg', 3)]);
    const words = ['upload', join(folder, 'x*.jpg'), files[0] ?? '', join(folder, '{x1,y}.jpg')];
    const results = await user.json<Result[]>(words);
    assert.deepEqual(
      results.map(({ file }) => file),
      files,
    );
    const odd = await save('[odd].jpg', 4);
    assert.equal((await user.json<Result[]>(['upload', odd]))[0]?.outcome, 'uploaded');
    const none = await user.run(['upload', join(folder, 'z*.jpg')]);
    assert.equal(none.code, 2);
    assert.match(none.err, /z\*\.jpg names no file/);
  });

  test('reports duplicates as such, and they are no failure', async () => {
    const there = await server.addImage(await picture(1), { account });
    await save('a.jpg', 1);
    await save('b.jpg', 2);
    await save('c.jpg', 2);
    const results = await user.json<Result[]>(['upload', folder, '--parallel', '1']);
    assert.deepEqual(outcomes(results), [
      ['a.jpg', 'duplicate'],
      ['b.jpg', 'uploaded'],
      ['c.jpg', 'duplicate'],
    ]);
    assert.deepEqual(
      [results[0]?.imageID, results[0]?.link?.endsWith(there.publicID)],
      [there.imageID, true],
    );
    assert.equal((await listed()).length, 2);
  });

  test('sends nothing a second time, not even duplicates', async () => {
    await server.addImage(await picture(1), { account });
    for (const number of [1, 2, 3]) await save(`${number}.jpg`, number);
    await user.json(['upload', folder]);
    assert.equal(sent(), 3);
    await save('4.jpg', 4);
    wire.reset();
    const results = await user.json<Result[]>(['upload', folder]);
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['uploaded before', 'uploaded before', 'uploaded before', 'uploaded'],
    );
    assert.equal(sent(), 1);
    assert.ok(results.every(({ imageID, link }) => imageID && link));
  });

  test('sends again what the account has no longer', async () => {
    await save('a.jpg', 1);
    const [before] = await user.json<Result[]>(['upload', folder]);
    await server.upload(await picture(9), { account, replace: before?.imageID ?? '' });
    const [after] = await user.json<Result[]>(['upload', folder]);
    assert.equal(after?.outcome, 'uploaded');
    assert.notEqual(after?.imageID, before?.imageID);
    // Another alt text is another state too, of which only the server knows that the bytes are the same.
    await user.json(['alt', after?.imageID ?? '', 'New']);
    const [third] = await user.json<Result[]>(['upload', folder]);
    assert.deepEqual([third?.outcome, third?.imageID], ['duplicate', after?.imageID]);
  });

  test('goes on where a kill has torn it', async () => {
    for (let number = 0; number < 12; number += 1) await save(`${number}.jpg`, number);
    let lines = 0;
    const killed = await user.run(['upload', folder, '--parallel', '3'], {
      onLine: (_line, child) => {
        lines += 1;
        if (lines === 4) child.kill('SIGKILL');
      },
    });
    assert.equal(killed.signal, 'SIGKILL');
    // A line that was torn must cost no more than itself.
    const ledgers = join(user.config, 'uploads');
    const [name = ''] = await readdir(ledgers);
    await writeFile(join(ledgers, name), '{"digest":"torn', { flag: 'a' });
    assert.equal((await stat(join(ledgers, name))).mode & 0o777, 0o600);
    assert.equal((await stat(ledgers)).mode & 0o777, 0o700);
    wire.reset();
    const results = await user.json<Result[]>(['upload', folder]);
    assert.equal(results.filter(({ outcome }) => outcome === 'failed').length, 0);
    assert.ok(sent() <= 9, `${sent()} were sent`);
    assert.equal((await listed()).length, 12);
    wire.reset();
    await user.json(['upload', folder]);
    assert.equal(sent(), 0);
    assert.ok((await readFile(join(ledgers, name), 'utf8')).includes('"torn\n{'));
  });

  test('says which files were refused and why, and does the others', async () => {
    await save('a.jpg', 1);
    await writeFile(join(folder, 'b.png'), 'no picture');
    await writeFile(join(folder, 'c.png'), Buffer.alloc(16 * 1024 * 1024 + 1));
    const { code, out, err } = await user.run(['upload', folder]);
    assert.equal(code, 5);
    assert.equal(err, '2 of 3 files were not uploaded\n');
    assert.match(out, /^uploaded {2}\S+a\.jpg {2}[0-9a-f-]{36}$/m);
    assert.match(out, /^failed {2}\S+b\.png {2}the server answered 422: image: .*PNG, JPEG or WebP/m);
    assert.match(out, /^failed {2}\S+c\.png {2}the file has 16777217 bytes, and the limit is 16777216$/m);
    assert.match(out, /^1 uploaded, 0 uploaded before, 0 duplicate, 2 failed$/m);
    assert.equal(sent(), 2);
  });

  test('stops at once when nothing can be done at all', async () => {
    for (let number = 0; number < 9; number += 1) await save(`${number}.jpg`, number);
    await server.fetch(`/accounts/${account}/suspend`, { method: 'POST' });
    const path = join(user.config, 'profiles.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('test-secret', 'wrong-secret'));
    const { code, err } = await user.run(['upload', folder, '--parallel', '2']);
    assert.equal(code, 4);
    assert.match(err, /^the server answered 401/);
    assert.ok(sent() <= 2);
  });

  test('shows one bar on a terminal, and what people should know above it', {
    skip: withoutTerminal(),
  }, async () => {
    for (const number of [1, 2, 3]) await save(`${number}.jpg`, number);
    await writeFile(join(folder, 'bad\u001b[31m.png'), 'no picture');
    const { code, out: shown } = await user.runOnTerminal(['upload', folder], {});
    assert.equal(code, 5, shown);
    assert.match(shown, /4 of 4 files/);
    assert.match(shown, /failed {2}\S+bad \[31m\.png/);
    assert.match(shown, /3 uploaded, 0 uploaded before, 0 duplicate, 1 failed/);
    assert.equal(shown.includes('\u001b[31m'), false, 'names do not steer the terminal');
    assert.equal(/uploaded {2}\S+1\.jpg/.test(shown), false);
  });
});
