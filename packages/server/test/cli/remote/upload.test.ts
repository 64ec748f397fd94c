/**
 * `vitrine upload` against a real server: the files that it sends, the files that it skips, and its output.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createAccount } from '../../support/administration.ts';
import { signalAtLine, startProxy, type TestProxy, terminalSkipReason, User } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

interface Result {
  readonly file: string;
  readonly outcome: string;
  readonly imageID?: string;
  readonly link?: string;
  readonly error?: string;
}

/**
 * A link that all uploads share, and a server that stops waiting for an upload after a time. Time counts in
 * bytes: while two uploads share the link, each byte takes two units.
 */
class SlowLink {
  /** The number of uploads that the server stopped. */
  stopped = 0;
  readonly #patience: number;
  #open = 0;

  constructor(patience: number) {
    this.#patience = patience;
  }

  readonly intercept = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.method !== 'POST') return false;
    this.#open += 1;
    response.on('close', () => {
      this.#open -= 1;
    });
    let time = 0;
    request.on('data', (chunk: Buffer) => {
      time += chunk.length * this.#open;
      if (time > this.#patience && !response.headersSent) {
        this.stopped += 1;
        response.writeHead(408, { connection: 'close' }).end('{"error":"the request came too slowly"}');
      }
      // Without this pause each upload would end before the next one starts.
      request.pause();
      setTimeout(() => request.resume(), 2);
    });
    return false;
  };
}

describe('vitrine upload', () => {
  let server: TestServer;
  let proxy: TestProxy;
  let user: User;
  let account: string;
  let folder: string;
  before(async () => {
    server = await startServer();
    proxy = await startProxy(server);
  });
  after(async () => {
    await proxy.close();
    await server.close();
  });
  beforeEach(async () => {
    account = await createAccount(server);
    user = await User.create();
    await user.login(proxy.url, { account });
    folder = join(user.home, 'photos');
    await mkdir(folder);
    proxy.clearRequests();
  });
  afterEach(() => user.remove());

  const savePicture = async (name: string, number: number) => {
    await writeFile(join(folder, name), await picture(number));
    return join(folder, name);
  };
  const outcomes = (results: readonly Result[]) =>
    results.map(({ file, outcome }) => [file.slice(folder.length + 1), outcome]);
  const countUploads = () => proxy.requests.filter((line) => line.startsWith('POST')).length;
  const listImages = async () =>
    (await (await server.fetch(`/accounts/${account}/images?count=200`)).json()) as ImageJSON[];

  test('uploads files, and the pictures of folders and their subfolders', async () => {
    await mkdir(join(folder, 'more/deep'), { recursive: true });
    await savePicture('a.jpg', 1);
    await savePicture('B.JPEG', 2);
    await savePicture('more/c.jpg', 3);
    await savePicture('more/deep/d.webp', 4);
    await savePicture('more/.hidden.jpg', 5);
    await savePicture('notes.txt', 6);
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
    const images = await listImages();
    assert.deepEqual(
      new Set(images.map(({ imageID }) => imageID)),
      new Set(results.map((one) => one.imageID)),
    );
    assert.ok(images.every(({ altText }) => altText === 'Mine'));
    // A hidden file is uploaded if an argument names it.
    const hidden = await user.json<Result[]>(['upload', join(folder, 'more/.hidden.jpg')]);
    assert.equal(hidden[0]?.outcome, 'uploaded');
  });

  test('expands patterns like a shell, and uploads each file once', async () => {
    const files = await Promise.all([
      savePicture('x1.jpg', 1),
      savePicture('x2.jpg', 2),
      savePicture('y.jpg', 3),
    ]);
    const words = ['upload', join(folder, 'x*.jpg'), files[0] ?? '', join(folder, '{x1,y}.jpg')];
    const results = await user.json<Result[]>(words);
    assert.deepEqual(
      results.map(({ file }) => file),
      files,
    );
    const odd = await savePicture('[odd].jpg', 4);
    assert.equal((await user.json<Result[]>(['upload', odd]))[0]?.outcome, 'uploaded');
    const none = await user.run(['upload', join(folder, 'z*.jpg')]);
    assert.equal(none.code, 2);
    assert.match(none.err, /z\*\.jpg matches no file/);
  });

  test('reports duplicates without failing', async () => {
    const existing = await server.addImage(await picture(1), { account });
    await savePicture('a.jpg', 1);
    await savePicture('b.jpg', 2);
    await savePicture('c.jpg', 2);
    const results = await user.json<Result[]>(['upload', folder, '--parallel', '1']);
    assert.deepEqual(outcomes(results), [
      ['a.jpg', 'duplicate'],
      ['b.jpg', 'uploaded'],
      ['c.jpg', 'duplicate'],
    ]);
    assert.deepEqual(
      [results[0]?.imageID, results[0]?.link?.endsWith(existing.publicID)],
      [existing.imageID, true],
    );
    assert.equal((await listImages()).length, 2);
  });

  test('does not send uploaded files and duplicates again', async () => {
    await server.addImage(await picture(1), { account });
    for (const number of [1, 2, 3]) await savePicture(`${number}.jpg`, number);
    await user.json(['upload', folder]);
    assert.equal(countUploads(), 3);
    await savePicture('4.jpg', 4);
    proxy.clearRequests();
    const results = await user.json<Result[]>(['upload', folder]);
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['uploaded before', 'uploaded before', 'uploaded before', 'uploaded'],
    );
    assert.equal(countUploads(), 1);
    assert.ok(results.every(({ imageID, link }) => imageID && link));
  });

  test('sends a file again after its image was replaced', async () => {
    await savePicture('a.jpg', 1);
    const [before] = await user.json<Result[]>(['upload', folder]);
    await server.upload(await picture(9), { account, replace: before?.imageID ?? '' });
    const [after] = await user.json<Result[]>(['upload', folder]);
    assert.equal(after?.outcome, 'uploaded');
    assert.notEqual(after?.imageID, before?.imageID);
    // A new alt text changes the image too. Only the server knows that the bytes are the same.
    await user.json(['alt', after?.imageID ?? '', 'New']);
    const [third] = await user.json<Result[]>(['upload', folder]);
    assert.deepEqual([third?.outcome, third?.imageID], ['duplicate', after?.imageID]);
  });

  test('resumes after a kill, also with a cut line in the history', async () => {
    for (let number = 0; number < 12; number += 1) await savePicture(`${number}.jpg`, number);
    const firstRun = await user.run(['upload', folder, '--parallel', '3'], {
      onLine: signalAtLine(4, 'SIGKILL'),
    });
    assert.equal(firstRun.signal, 'SIGKILL');
    // A cut line must not damage the next line.
    const uploads = join(user.configFolder, 'uploads');
    const [name = ''] = await readdir(uploads);
    await writeFile(join(uploads, name), '{"digest":"torn', { flag: 'a' });
    assert.equal((await stat(join(uploads, name))).mode & 0o777, 0o600);
    assert.equal((await stat(uploads)).mode & 0o777, 0o700);
    proxy.clearRequests();
    const results = await user.json<Result[]>(['upload', folder]);
    assert.equal(results.filter(({ outcome }) => outcome === 'failed').length, 0);
    assert.ok(countUploads() <= 9, `${countUploads()} uploads`);
    assert.equal((await listImages()).length, 12);
    proxy.clearRequests();
    await user.json(['upload', folder]);
    assert.equal(countUploads(), 0);
    assert.ok((await readFile(join(uploads, name), 'utf8')).includes('"torn\n{'));
  });

  test('prints the reason of each failed file, and uploads the others', async () => {
    await savePicture('a.jpg', 1);
    await writeFile(join(folder, 'b.png'), 'no picture');
    await writeFile(join(folder, 'c.png'), Buffer.alloc(16 * 1024 * 1024 + 1));
    const { code, out, err } = await user.run(['upload', folder]);
    assert.equal(code, 5);
    assert.equal(err, '2 of 3 files were not uploaded\n');
    assert.match(out, /^uploaded {2}\S+a\.jpg {2}[0-9a-f-]{36}$/m);
    assert.match(out, /^failed {2}\S+b\.png {2}the server answered 422: image: .*PNG, JPEG or WebP/m);
    assert.match(out, /^failed {2}\S+c\.png {2}the file has 16777217 bytes: limit 16777216 bytes$/m);
    assert.match(out, /^1 uploaded, 0 uploaded before, 0 duplicate, 2 failed$/m);
    assert.equal(countUploads(), 2);
  });

  test('uploads the other files next to a hidden folder and to files that cannot be read', async () => {
    await mkdir(join(folder, '.thumbnails'));
    await savePicture('.thumbnails/t.jpg', 1);
    await savePicture('a.jfif', 2);
    await savePicture('b.jpe', 3);
    await symlink('loop.jpg', join(folder, 'loop.jpg'));
    const { code, out, err } = await user.run(['upload', folder, '/dev/null']);
    assert.equal(code, 5);
    assert.equal(err, '2 of 4 files were not uploaded\n');
    assert.match(out, /^failed {2}\S+loop\.jpg {2}the file cannot be read: ELOOP/m);
    assert.match(out, /^failed {2}\/dev\/null {2}it is neither a file nor a folder$/m);
    assert.equal((await listImages()).length, 2);
    assert.equal(countUploads(), 2);
  });

  test('uploads everything over a link on which the server stops several uploads at once', async () => {
    const size = 300_000;
    const link = new SlowLink(1.6 * size);
    const slowProxy = await startProxy(server, { intercept: link.intercept });
    try {
      await user.login(slowProxy.url, { account });
      for (const number of [1, 2, 3, 4, 5, 6]) {
        const bytes = await picture(number);
        await writeFile(
          join(folder, `${number}.jpg`),
          Buffer.concat([bytes, Buffer.alloc(size - bytes.length)]),
        );
      }
      const { code, out, err } = await user.run(['upload', folder, '--parallel', '4']);
      assert.equal(code, 0, `${out}${err}`);
      assert.match(out, /^6 uploaded, 0 uploaded before, 0 duplicate, 0 failed$/m);
      assert.equal((await listImages()).length, 6);
      const messages = err.match(/^the link is too slow: .*; sending it again, with /gm) ?? [];
      assert.equal(messages.length, link.stopped);
      assert.equal(err.split('\n').length, messages.length + 1);
    } finally {
      await slowProxy.close();
    }
  });

  test('prints the state after Ctrl-C, and the next run continues with one line for what is there', async () => {
    for (let number = 0; number < 40; number += 1) await savePicture(`${number + 10}.jpg`, number);
    const { code, out, err } = await user.run(['upload', folder], { onLine: signalAtLine(4, 'SIGINT') });
    assert.equal(code, 130);
    const [, uploaded] = /^(\d+) uploaded, 0 uploaded before, 0 duplicate, 0 failed, /m.exec(out) ?? [];
    assert.ok(Number(uploaded) >= 4 && Number(uploaded) < 40, out);
    const rest = 40 - Number(uploaded);
    assert.match(out, new RegExp(`, ${rest} not uploaded\\n$`));
    assert.equal(out.match(/^not uploaded {2}\S+\.jpg$/gm)?.length, Math.min(rest, 20));
    assert.equal(
      err,
      `interrupted by SIGINT: the account has ${uploaded} of 40 files; run the same command again to upload the rest\n`,
    );
    const second = await user.run(['upload', folder]);
    assert.equal(second.code, 0, second.err);
    // A picture may have arrived without an answer.
    assert.equal((await listImages()).length, 40);
    assert.match(second.out, new RegExp(`^uploaded before {2}${uploaded} files?$`, 'm'));
    assert.equal(second.out.match(/^uploaded before/gm)?.length, 1);
  });

  test('prints JSON of all files after an interruption', async () => {
    for (let number = 0; number < 30; number += 1) await savePicture(`${number + 10}.jpg`, number);
    const stop = new AbortController();
    const listener = await startProxy(server, {
      onResponse: (line) => line.startsWith('POST') && stop.abort(),
    });
    try {
      await user.login(listener.url, { account });
      const { code, out } = await user.run(['upload', folder, '--json'], {
        onStart: (child) => stop.signal.addEventListener('abort', () => child.kill('SIGTERM')),
      });
      assert.equal(code, 143);
      const results = JSON.parse(out) as Result[];
      assert.equal(results.length, 30);
      assert.ok(results.some(({ outcome }) => outcome === 'not uploaded'));
    } finally {
      await listener.close();
    }
  });

  test('stops at once when the server rejects the credentials', async () => {
    for (let number = 0; number < 9; number += 1) await savePicture(`${number}.jpg`, number);
    await server.fetch(`/accounts/${account}/suspend`, { method: 'POST' });
    const path = join(user.configFolder, 'profiles.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('test-secret', 'wrong-secret'));
    const { code, err } = await user.run(['upload', folder, '--parallel', '2']);
    assert.equal(code, 4);
    assert.match(err, /^the server answered 401/);
    assert.ok(countUploads() <= 2);
  });

  test('shows a progress bar on a terminal, and failures above it', {
    skip: terminalSkipReason(),
  }, async () => {
    for (const number of [1, 2, 3]) await savePicture(`${number}.jpg`, number);
    await writeFile(join(folder, 'bad\u001b[35m.png'), 'no picture');
    const { code, out: shown } = await user.runOnTerminal(['upload', folder], {});
    assert.equal(code, 5, shown);
    assert.match(shown, /4 of 4 files/);
    assert.match(shown, /failed {2}\S+bad \[35m\.png/);
    assert.match(shown, /3 uploaded, 0 uploaded before, 0 duplicate, 1 failed/);
    assert.equal(shown.includes('\u001b[35m'), false, 'a file name does not control the terminal');
    assert.equal(/uploaded {2}\S+1\.jpg/.test(shown), false);
  });
});
