/**
 * `vitrine export` and `vitrine import`: the copied bytes and metadata, and the reports about incomplete
 * copies.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { rejectOriginals, setUpCopy } from '../../support/cli-accounts.ts';
import { startProxy } from '../../support/command.ts';
import { digestOf, originalPath } from '../../support/libraries.ts';
import { picture } from '../../support/sample.ts';
import { KEY } from '../../support/server.ts';

interface Result {
  readonly imageID: string;
  readonly outcome: string;
  readonly kind?: string;
  readonly importedAs?: string;
  readonly note?: string;
}

describe('vitrine export and import', () => {
  const setup = setUpCopy();

  test('copies original bytes, metadata and disabled states', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(9);
    const proxy = await startProxy(server);
    try {
      await user.login(proxy.url, { account: accounts.source });
      const exportResults = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(
        [exportResults.length, new Set(exportResults.map(({ kind }) => kind))],
        [9, new Set(['original'])],
      );
      const names = await readdir(join(folder, 'originals'));
      assert.deepEqual(
        new Set(names),
        new Set([...accounts.originals.values()].map((one) => `${digestOf(one)}.jpg`)),
      );
      const manifest = (await readFile(join(folder, 'manifest.jsonl'), 'utf8')).trim().split('\n');
      const [head, ...entries] = manifest.map((line) => JSON.parse(line) as Record<string, string>);
      assert.deepEqual(head, { vitrineExport: 1, serverURL: proxy.url, accountID: accounts.source });
      assert.deepEqual(
        entries.map(({ imageID }) => imageID),
        [...accounts.originals.keys()],
      );
      // The second export downloads no picture.
      proxy.clearRequests();
      const again = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(new Set(again.map(({ outcome }) => outcome)), new Set(['exported before']));
      assert.equal(
        proxy.requests.some((line) => /original|GET \/images/.test(line)),
        false,
      );
    } finally {
      await proxy.close();
    }
    await user.login(server.url, { profile: 'target', account: accounts.target });
    const importResults = await user.json<Result[]>(['import', folder, '--profile', 'target']);
    assert.deepEqual(new Set(importResults.map(({ outcome }) => outcome)), new Set(['imported']));
    await accounts.assertCopied();
    for (const bytes of accounts.originals.values())
      assert.equal((await server.upload(bytes, { account: accounts.target })).status, 409);
    const again = await user.json<Result[]>(['import', folder, '--profile', 'target']);
    assert.deepEqual(new Set(again.map(({ outcome }) => outcome)), new Set(['there already']));
    await accounts.assertCopied();
  });

  test('a second export fetches only changed, damaged and missing pictures', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(5);
    const proxy = await startProxy(server);
    try {
      await user.login(proxy.url, { account: accounts.source });
      await user.json(['export', folder]);
      const [a = '', b = '', c = '', d = ''] = accounts.originals.keys();
      const file = (imageID: string) =>
        join(folder, 'originals', `${digestOf(accounts.originals.get(imageID) ?? Buffer.of())}.jpg`);
      await writeFile(file(b), 'damaged');
      await rm(file(c));
      await server.fetch(`/accounts/${accounts.source}/images/${d}`, { method: 'DELETE' });
      const replacement = await picture(77);
      await server.upload(replacement, { account: accounts.source, replace: c });
      accounts.originals.set(c, replacement);
      proxy.clearRequests();
      const results = await user.json<Result[]>(['export', folder]);
      const of = (imageID: string) => results.find((one) => one.imageID === imageID)?.outcome;
      assert.deepEqual(
        [of(a), of(b), of(c), of(d)],
        ['exported before', 'exported', 'exported', 'exported before'],
      );
      const manifest = await readFile(join(folder, 'manifest.jsonl'), 'utf8');
      assert.match(manifest, new RegExp(`"imageID":"${d}".*"disabledOn"`));
      assert.match(manifest, new RegExp(`"imageID":"${c}".*"digest":"${digestOf(replacement)}"`));
      assert.equal(manifest.trim().split('\n').length, 6);
    } finally {
      await proxy.close();
    }
  });

  test('a second export replaces renditions when the server gives originals', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(3);
    let givesOriginals = false;
    const proxy = await startProxy(server, {
      intercept: (request, response) => !givesOriginals && rejectOriginals(request, response),
    });
    try {
      await user.login(proxy.url, { account: accounts.source });
      await user.json(['export', folder], { code: 6 });
      givesOriginals = true;
      const results = await user.json<Result[]>(['export', folder]);
      assert.deepEqual(
        new Set(results.map(({ outcome, kind }) => `${outcome} ${kind}`)),
        new Set(['exported original']),
      );
    } finally {
      await proxy.close();
    }
  });

  test('retries a picture for the next image with the same bytes after a failure', async () => {
    const { server, user, accounts } = setup;
    const [one, other] = [await picture(1), await picture(2)];
    const first = await server.addImage(one, { account: accounts.source, metadata: { altText: 'First' } });
    await server.addImage(other, { account: accounts.source, metadata: { altText: 'Second' } });
    // Both images have the same rendition, and the target rejects the first upload.
    const source = await startProxy(server, {
      intercept: (request, response) => {
        if (rejectOriginals(request, response)) return true;
        if (!request.url?.startsWith('/images/')) return false;
        response.writeHead(200, { 'content-type': 'image/jpeg' }).end(one);
        return true;
      },
    });
    let posts = 0;
    const target = await startProxy(server, {
      intercept: ({ method }, response) => {
        if (method !== 'POST' || ++posts > 1) return false;
        response.writeHead(422).end('{"image":"not today"}');
        return true;
      },
    });
    try {
      await user.login(source.url, { profile: 'source', account: accounts.source });
      await user.login(target.url, { account: accounts.target });
      const results = await user.json<Result[]>(['import', '--from', 'source'], { code: 5 });
      const withOutcome = (outcome: string) => results.filter((result) => result.outcome === outcome);
      const [[success], failures] = [withOutcome('imported'), withOutcome('failed')];
      assert.equal(failures.length, 1);
      // The order of the two imports varies.
      assert.deepEqual(
        (await accounts.imagesOf(accounts.target)).map(({ altText }) => altText),
        [success?.imageID === first.imageID ? 'First' : 'Second'],
      );
    } finally {
      await source.close();
      await target.close();
    }
  });

  test('reports re-encoded and downscaled pictures, and exits with 6', async () => {
    const { server, user, accounts } = setup;
    const small = await server.addImage(await picture(1), { account: accounts.source });
    const large = await server.addImage(
      await sharp({ create: { width: 3_000, height: 1_500, channels: 3, background: '#123456' } })
        .png()
        .toBuffer(),
      { account: accounts.source, metadata: { altText: 'Wide' } },
    );
    const foreign = await startProxy(server, { intercept: rejectOriginals });
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
      assert.match(
        err,
        /originals of 2 images: 1 re-encoded at full size, 1 at the largest size of a public link/,
      );
      assert.equal((await accounts.imagesOf(accounts.target)).length, 2);
    } finally {
      await foreign.close();
    }
  });

  test('rejects a damaged original, ignores a web page, and exports the other images', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(3);
    const [damagedID = '', pageID = ''] = accounts.originals.keys();
    const proxy = await startProxy(server, {
      intercept: ({ url = '' }, response) => {
        if (url.endsWith(`${damagedID}/original`)) {
          const digest = 'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:';
          response.writeHead(200, { 'content-type': 'image/jpeg', 'repr-digest': digest });
          response.end(accounts.originals.get(damagedID));
          return true;
        }
        if (!url.endsWith(`${pageID}/original`)) return false;
        response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Welcome');
        return true;
      },
    });
    try {
      await user.login(proxy.url, { account: accounts.source });
      const { code, out } = await user.run(['export', folder, '--parallel', '1']);
      assert.equal(code, 5);
      assert.match(out, new RegExp(`^failed {2}${damagedID} {2}.*do not have the digest`, 'm'));
      assert.match(out, new RegExp(`^exported {2}${pageID} {2}re-encoded$`, 'm'));
      assert.match(out, /^2 exported, 0 exported before, 1 failed$/m);
    } finally {
      await proxy.close();
    }
  });

  test('retries a lost original briefly, waits for a restarting server, and exports the other images', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(4);
    const [lost = '', , late = ''] = accounts.originals.keys();
    const digest = digestOf(accounts.originals.get(lost) ?? Buffer.of());
    await rm(originalPath(server, digest));
    let failures = 0;
    const proxy = await startProxy(server, {
      // The whole server fails for four requests. The long retries cover that.
      intercept: ({ url = '' }, response) => {
        if (url.endsWith(`${late}/original`) && failures === 0) failures = 1;
        else if (failures === 0 || failures > 4) return false;
        else failures += 1;
        response.writeHead(503, { 'retry-after': '0' }).end('{"error":"restarting"}');
        return true;
      },
    });
    try {
      await user.login(proxy.url, { account: accounts.source });
      const { code, out, err } = await user.run(['export', folder, '--parallel', '1']);
      assert.equal(code, 5, out + err);
      assert.match(
        out,
        new RegExp(`^failed {2}${lost} {2}.*the original of the image cannot be read now`, 'm'),
      );
      assert.match(out, new RegExp(`^exported {2}${late} {2}original$`, 'm'));
      assert.match(out, /^3 exported, 0 exported before, 1 failed$/m);
      const countRequests = (imageID: string) =>
        proxy.requests.filter((line) => line.includes(`${imageID}/original`)).length;
      assert.ok(countRequests(lost) <= 12, `${countRequests(lost)} requests`);
      assert.equal(countRequests(late), 2);
    } finally {
      await proxy.close();
    }
  });

  test('rejects a folder of another account, a changed picture, and a path outside the folder', async () => {
    const { server, user, accounts, folder } = setup;
    await accounts.fillSource(3);
    await user.login(server.url, { account: accounts.source });
    await user.run(['export', folder]);
    await user.login(server.url, { account: accounts.target });
    const other = await user.run(['export', folder]);
    assert.equal(other.code, 4);
    assert.match(other.err, new RegExp(`belongs to the account ${accounts.source} of`));
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
    assert.match(out, /^failed {2}\S+ {2}the file \S+ does not have the digest in its name$/m);
    assert.equal((await accounts.imagesOf(accounts.target)).length, 1);
  });

  test('copies metadata to existing images, but keeps an image disabled that the target disabled', async () => {
    const { server, user, accounts } = setup;
    const bytes = await picture(1);
    const focalPoint = { x: 0.5, y: 0.125 };
    const metadata = { altText: 'There', focalPoint, tags: ['there'], fileName: 'there.jpg' };
    await server.addImage(bytes, { account: accounts.source, metadata });
    const existing = await server.addImage(bytes, {
      account: accounts.target,
      metadata: { altText: 'Here' },
    });
    accounts.originals.set((await accounts.imagesOf(accounts.source))[0]?.imageID ?? '', bytes);
    const proxy = await startProxy(server);
    try {
      await user.login(proxy.url, { profile: 'source', account: accounts.source });
      await user.login(server.url, { account: accounts.target });
      await user.json(['import', '--from', proxy.url, '--from-account', accounts.source]);
      const [image] = await accounts.imagesOf(accounts.target);
      const { altText, tags, fileName } = image ?? assert.fail('the target has no image');
      assert.deepEqual({ altText, focalPoint: image?.focalPoint, tags, fileName }, metadata);
      await user.json(['disable', existing.imageID]);
      const [result] = await user.json<Result[]>(['import', '--from', 'source']);
      assert.deepEqual(
        [result?.outcome, result?.note],
        ['there already', 'the image is disabled in the target and stays disabled'],
      );
      assert.ok((await accounts.imagesOf(accounts.target))[0]?.disabledOn);
    } finally {
      await proxy.close();
    }
  });

  test('rejects wrong arguments with the reason', async () => {
    const { server, user, accounts, folder } = setup;
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
