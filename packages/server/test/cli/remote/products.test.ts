/**
 * `vitrine products …` against a real server.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createAccount } from '../../support/administration.ts';
import { User } from '../../support/command.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const MISSING = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

interface ProductJSON {
  readonly productID: string;
  readonly title: string;
  readonly description?: string;
  readonly basePrice: object;
  readonly images?: readonly { readonly imageID: string; readonly link: string }[];
  readonly optionGroups?: readonly { readonly options: readonly { readonly images?: object[] }[] }[];
  readonly disabledOn?: string;
}

describe('vitrine products', () => {
  let server: TestServer;
  let user: User;
  let account: string;
  before(async () => {
    server = await startServer();
    user = await User.make();
  });
  after(async () => {
    await user.leave();
    await server.close();
  });
  beforeEach(async () => {
    account = await createAccount(server);
    await user.login(server.url, { account });
  });

  const run = (...words: string[]) => user.json<ProductJSON>(['products', ...words]);
  const stored = async (productID: string) =>
    (await server.send('GET', `/accounts/${account}/products/${productID}`)).body as ProductJSON;
  const added = async (number: number): Promise<ImageJSON> =>
    server.addImage(await picture(number), { account });
  const idsOf = ({ images = [] }: ProductJSON) => images.map(({ imageID }) => imageID);

  test('create and change a product by options, of which only what is said changes', async () => {
    const [one, two] = [await added(1), await added(2)];
    const words = ['--title', 'Lemonade', '--price', '4.990 usd', '--description', 'Made **fresh**.'];
    const made = await run('create', ...words, '--image', one.link, two.publicID);
    assert.deepEqual(made, await stored(made.productID));
    assert.deepEqual(
      [made.title, made.basePrice, made.description, idsOf(made)],
      ['Lemonade', { currency: 'USD', valueDecimal: '4.990' }, 'Made **fresh**.', [one.imageID, two.imageID]],
    );
    const { productID } = made;
    const dearer = await run('update', productID, '--price', '5 EUR');
    assert.deepEqual(
      [dearer.title, dearer.basePrice, dearer.description, idsOf(dearer)],
      ['Lemonade', { currency: 'EUR', valueDecimal: '5' }, 'Made **fresh**.', [one.imageID, two.imageID]],
    );
    assert.deepEqual(idsOf(await run('update', productID, '--image', two.imageID)), [two.imageID]);
    const bare = await run('update', productID, '--image', '', '--description', '');
    assert.deepEqual([idsOf(bare), bare.description, bare.title], [[], undefined, 'Lemonade']);
  });

  test('create and replace a product by a file, whole, and by standard input', async () => {
    const { imageID } = await added(1);
    const images = [{ imageID }];
    const lamp = {
      title: 'Lamp',
      basePrice: { currency: 'USD', valueDecimal: '20' },
      images,
      optionGroups: [
        {
          name: 'Colour',
          minSelect: 1,
          maxSelect: 1,
          options: [{ name: 'Brass', images }, { name: 'Black' }],
        },
      ],
    };
    const file = join(user.home, 'lamp.json');
    await writeFile(file, JSON.stringify(lamp));
    const { productID } = await run('create', '--file', file);
    // What only a file can say stays when an option says something else.
    const renamed = await run('update', productID, '--title', 'Brass lamp');
    assert.deepEqual(renamed.optionGroups?.[0]?.options[0]?.images?.length, 1);
    assert.deepEqual([renamed.title, idsOf(renamed)], ['Brass lamp', [imageID]]);
    const fewer = { title: 'Candle', basePrice: lamp.basePrice };
    const replaced = await user.json<ProductJSON>(['products', 'update', productID, '--file', '-'], {
      input: JSON.stringify(fewer),
    });
    assert.deepEqual(
      [replaced.title, replaced.images, replaced.optionGroups],
      ['Candle', undefined, undefined],
    );
  });

  test('list, show and disable them, for people and for programs', async () => {
    assert.equal((await user.run(['products', 'list'])).out, 'There are no products.\n');
    const { imageID } = await added(1);
    const tea = await run('create', '--title', 'Tea\u202e', '--price', '3 USD', '--image', imageID);
    const lemonade = await run('create', '--title', 'Lemonade', '--price', '4.99 USD');
    const list = (...words: string[]) => user.json<ProductJSON[]>(['products', 'list', ...words]);
    assert.deepEqual(await list(), [lemonade, tea]);
    assert.deepEqual(await list('--title', 'MONA'), [lemonade]);
    assert.deepEqual(await list('--skip', '1', '--count', '1'), [tea]);
    assert.deepEqual(await list('--all', '--skip', '1'), [tea]);
    const { out } = await user.run(['products', 'list']);
    assert.match(out, /^PRODUCT {31}CREATED {19}PRICE {5}IMAGES {2}TITLE\n/);
    assert.match(out, /3 USD {5}1 {7}Tea\n$/);
    const shown = await user.run(['products', 'show', tea.productID]);
    assert.match(
      shown.out,
      new RegExp(`^product +${tea.productID}\ntitle +Tea\nprice +3 USD\nimages +${imageID}\n`),
    );
    assert.ok((await run('disable', tea.productID)).disabledOn);
    assert.deepEqual(await list(), [lemonade]);
    assert.ok((await run('show', tea.productID)).disabledOn);
  });

  test('say what is wrong and where, and exit with codes that scripts can tell apart', async () => {
    const file = join(user.home, 'wrong.json');
    await writeFile(file, '{"title": "', 'utf8');
    const { imageID } = await added(1);
    await server.fetch(`/accounts/${account}/images/${imageID}`, { method: 'DELETE' });
    const { productID } = await run('create', '--title', 'Gone', '--price', '1 USD');
    await run('disable', productID);
    const good = ['--title', 'x', '--price', '1 USD'];
    const cases: [number, RegExp, string[], string?][] = [
      [2, /^give either --file or what the product is to be\n$/, ['create']],
      [2, /^give either --file/, ['update', productID, '--file', file, '--title', 'x']],
      [2, /^the price must be an amount and a currency/, ['create', '--title', 'x', '--price', '5']],
      [2, /holds no JSON/, ['create', '--file', file]],
      [2, /must hold one JSON object/, ['create', '--file', '-'], '[1]'],
      [2, /cannot be read/, ['create', '--file', join(user.home, 'none.json')]],
      [3, /the account has no such image|404/, ['create', ...good, '--image', MISSING]],
      [3, /404/, ['show', MISSING]],
      [3, /404/, ['update', MISSING, '--title', 'x']],
      [4, /images\.0\.imageID: .*disabled/, ['create', ...good, '--image', imageID]],
      [4, /description: .*HTML/, ['create', ...good, '--description', '<b>x</b>']],
      [4, /title.*basePrice/, ['create', '--file', '-'], '{}'],
      [4, /disabled/, ['update', productID, '--title', 'x']],
    ];
    for (const [code, text, words, input] of cases) {
      const outcome = await user.run(['products', ...words], input === undefined ? {} : { input });
      assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.err}`);
      assert.match(outcome.err, text);
      assert.equal(outcome.out, '');
    }
  });
});
