/**
 * The published, unchanged Moov SDK as a client of the server: products.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Moov } from '@moovio/sdk';
import { GenericError } from '@moovio/sdk/models/errors/genericerror.js';
import { MoovError } from '@moovio/sdk/models/errors/mooverror.js';
import { ProductRequestValidationError } from '@moovio/sdk/models/errors/productrequestvalidationerror.js';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../support/server.ts';

const accountID = ACCOUNT;
const FOOD = { categoryID: 'food', name: 'Food' };
const DRINKS = { categoryID: 'drinks', name: 'Drinks', parentID: 'food' };
const basePrice = { currency: 'USD', valueDecimal: '4.99' };

for (const version of ['v2024.01.00', 'v2026.10.00', undefined]) {
  describe(`products of the official SDK ${version === undefined ? 'without a version' : `at ${version}`}`, () => {
    let folder: string;
    let server: TestServer;
    let moov: Moov;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vitrine-sdk-'));
      const file = join(folder, 'categories.json');
      await writeFile(file, JSON.stringify([FOOD, DRINKS]));
      server = await startServer({ VITRINE_PRODUCT_CATEGORIES: file });
      moov = new Moov({
        serverURL: server.url,
        security: { username: KEY.publicKey, password: KEY.secretKey },
        ...(version !== undefined && { xMoovVersion: version }),
      });
    });
    after(async () => {
      await server.close();
      await rm(folder, { recursive: true });
    });

    test('calls all five operations', async () => {
      const [lemon, syrup] = [
        await server.addImage(await picture(1), { metadata: { altText: 'A lemon' } }),
        await server.addImage(await picture(2)),
      ];
      const productRequest = {
        title: "World's best lemonade",
        description: 'Really, the **best**.',
        basePrice,
        images: [{ imageID: lemon.imageID }],
        optionGroups: [
          {
            name: 'Flavor add-ins',
            description: 'Choose up to 2.',
            minSelect: 0,
            maxSelect: 2,
            options: [
              {
                name: 'Strawberry puree',
                description: 'Fresh and fruity.',
                priceModifier: { currency: 'USD', valueDecimal: '0.99' },
                images: [{ imageID: syrup.imageID }],
              },
              { name: 'Cherry syrup' },
            ],
          },
        ],
      };
      const { result: created } = await moov.products.create({ accountID, productRequest });
      const productImageOf = ({ imageID, altText, link, publicID }: typeof lemon) => {
        return { imageID, ...(altText !== undefined && { altText }), link, publicID };
      };
      assert.ok(created.createdOn instanceof Date);
      assert.deepEqual(created, {
        ...productRequest,
        productID: created.productID,
        images: [productImageOf(lemon)],
        optionGroups: productRequest.optionGroups.map((group) => ({
          ...group,
          options: group.options.map(({ images, ...option }) => {
            return { ...option, ...(images && { images: [productImageOf(syrup)] }) };
          }),
        })),
        createdOn: created.createdOn,
        updatedOn: created.createdOn,
      });
      const { productID } = created;
      assert.deepEqual((await moov.products.get({ accountID, productID })).result, created);
      const matches = await moov.products.list({ accountID, title: 'BEST LEMON', skip: 0, count: 20 });
      assert.deepEqual(matches.result, [created]);
      assert.deepEqual((await moov.products.list({ accountID, title: '%' })).result, []);

      const { result: changed } = await moov.products.update({
        accountID,
        productID,
        productRequest: { title: 'Limonade', basePrice },
      });
      assert.deepEqual(
        [changed.title, changed.images, changed.optionGroups],
        ['Limonade', undefined, undefined],
      );

      await moov.products.disable({ accountID, productID });
      await moov.products.disable({ accountID, productID });
      assert.deepEqual((await moov.products.list({ accountID })).result, []);
      const { result: disabled } = await moov.products.get({ accountID, productID });
      assert.ok(disabled.disabledOn instanceof Date);
    });

    test('lists categories, and products by category', async () => {
      const { categories } = (await moov.products.listCategories()).result;
      const drinks = { ...DRINKS, fullName: 'Food > Drinks', level: 2 };
      assert.deepEqual(categories, [{ ...FOOD, fullName: 'Food', level: 1 }, drinks]);
      const productRequest = { title: 'Juice', basePrice, categoryID: 'drinks' };
      const { result: juice } = await moov.products.create({ accountID, productRequest });
      assert.deepEqual(juice.category, drinks);
      for (const [category, expected] of [
        ['food', [juice]],
        ['drinks', [juice]],
        ['tea', []],
      ] as const) {
        assert.deepEqual((await moov.products.list({ accountID, category })).result, expected);
      }
      const { productID } = juice;
      const update = { accountID, productID, productRequest: { title: 'Juice', basePrice } };
      assert.equal((await moov.products.update(update)).result.category, undefined);
      await moov.products.disable({ accountID, productID });
    });

    test('parses errors into its typed classes', async () => {
      const { imageID } = await server.addImage(await picture(3));
      await moov.images.delete({ accountID, imageID });
      const invalidRequest = {
        title: '',
        description: '<b>bold</b>',
        basePrice: { currency: 'usd', valueDecimal: '1e3' },
        images: [{ imageID }],
        optionGroups: [
          {
            name: 'Size',
            minSelect: 2,
            maxSelect: 1,
            options: [{ name: '', images: [{ imageID: accountID }] }, { name: 'L' }],
          },
          { name: 'Colour', minSelect: 0, maxSelect: 0, options: [] },
        ],
        categoryID: accountID,
      };
      await assert.rejects(moov.products.create({ accountID, productRequest: invalidRequest }), (error) => {
        assert.ok(error instanceof ProductRequestValidationError);
        assert.equal(error.statusCode, 422);
        assert.match(error.title ?? '', /blank/);
        assert.match(error.description ?? '', /HTML/);
        assert.match(error.basePrice?.currency ?? '', /ISO 4217/);
        assert.match(error.basePrice?.valueDecimal ?? '', /decimal/);
        assert.match(error.images?.['0']?.imageID ?? '', /disabled/);
        const group = error.optionGroups?.['0'];
        assert.match(group?.minSelect ?? '', /maxSelect/);
        assert.match(group?.options?.['0']?.name ?? '', /blank/);
        assert.match(group?.options?.['0']?.images?.['0']?.imageID ?? '', /no such image/);
        assert.deepEqual(Object.keys(group?.options ?? {}), ['0']);
        assert.match(error.optionGroups?.['1']?.options?.['0']?.name ?? '', /at least one/);
        assert.match(error.categoryID ?? '', /category/);
        return true;
      });

      const productRequest = { title: 'x', basePrice };
      const { productID } = (await moov.products.create({ accountID, productRequest })).result;
      const update = moov.products.update({
        accountID,
        productID,
        productRequest: { ...productRequest, images: [{ imageID }] },
      });
      await assert.rejects(update, (error) => {
        assert.ok(error instanceof ProductRequestValidationError);
        assert.match(error.images?.['0']?.imageID ?? '', /disabled/);
        return true;
      });
      await moov.products.disable({ accountID, productID });
      await assert.rejects(moov.products.update({ accountID, productID, productRequest }), (error) => {
        assert.ok(error instanceof GenericError);
        assert.equal(error.statusCode, 409);
        return true;
      });
      const unknown = { accountID, productID: '7cec5bd3-6340-4de4-a923-bf6ec0f7e921' };
      for (const call of [
        () => moov.products.get(unknown),
        () => moov.products.disable(unknown),
        () => moov.products.update({ ...unknown, productRequest }),
      ]) {
        await assert.rejects(call, (error) => error instanceof MoovError && error.statusCode === 404);
      }
    });
  });
}
