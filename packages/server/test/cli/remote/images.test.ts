/**
 * The commands for images against a real server.
 */
import assert from 'node:assert/strict';
import { watch } from 'node:fs';
import { mkdtemp, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { setUpAccount } from '../../support/cli-accounts.ts';
import { UNKNOWN_ID, type User } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import type { ImageJSON } from '../../support/server.ts';

describe('the commands for images', () => {
  const setup = setUpAccount();
  const { addImage } = setup;
  let user: User;
  beforeEach(() => {
    user = setup.user;
  });

  test('list prints a page or all images, as a table or as JSON', async () => {
    assert.equal((await user.run(['list'])).out, 'There are no images.\n');
    const images: ImageJSON[] = [];
    for (const number of [1, 2, 3]) images.unshift(await addImage(number, `Picture ${number}\n\u202eturned`));
    assert.deepEqual(await user.json(['list']), images);
    assert.deepEqual(await user.json(['list', '--skip', '1', '--count', '1']), images.slice(1, 2));
    assert.deepEqual(await user.json(['list', '--all', '--skip', '1']), images.slice(1));
    const { out } = await user.run(['list']);
    assert.match(out, /^IMAGE {33}NAME {10}SIZE {3}BYTES {2}CREATED {19}DISABLED {2}ALT TEXT\n/);
    assert.match(out, /example\.file {2}64x49 {2}\d+ .* - {9}Picture 1 turned\n$/);
    assert.equal(out.split('\n').length, 5);
  });

  test('list takes the filters and the order of the API', async () => {
    const { server, account } = setup;
    const add = async (number: number, metadata: object) =>
      (await server.addImage(await picture(number), { account, metadata })).imageID;
    const lamp = await add(1, { altText: 'A lamp', tags: ['light'], fileName: 'b.jpg' });
    const chair = await add(2, { tags: ['wood'], fileName: 'c.jpg' });
    const shoe = await add(3, { altText: 'A shoe', fileName: 'a.jpg' });
    await user.json(['disable', shoe]);
    const find = async (...flags: string[]) =>
      (await user.json<ImageJSON[]>(['list', ...flags])).map(({ imageID }) => imageID);
    assert.deepEqual(await find('--search', 'LAMP'), [lamp]);
    assert.deepEqual(await find('--tag', 'Wood'), [chair]);
    assert.deepEqual(await find('--disabled'), [shoe]);
    assert.deepEqual(await find('--no-disabled'), [chair, lamp]);
    assert.deepEqual(await find('--missing-alt'), [chair]);
    assert.deepEqual(await find('--unused', '--sort', 'fileName'), [shoe, lamp, chair]);
    assert.deepEqual(await find('--no-unused'), []);
    assert.deepEqual(await find('--format', 'png'), []);
    assert.deepEqual(await find('--min-width', '64', '--min-height', '51'), [shoe]);
    assert.deepEqual(await find('--sort=-fileName', '--all'), [chair, lamp, shoe]);
    assert.deepEqual(await find('--sort', '-fileName', '--count', '1'), [chair]);
    const wrong = await user.run(['list', '--sort', 'size']);
    assert.deepEqual([wrong.code, /-createdOn, createdOn/.test(wrong.err)], [2, true], wrong.err);
  });

  test('show finds an image by its ID, its public ID and its link', async () => {
    const image = await addImage(1, 'A lamp');
    await addImage(2);
    for (const name of [image.imageID, image.publicID, image.link, `${image.link}?size=10x10`]) {
      assert.deepEqual(await user.json(['show', name]), image);
    }
    const { out } = await user.run(['show', image.imageID]);
    assert.match(
      out,
      new RegExp(`^image +${image.imageID}\npublic ID +\\S+\nlink +${image.link}\nalt text +A lamp\n`),
    );
  });

  test('replace changes the picture, and the alt text only with --alt', async () => {
    const { imageID, link } = await addImage(1, 'A lamp');
    const file = join(user.home, 'two.jpg');
    await writeFile(file, await picture(2));
    const replacement = await user.json<ImageJSON>(['replace', imageID, file]);
    assert.deepEqual([replacement.link, replacement.altText], [link, 'A lamp']);
    assert.equal((await user.json<ImageJSON>(['replace', imageID, file, '--alt', 'Two'])).altText, 'Two');
    const folder = await user.run(['replace', imageID, user.home]);
    assert.deepEqual([folder.code, folder.err], [0, '']);
    await addImage(3);
    await writeFile(file, await picture(3));
    const duplicate = await user.run(['replace', imageID, file]);
    assert.equal(duplicate.code, 4);
    assert.match(duplicate.err, /^the server answered 409/);
  });

  test('alt and replace --alt keep the other metadata', async () => {
    const metadata = { tags: ['kept'], focalPoint: { x: 0, y: 1 }, fileName: 'kept.jpg' };
    const { imageID } = await setup.server.addImage(await picture(1), { account: setup.account, metadata });
    const fieldsOf = ({ tags, focalPoint, fileName }: ImageJSON) => ({ tags, focalPoint, fileName });
    assert.deepEqual(fieldsOf(await user.json<ImageJSON>(['alt', imageID, 'A lamp'])), metadata);
    assert.deepEqual(fieldsOf(await user.json<ImageJSON>(['alt', imageID, '--clear'])), metadata);
    const file = join(user.home, 'two.jpg');
    await writeFile(file, await picture(2));
    const replaced = await user.json<ImageJSON>(['replace', imageID, file, '--alt', 'Two']);
    assert.deepEqual(fieldsOf(replaced), metadata);
  });

  test('alt sets and clears the alt text', async () => {
    const { imageID } = await addImage(1);
    assert.equal((await user.json<ImageJSON>(['alt', imageID, 'Una lámpara'])).altText, 'Una lámpara');
    assert.equal((await user.json<ImageJSON>(['alt', imageID, '--clear'])).altText, undefined);
    assert.equal((await user.run(['alt', imageID])).code, 2);
    assert.equal((await user.run(['alt', imageID, 'x', '--clear'])).code, 2);
    const long = await user.run(['alt', imageID, 'x'.repeat(2_001)]);
    assert.equal(long.code, 4);
    assert.match(long.err, /altText.*2,?000/);
  });

  test('disable and enable succeed also when nothing changes', async () => {
    const { imageID } = await addImage(1);
    assert.ok((await user.json<ImageJSON>(['disable', imageID])).disabledOn);
    assert.ok((await user.json<ImageJSON>(['disable', imageID])).disabledOn);
    assert.match((await user.run(['list'])).out, /\d{4}-\S+ {2}\d{4}-\S+ {2}-\n$/);
    assert.equal((await user.run(['alt', imageID, 'x'])).code, 4);
    assert.equal((await user.json<ImageJSON>(['enable', imageID])).disabledOn, undefined);
    assert.equal((await user.json<ImageJSON>(['enable', imageID])).disabledOn, undefined);
  });

  test('url prints the link with its transform, and rejects wrong options before any request', async () => {
    const { imageID, link } = await addImage(1);
    assert.equal((await user.run(['url', imageID])).out, `${link}\n`);
    const transform = [
      '--size',
      '200x0',
      '--fit',
      'contain',
      '--format',
      'avif',
      '--dpr',
      '2',
      '--quality',
      '60',
    ];
    const { url } = await user.json<{ url: string }>(['url', imageID, ...transform]);
    assert.equal(url, `${link}?size=200x0&fit=contain&format=avif&quality=60&dpr=2`);
    assert.equal((await fetch(url)).status, 200);
    for (const [text, ...words] of [
      ['--size must be of the form WxH', '--size', 'big'],
      ['--fit must be one of cover, contain', '--fit', 'x'],
      ['--format must be one of webp, jpeg, png, avif', '--format', 'gif'],
      ['--quality must be a whole number from 1 to 100', '--quality', 'x'],
      ['--dpr must be a number above 0', '--dpr', '0'],
    ] as const) {
      const { code, err } = await user.run(['url', UNKNOWN_ID, ...words]);
      assert.deepEqual([code, err.startsWith(text)], [2, true], err);
    }
  });

  test('open starts the browser with the link', async () => {
    const { imageID, link } = await addImage(1);
    const folder = await mkdtemp(join(user.home, 'browser-'));
    const browser = join(folder, 'browser.sh');
    await writeFile(
      browser,
      `#!/bin/sh\necho "$1" > ${folder}/draft && mv ${folder}/draft ${folder}/opened\n`,
      {
        mode: 0o700,
      },
    );
    const browserStart = new Promise((resolve) => {
      const watcher = watch(folder, (_event, name) => {
        if (name !== 'opened') return;
        watcher.close();
        resolve(undefined);
      });
    });
    const { code, out } = await user.run(['open', imageID, '--size', '90x90'], { env: { BROWSER: browser } });
    assert.deepEqual([code, out], [0, `${link}?size=90x90\n`]);
    await browserStart;
    assert.equal(await readFile(join(folder, 'opened'), 'utf8'), `${link}?size=90x90\n`);
    await rename(join(folder, 'opened'), join(folder, 'seen'));
  });

  test('exit with the code of the kind of failure', async () => {
    for (const words of [
      ['show', UNKNOWN_ID],
      ['disable', 'nonsense'],
      ['url', 'V1StGXR8_Z5jdHi6B-myT'],
    ]) {
      assert.equal((await user.run(words)).code, 3, words.join(' '));
    }
    const { account, server } = setup;
    await user.login(server.url, { account });
    await server.fetch(`/accounts/${account}/suspend`, { method: 'POST' });
    const path = join(user.configFolder, 'profiles.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('test-secret', 'other-secret'));
    const denial = await user.run(['list']);
    assert.deepEqual([denial.code, / {4}at |secret/.test(denial.err)], [4, false], denial.err);
    await writeFile(path, text.replace(server.url, 'http://127.0.0.1:1'));
    const unreachable = await user.run(['list']);
    assert.equal(unreachable.code, 1);
    assert.match(unreachable.err, /^no answer from http:\/\/127\.0\.0\.1:1/);
  });
});
