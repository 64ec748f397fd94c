/**
 * `vitrine export` and `vitrine import`: what arrives, to the byte where that is possible, and what is said of the rest.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import sharp from 'sharp';
import { Accounts, giveNoOriginals } from '../../support/cli-accounts.ts';
import { startWire, User } from '../../support/command.ts';
import { originalPath } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { KEY, startServer, type TestServer } from '../../support/server.ts';

interface Result {
  readonly imageID: string;
  readonly outcome: string;
  readonly kind?: string;
  readonly importedAs?: string;
  readonly note?: string;
}

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('moving an account', () => {
  let server: TestServer;
  let user: User;
  let accounts: Accounts;
  let folder: string;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    user = await User.make();
    accounts = await Accounts.make(server);
    folder = join(user.home, 'copy');
  });
  afterEach(() => user.leave());

  test('brings originals, alt texts and states over, to the byte', async () => {
    await accounts.fill(9);
    const wire = await startWire(server);
    try {
      await user.login(wire.url, { account: accounts.source });
      const exported = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(
        [exported.length, new Set(exported.map(({ kind }) => kind))],
        [9, new Set(['original'])],
      );
      const names = await readdir(join(folder, 'originals'));
      assert.deepEqual(
        new Set(names),
        new Set([...accounts.originals.values()].map((one) => `${digestOf(one)}.jpg`)),
      );
      const manifest = (await readFile(join(folder, 'manifest.jsonl'), 'utf8')).trim().split('\n');
      const [head, ...entries] = manifest.map((line) => JSON.parse(line) as Record<string, string>);
      assert.deepEqual(head, { vitrineExport: 1, serverURL: wire.url, accountID: accounts.source });
      assert.deepEqual(
        entries.map(({ imageID }) => imageID),
        [...accounts.originals.keys()],
      );
      // Again, nothing is fetched.
      wire.reset();
      const again = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(new Set(again.map(({ outcome }) => outcome)), new Set(['exported before']));
      assert.equal(
        wire.asked.some((line) => /original|GET \/images/.test(line)),
        false,
      );
    } finally {
      await wire.close();
    }
    await user.login(server.url, { profile: 'target', account: accounts.target });
    const imported = await user.json<Result[]>(['import', folder, '--profile', 'target']);
    assert.deepEqual(new Set(imported.map(({ outcome }) => outcome)), new Set(['imported']));
    await accounts.checkCopied();
    for (const bytes of accounts.originals.values())
      assert.equal((await server.upload(bytes, { account: accounts.target })).status, 409);
    const again = await user.json<Result[]>(['import', folder, '--profile', 'target']);
    assert.deepEqual(new Set(again.map(({ outcome }) => outcome)), new Set(['there already']));
    await accounts.checkCopied();
  });

  test('exports again what has changed, is damaged or was lost, and nothing else', async () => {
    await accounts.fill(5);
    const wire = await startWire(server);
    try {
      await user.login(wire.url, { account: accounts.source });
      await user.json(['export', folder]);
      const [a = '', b = '', c = '', d = ''] = accounts.originals.keys();
      const file = (imageID: string) =>
        join(folder, 'originals', `${digestOf(accounts.originals.get(imageID) ?? Buffer.of())}.jpg`);
      await writeFile(file(b), 'damaged');
      await rm(file(c));
      await server.fetch(`/accounts/${accounts.source}/images/${d}`, { method: 'DELETE' });
      const replaced = await picture(77);
      await server.upload(replaced, { account: accounts.source, replace: c });
      accounts.originals.set(c, replaced);
      wire.reset();
      const results = await user.json<Result[]>(['export', folder]);
      const of = (imageID: string) => results.find((one) => one.imageID === imageID)?.outcome;
      assert.deepEqual(
        [of(a), of(b), of(c), of(d)],
        ['exported before', 'exported', 'exported', 'exported before'],
      );
      const manifest = await readFile(join(folder, 'manifest.jsonl'), 'utf8');
      assert.match(manifest, new RegExp(`"imageID":"${d}".*"disabledOn"`));
      assert.match(manifest, new RegExp(`"imageID":"${c}".*"digest":"${digestOf(replaced)}"`));
      assert.equal(manifest.trim().split('\n').length, 6);
    } finally {
      await wire.close();
    }
  });

  test('fetches the originals once a server gives them', async () => {
    await accounts.fill(3);
    let given = false;
    const wire = await startWire(server, {
      instead: (request, response) => !given && giveNoOriginals(request, response),
    });
    try {
      await user.login(wire.url, { account: accounts.source });
      await user.json(['export', folder], { code: 6 });
      given = true;
      const results = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(
        new Set(results.map(({ outcome, kind }) => `${outcome} ${kind}`)),
        new Set(['exported original']),
      );
    } finally {
      await wire.close();
    }
  });

  test('imports a picture that failed for one image for the next that has it', async () => {
    const [one, other] = [await picture(1), await picture(2)];
    const first = await server.addImage(one, { account: accounts.source, metadata: { altText: 'First' } });
    await server.addImage(other, { account: accounts.source, metadata: { altText: 'Second' } });
    // Both look the same, and the target refuses what comes first.
    const source = await startWire(server, {
      instead: (request, response) => {
        if (giveNoOriginals(request, response)) return true;
        if (!request.url?.startsWith('/images/')) return false;
        response.writeHead(200, { 'content-type': 'image/jpeg' }).end(one);
        return true;
      },
    });
    let posts = 0;
    const target = await startWire(server, {
      instead: ({ method }, response) => {
        if (method !== 'POST' || ++posts > 1) return false;
        response.writeHead(422).end('{"image":"not today"}');
        return true;
      },
    });
    try {
      await user.login(source.url, { profile: 'source', account: accounts.source });
      await user.login(target.url, { account: accounts.target });
      const results = await user.json<Result[]>(['import', '--from', 'source'], { code: 5 });
      const those = (outcome: string) => results.filter((result) => result.outcome === outcome);
      const [[imported], failed] = [those('imported'), those('failed')];
      assert.equal(failed.length, 1);
      // Whichever came first.
      assert.deepEqual(
        (await accounts.imagesOf(accounts.target)).map(({ altText }) => altText),
        [imported?.imageID === first.imageID ? 'First' : 'Second'],
      );
    } finally {
      await source.close();
      await target.close();
    }
  });

  test('says which pictures it could only get re-encoded or downscaled', async () => {
    const small = await server.addImage(await picture(1), { account: accounts.source });
    const large = await server.addImage(
      await sharp({ create: { width: 3_000, height: 1_500, channels: 3, background: '#123456' } })
        .png()
        .toBuffer(),
      { account: accounts.source, metadata: { altText: 'Wide' } },
    );
    const foreign = await startWire(server, { instead: giveNoOriginals });
    try {
      await user.login(server.url, { account: accounts.target });
      const from = ['--from', foreign.url, '--from-account', accounts.source, '--from-key', KEY.publicKey];
      const results = await user.json<Result[]>(['import', ...from], { input: KEY.secretKey, code: 6 });
      const of = (imageID: string) => results.find((one) => one.imageID === imageID)?.kind;
      assert.deepEqual([of(small.imageID), of(large.imageID)], ['re-encoded', 'downscaled']);
      const wide = (await accounts.imagesOf(accounts.target)).find(({ altText }) => altText === 'Wide');
      const whole = await sharp(await (await fetch(`${wide?.link}?size=0x0`)).bytes()).metadata();
      assert.deepEqual([whole.width, whole.height], [2_048, 1_024]);
      const { code, err } = await user.run(['import', ...from], { input: KEY.secretKey });
      assert.equal(code, 6);
      assert.match(err, /originals of 2 images: 1 were re-encoded at their own size, 1 have the most pixels/);
      assert.equal((await accounts.imagesOf(accounts.target)).length, 2);
    } finally {
      await foreign.close();
    }
  });

  test('takes nothing for an original that is none, and goes on with the others', async () => {
    await accounts.fill(3);
    const [damaged = '', replaced = ''] = accounts.originals.keys();
    const wire = await startWire(server, {
      instead: ({ url = '' }, response) => {
        if (url.endsWith(`${damaged}/original`)) {
          const digest = 'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:';
          response.writeHead(200, { 'content-type': 'image/jpeg', 'repr-digest': digest });
          response.end(accounts.originals.get(damaged));
          return true;
        }
        if (!url.endsWith(`${replaced}/original`)) return false;
        response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Welcome');
        return true;
      },
    });
    try {
      await user.login(wire.url, { account: accounts.source });
      const { code, out } = await user.run(['export', folder, '--parallel', '1']);
      assert.equal(code, 5);
      assert.match(out, new RegExp(`^failed {2}${damaged} {2}.*do not have the digest`, 'm'));
      assert.match(out, new RegExp(`^exported {2}${replaced} {2}re-encoded$`, 'm'));
      assert.match(out, /^2 exported, 0 exported before, 1 failed$/m);
    } finally {
      await wire.close();
    }
  });

  test('gives up soon on an original that is lost, and exports the others', async () => {
    await accounts.fill(4);
    const [lost = '', , late = ''] = accounts.originals.keys();
    const digest = digestOf(accounts.originals.get(lost) ?? Buffer.of());
    await rm(originalPath(server, digest));
    let ill = 0;
    const wire = await startWire(server, {
      // The server itself, or what stands before it, is away for a while: that is worth some patience.
      instead: ({ url = '' }, response) => {
        if (url.endsWith(`${late}/original`) && ill === 0) ill = 1;
        else if (ill === 0 || ill > 4) return false;
        else ill += 1;
        response.writeHead(503, { 'retry-after': '0' }).end('{"error":"restarting"}');
        return true;
      },
    });
    try {
      await user.login(wire.url, { account: accounts.source });
      const { code, out, err } = await user.run(['export', folder, '--parallel', '1']);
      assert.equal(code, 5, out + err);
      assert.match(
        out,
        new RegExp(`^failed {2}${lost} {2}.*the original of the image cannot be read now`, 'm'),
      );
      assert.match(out, new RegExp(`^exported {2}${late} {2}original$`, 'm'));
      assert.match(out, /^3 exported, 0 exported before, 1 failed$/m);
      const asked = (imageID: string) =>
        wire.asked.filter((line) => line.includes(`${imageID}/original`)).length;
      assert.ok(asked(lost) <= 12, `${asked(lost)} times`);
      assert.equal(asked(late), 2);
    } finally {
      await wire.close();
    }
  });

  test('refuses a folder that is not what was exported, and takes nothing from outside it', async () => {
    await accounts.fill(3);
    await user.login(server.url, { account: accounts.source });
    await user.run(['export', folder]);
    await user.login(server.url, { account: accounts.target });
    const other = await user.run(['export', folder]);
    assert.equal(other.code, 4);
    assert.match(other.err, new RegExp(`holds the account ${accounts.source} of`));
    assert.equal((await user.run(['import', user.home])).code, 3);
    const path = join(folder, 'manifest.jsonl');
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    const outside = (lines[1] ?? '').replace(/"digest":"[^"]+"/, '"digest":"../../.config/vitrine/profiles"');
    await writeFile(path, [lines[0], outside, ...lines.slice(2)].join('\n'));
    const [name = ''] = (await readdir(join(folder, 'originals'))).filter((each) =>
      (lines[2] ?? '').includes(each.slice(0, 64)),
    );
    await writeFile(join(folder, 'originals', name), await picture(99));
    const { code, out } = await user.run(['import', folder]);
    assert.equal(code, 5);
    assert.match(out, /^failed {2}\S+ {2}the file \S+ is not what was exported$/m);
    assert.equal((await accounts.imagesOf(accounts.target)).length, 1);
  });

  test('gives what is there already the same metadata, but leaves disabled what was disabled here', async () => {
    const bytes = await picture(1);
    const focalPoint = { x: 0.5, y: 0.125 };
    await server.addImage(bytes, { account: accounts.source, metadata: { altText: 'There', focalPoint } });
    const here = await server.addImage(bytes, { account: accounts.target, metadata: { altText: 'Here' } });
    accounts.originals.set((await accounts.imagesOf(accounts.source))[0]?.imageID ?? '', bytes);
    const wire = await startWire(server);
    try {
      await user.login(wire.url, { profile: 'source', account: accounts.source });
      await user.login(server.url, { account: accounts.target });
      await user.json(['import', '--from', wire.url, '--from-account', accounts.source]);
      const [image] = await accounts.imagesOf(accounts.target);
      assert.deepEqual([image?.altText, image?.focalPoint], ['There', focalPoint]);
      await user.json(['disable', here.imageID]);
      const [result] = await user.json<Result[]>(['import', '--from', 'source']);
      assert.deepEqual(
        [result?.outcome, result?.note],
        ['there already', 'it is disabled here, and stays so'],
      );
      assert.ok((await accounts.imagesOf(accounts.target))[0]?.disabledOn);
    } finally {
      await wire.close();
    }
  });

  test('says what is wrong with its words', async () => {
    await user.login(server.url, { account: accounts.target });
    const cases: [RegExp, string[]][] = [
      [/either a folder or --from/, ['import']],
      [/either a folder or --from/, ['import', folder, '--from', server.url]],
      [/no profile has that server/, ['import', '--from', 'http://127.0.0.1:1']],
      [/--from-key needs --from-account/, ['import', '--from', server.url, '--from-key', 'x']],
      [/whole number from 1 to 32/, ['import', folder, '--parallel', '0']],
    ];
    for (const [text, words] of cases) {
      const { code, err } = await user.run(words);
      assert.equal(code, 2, err);
      assert.match(err, text);
    }
  });
});
