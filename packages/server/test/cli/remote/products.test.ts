/**
 * `vitrine products …` against a real server.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { setUpAccount } from '../../support/cli-accounts.ts';
import { UNKNOWN_ID, type User } from '../../support/command.ts';

interface ProductJSON {
  readonly productID: string;
  readonly title: string;
  readonly description?: string;
  readonly basePrice: object;
  readonly isTaxable: boolean;
  readonly category?: { readonly categoryID: string };
  readonly images?: readonly { readonly imageID: string; readonly link: string }[];
  readonly optionGroups?: readonly { readonly options: readonly { readonly images?: object[] }[] }[];
  readonly disabledOn?: string;
}

describe('vitrine products', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vitrine-products-'));
  after(() => rm(folder, { recursive: true }));
  const categories = join(folder, 'categories.json');
  writeFileSync(
    categories,
    JSON.stringify([
      { categoryID: 'food', name: 'Food' },
      { categoryID: 'drinks', name: 'Drinks', parentID: 'food' },
    ]),
  );
  const setup = setUpAccount({ VITRINE_PRODUCT_CATEGORIES: categories });
  const { addImage } = setup;
  let user: User;
  beforeEach(() => {
    user = setup.user;
  });

  const run = (...words: string[]) => user.json<ProductJSON>(['products', ...words]);
  const getProduct = async (productID: string) => {
    const { server, account } = setup;
    return (await server.send('GET', `/accounts/${account}/products/${productID}`)).body as ProductJSON;
  };
  const idsOf = ({ images = [] }: ProductJSON) => images.map(({ imageID }) => imageID);

  test('create and update set the fields of the given options', async () => {
    const [one, two] = [await addImage(1), await addImage(2)];
    const words = ['--title', 'Lemonade', '--price', '4.990 usd', '--description', 'Made **fresh**.'];
    const product = await run('create', ...words, '--image', one.link, two.publicID);
    assert.deepEqual(product, await getProduct(product.productID));
    assert.deepEqual(
      [product.title, product.basePrice, product.description, idsOf(product)],
      ['Lemonade', { currency: 'USD', valueDecimal: '4.990' }, 'Made **fresh**.', [one.imageID, two.imageID]],
    );
    const { productID } = product;
    const withNewPrice = await run('update', productID, '--price', '5 EUR');
    assert.deepEqual(
      [withNewPrice.title, withNewPrice.basePrice, withNewPrice.description, idsOf(withNewPrice)],
      ['Lemonade', { currency: 'EUR', valueDecimal: '5' }, 'Made **fresh**.', [one.imageID, two.imageID]],
    );
    assert.deepEqual(idsOf(await run('update', productID, '--image', two.imageID)), [two.imageID]);
    const withoutImages = await run('update', productID, '--image', '', '--description', '');
    assert.deepEqual(
      [idsOf(withoutImages), withoutImages.description, withoutImages.title],
      [[], undefined, 'Lemonade'],
    );
  });

  test('create and update replace all fields from a file or standard input', async () => {
    const { imageID } = await addImage(1);
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
    // Option groups have no option of the command, and an update of the title keeps them.
    const withNewTitle = await run('update', productID, '--title', 'Brass lamp');
    assert.deepEqual(withNewTitle.optionGroups?.[0]?.options[0]?.images?.length, 1);
    assert.deepEqual([withNewTitle.title, idsOf(withNewTitle)], ['Brass lamp', [imageID]]);
    const fewer = { title: 'Candle', basePrice: lamp.basePrice };
    const replacement = await user.json<ProductJSON>(['products', 'update', productID, '--file', '-'], {
      input: JSON.stringify(fewer),
    });
    assert.deepEqual(
      [replacement.title, replacement.images, replacement.optionGroups],
      ['Candle', undefined, undefined],
    );
  });

  test('list, show and disable print products as text or as JSON', async () => {
    assert.equal((await user.run(['products', 'list'])).out, 'There are no products.\n');
    const { imageID } = await addImage(1);
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
    const output = await user.run(['products', 'show', tea.productID]);
    assert.match(
      output.out,
      new RegExp(`^product +${tea.productID}\ntitle +Tea\nprice +3 USD\nimages +${imageID}\n`),
    );
    assert.ok((await run('disable', tea.productID)).disabledOn);
    assert.deepEqual(await list(), [lemonade]);
    assert.ok((await run('show', tea.productID)).disabledOn);
  });

  test('create and update set the category and the taxability, and other updates keep them', async () => {
    const created = await run(
      ...['create', '--title', 'Juice', '--price', '2 USD'],
      ...['--category', 'drinks', '--no-taxable'],
    );
    const { productID } = created;
    const state = ({ isTaxable, category }: ProductJSON) => [isTaxable, category?.categoryID];
    assert.deepEqual(state(created), [false, 'drinks']);
    assert.deepEqual(state(await run('update', productID, '--title', 'Cold juice')), [false, 'drinks']);
    assert.deepEqual(state(await run('update', productID, '--category', 'food')), [false, 'food']);
    const { out } = await user.run(['products', 'show', productID]);
    assert.match(out, /\ntaxable +no\ncategory +Food \(food\)\n/);
    assert.deepEqual(state(await run('update', productID, '--taxable')), [true, 'food']);
    assert.deepEqual(state(await run('update', productID, '--category', '')), [true, undefined]);
    assert.deepEqual(state(await run('update', productID, '--no-taxable')), [false, undefined]);
  });

  test('list shows the products of a category, and categories shows all of them', async () => {
    await run('create', '--title', 'Shirt', '--price', '9 USD');
    const juice = await run('create', '--title', 'Juice', '--price', '2 USD', '--category', 'drinks');
    const list = (...words: string[]) => user.json<ProductJSON[]>(['products', 'list', ...words]);
    assert.deepEqual(await list('--category', 'food'), [juice]);
    assert.deepEqual(await list('--all', '--category', 'food'), [juice]);
    assert.deepEqual(await list('--category', 'gone'), []);
    const { out } = await user.run(['products', 'categories']);
    assert.equal(out, 'CATEGORY  NAME\nfood      Food\ndrinks    Food > Drinks\n');
    const json = await user.json<{ categoryID: string }[]>(['products', 'categories']);
    assert.deepEqual(
      json.map(({ categoryID }) => categoryID),
      ['food', 'drinks'],
    );
  });

  test('exit with the code of the kind of failure, and print the wrong field', async () => {
    const file = join(user.home, 'wrong.json');
    await writeFile(file, '{"title": "', 'utf8');
    const { imageID } = await addImage(1);
    await setup.server.fetch(`/accounts/${setup.account}/images/${imageID}`, { method: 'DELETE' });
    const { productID } = await run('create', '--title', 'Gone', '--price', '1 USD');
    await run('disable', productID);
    const good = ['--title', 'x', '--price', '1 USD'];
    const cases: [number, RegExp, string[], string?][] = [
      [
        2,
        /^give either --file, or at least one of --title, --price, --description, --image, --category, --taxable and --no-taxable\n$/,
        ['create'],
      ],
      [2, /^give either --file/, ['update', productID, '--file', file, '--title', 'x']],
      [2, /^--price must be an amount and a currency/, ['create', '--title', 'x', '--price', '5']],
      [2, /is not valid JSON/, ['create', '--file', file]],
      [2, /must contain one JSON object/, ['create', '--file', '-'], '[1]'],
      [2, /cannot be read/, ['create', '--file', join(user.home, 'none.json')]],
      [3, /the account has no image|404/, ['create', ...good, '--image', UNKNOWN_ID]],
      [3, /404/, ['show', UNKNOWN_ID]],
      [3, /404/, ['update', UNKNOWN_ID, '--title', 'x']],
      [4, /images\.0\.imageID: .*disabled/, ['create', ...good, '--image', imageID]],
      [4, /description: .*HTML/, ['create', ...good, '--description', '<b>x</b>']],
      [4, /categoryID: there is no such product category/, ['create', ...good, '--category', 'gone']],
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
