/**
 * Arguments that begin with a hyphen: public IDs without a separator, and everything else after `--`.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { setUpAccount } from '../../support/cli-accounts.ts';
import { picture } from '../../support/sample.ts';
import type { ImageJSON } from '../../support/server.ts';

describe('an argument that begins with a hyphen', () => {
  const setup = setUpAccount();

  /** Adds an image, and gives it a public ID that the server may have chosen. */
  async function addImageWithID(number: number, publicID: string): Promise<ImageJSON> {
    const image = await setup.addImage(number);
    const database = new DatabaseSync(join(setup.server.folder, 'vitrine.db'));
    database.prepare('update images set public_id = ? where public_id = ?').run(publicID, image.publicID);
    database.close();
    return { ...image, publicID, link: image.link.replace(image.publicID, publicID) };
  }

  test('is taken as a public ID in every position', async () => {
    const { user } = setup;
    const publicID = '-Abc_efghij-lmnopqrst';
    const doubleID = '--bcdefghij-lmnopqrst';
    const image = await addImageWithID(1, publicID);
    await addImageWithID(2, doubleID);
    assert.deepEqual(await user.json(['show', publicID]), image);
    assert.equal((await user.json<ImageJSON>(['show', '--profile', 'default', doubleID])).publicID, doubleID);
    assert.equal((await user.run(['url', publicID, '--size', '10x0'])).out, `${image.link}?size=10x0\n`);
    const file = join(user.home, 'three.jpg');
    await writeFile(file, await picture(3));
    const replacement = await user.json<ImageJSON>(['replace', publicID, file, '--alt', '-50 %']);
    assert.deepEqual([replacement.publicID, replacement.altText], [publicID, '-50 %']);
    const words = ['products', 'create', '--title', 'T', '--price', '1 USD', '--image', publicID, doubleID];
    const product = await user.json<{ images: ImageJSON[] }>(words);
    assert.deepEqual(
      product.images.map((each) => each.publicID),
      [publicID, doubleID],
    );
    assert.match((await user.run(['show', '--', publicID])).out, new RegExp(`^public ID +${publicID}$`, 'm'));
    const unknown = await user.run(['show', '-unknown_ghijklmnopqr']);
    assert.deepEqual(
      [unknown.code, unknown.err],
      [3, 'the account has no image with the public ID -unknown_ghijklmnopqr\n'],
    );
  });

  test('may be any text after a separator', async () => {
    const { user } = setup;
    const { imageID } = await setup.addImage(1);
    assert.match((await user.run(['alt', imageID, '--', '-50 %'])).out, /^alt text +-50 %$/m);
    await writeFile(join(user.home, '-photo.jpg'), await picture(4));
    const upload = await user.run(['upload', '--', '-photo.jpg'], { cwd: user.home });
    assert.match(upload.out, /^uploaded {2}-photo\.jpg /);
    const env = { VITRINE_DATA: join(user.home, 'data') };
    const account = await user.run(['accounts', 'create', '--json', '--', '-name'], { env });
    assert.equal(JSON.parse(account.out).displayName, '-name');
  });

  test('that is no option is rejected with a hint', async () => {
    const { user } = setup;
    const text = await user.run(['alt', 'x', '-50 %']);
    assert.equal(text.code, 2);
    assert.match(text.err, /unknown option '-50 %'\nWrite -- before arguments that begin with a hyphen/);
    const typo = await user.run(['list', '--cuont', '1']);
    assert.equal(typo.code, 2);
    assert.match(typo.err, /^error: unknown option '--cuont'\n\(Did you mean --count\?\)\n$/);
    const long = await user.run(['list', '-abcdefghijklmnopqrst']);
    assert.equal(long.code, 2);
    assert.equal(long.err.includes('\0'), false);
  });
});
