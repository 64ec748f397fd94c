/**
 * `vitrine products …`: the arguments of these commands and their output. The server enforces the rules of
 * products.
 */
import { readFile } from 'node:fs/promises';
import type { Product, ProductCategory, ProductRequest } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { asObject, type JSONObject } from '../../validation/json.ts';
import type { CommandContext } from '../terminal/context.ts';
import { addPagingOptions } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { addClientCommand, type ClientOptions, type Connection, connectProfile } from './connection.ts';

const COLUMNS: readonly Column<Product>[] = [
  ['PRODUCT', ({ productID }) => productID],
  ['CREATED', ({ createdOn }) => createdOn.toISOString()],
  ['PRICE', ({ basePrice }) => priceText(basePrice)],
  ['IMAGES', ({ images = [] }) => String(images.length)],
  ['TITLE', ({ title }) => title, 'long'],
];

const CATEGORY_COLUMNS: readonly Column<ProductCategory>[] = [
  ['CATEGORY', ({ categoryID }) => categoryID],
  ['NAME', ({ fullName }) => fullName],
];

const PRODUCT_ID = 'ID of the product, a UUID';

interface FieldOptions extends ClientOptions {
  readonly file?: string;
  readonly title?: string;
  readonly price?: string;
  readonly description?: string;
  readonly image?: readonly string[];
  readonly category?: string;
  readonly taxable?: boolean;
}

interface ListOptions extends ClientOptions {
  readonly skip: number;
  readonly count: number;
  readonly title?: string;
  readonly category?: string;
  readonly all?: true;
}

export function addProductCommands(program: Command, context: CommandContext): void {
  const products = program.command('products').description('manage the products of the account');
  const addCommand = (name: string, description: string) => addClientCommand(products, name, description);

  /** Runs `work` and prints the product that it returns. */
  const printProduct = async (options: ClientOptions, work: (connection: Connection) => Promise<Product>) => {
    const product = await work(await connectProfile(options, context));
    context.stdout(options.json ? formatJSON(product) : formatProduct(product));
  };

  addPagingOptions(addCommand('list', 'list products that are not disabled, newest first'))
    .option('--title <text>', 'list only products with this text in their title; upper and lower case match')
    .option('--category <id>', 'list only products of this category and of all categories below it')
    .option('--all', 'list all products, and ignore --count')
    .action(async (options: ListOptions) => {
      const { vitrine, accountID } = await connectProfile(options, context);
      const { skip, count, title, category } = options;
      const filter = { accountID, skip, title, category };
      const list: Product[] = [];
      if (options.all) {
        for await (const product of vitrine.products.list(filter)) list.push(product);
      } else {
        list.push(...(await vitrine.products.list({ ...filter, count })).result);
      }
      context.stdout(
        options.json ? formatJSON(list) : await formatTable(context, list, COLUMNS, 'There are no products.'),
      );
    });

  addCommand('categories', 'list the product categories of the server').action(
    async (options: ClientOptions) => {
      const { vitrine } = await connectProfile(options, context);
      const { categories } = (await vitrine.products.listCategories()).result;
      context.stdout(
        options.json
          ? formatJSON(categories)
          : await formatTable(context, categories, CATEGORY_COLUMNS, 'There are no product categories.'),
      );
    },
  );

  addCommand('show', 'show a product')
    .argument('<product>', PRODUCT_ID)
    .action((productID: string, options: ClientOptions) =>
      printProduct(
        options,
        async ({ vitrine, accountID }) => (await vitrine.products.get({ accountID, productID })).result,
      ),
    );

  addFieldOptions(addCommand('create', 'create a product from options or from a JSON file')).action(
    async (options: FieldOptions) => {
      const changes = await readChanges(options, context);
      await printProduct(options, async (connection) => {
        const { vitrine, accountID } = connection;
        const productRequest = await buildRequest({}, changes, connection);
        return (await vitrine.products.create({ accountID, productRequest })).result;
      });
    },
  );

  addFieldOptions(
    addCommand('update', 'change the given fields of a product, or replace all fields from a JSON file'),
  )
    .argument('<product>', PRODUCT_ID)
    .action(async (productID: string, options: FieldOptions) => {
      const changes = await readChanges(options, context);
      await printProduct(options, async (connection) => {
        const { vitrine, accountID } = connection;
        // The server replaces all fields. Fields without an option keep their value only if they are sent
        // again.
        const current = changes.file
          ? {}
          : requestFrom((await vitrine.products.get({ accountID, productID })).result);
        const productRequest = await buildRequest(current, changes, connection);
        return (await vitrine.products.update({ accountID, productID, productRequest })).result;
      });
    });

  addCommand('disable', 'disable a product: it stays readable, but is not listed and cannot be changed')
    .argument('<product>', PRODUCT_ID)
    .action((productID: string, options: ClientOptions) =>
      printProduct(options, async ({ vitrine, accountID }) => {
        await vitrine.products.disable({ accountID, productID });
        return (await vitrine.products.get({ accountID, productID })).result;
      }),
    );
}

function addFieldOptions(command: Command): Command {
  return command
    .option('--file <path>', 'JSON file with all fields, as the API expects them; - is standard input')
    .option('--title <text>', 'title of the product, 1 to 200 characters')
    .option('--price <amount currency>', 'price, such as "4.99 USD"')
    .option('--description <markdown>', 'Markdown without HTML, at most 5000 characters; "" removes it')
    .option(
      '--image <image...>',
      'image IDs, public IDs or links of all images of the product, in order; "" removes them',
    )
    .option('--category <id>', 'ID of the product category; "" removes it')
    .option('--taxable', 'a sale of the product may include tax, as for every product by default')
    .option('--no-taxable', 'a sale of the product may not include tax');
}

/** The changes to a product: either `file`, or `fields` and `images`. */
interface ProductChanges {
  /** The content of the JSON file. */
  readonly file?: JSONObject;
  /** The fields from options. */
  readonly fields: JSONObject;
  /** The names of images from options. */
  readonly images?: readonly string[];
}

/** @throws AppError `invalid-request` before any request. */
async function readChanges(options: FieldOptions, { stdin }: CommandContext): Promise<ProductChanges> {
  const { file, title, price, description, image, category, taxable } = options;
  const fields = {
    ...(title !== undefined && { title }),
    ...(price !== undefined && { basePrice: parsePrice(price) }),
    ...(description !== undefined && { description: description === '' ? undefined : description }),
    ...(category !== undefined && { categoryID: category === '' ? undefined : category }),
    ...(taxable !== undefined && { isTaxable: taxable }),
  };
  const images = image?.filter((name) => name !== '');
  const hasFields = Object.keys(fields).length > 0 || images !== undefined;
  if ((file !== undefined) === hasFields) {
    throw new AppError(
      'invalid-request',
      'give either --file, or at least one of --title, --price, --description, --image, --category, --taxable and --no-taxable',
    );
  }
  if (file === undefined) return { fields, ...(images && { images }) };
  const content = asObject(parseJSON(await readText(file, stdin), file));
  if (!content) throw new AppError('invalid-request', `${file} must contain one JSON object`);
  return { file: content, fields: {} };
}

async function readText(file: string, stdin: NodeJS.ReadableStream): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: Error) => {
      throw new AppError('invalid-request', `the file cannot be read: ${error.message}`);
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function parseJSON(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('invalid-request', `${file} is not valid JSON: ${(error as Error).message}`);
  }
}

/** Splits a price into amount and currency. The server checks both. @throws AppError `invalid-request`. */
function parsePrice(text: string): ProductRequest['basePrice'] {
  const [valueDecimal, currency, ...others] = text.trim().split(/\s+/);
  if (valueDecimal && currency && others.length === 0) {
    return { valueDecimal, currency: currency.toUpperCase() };
  }
  throw new AppError('invalid-request', '--price must be an amount and a currency, such as "4.99 USD"');
}

async function buildRequest(
  current: JSONObject,
  { file, fields, images: names }: ProductChanges,
  { findImage }: Connection,
): Promise<ProductRequest> {
  const images = [];
  for (const name of names ?? []) images.push({ imageID: (await findImage(name)).imageID });
  const request = { ...(file ?? current), ...fields, ...(names && { images }) };
  // Not checked here: the server reports each missing or wrong field.
  return request as unknown as ProductRequest;
}

/** The fields of a product in the form of a request, which has only the IDs of images. */
function requestFrom(product: Product): JSONObject {
  const { title, description, basePrice, isTaxable, category, images, optionGroups } = product;
  const idsOf = (productImages: Product['images']) =>
    productImages && { images: productImages.map(({ imageID }) => ({ imageID })) };
  const groups = optionGroups?.map((group) => ({
    ...group,
    options: group.options.map(({ images: optionImages, ...option }) => ({
      ...option,
      ...idsOf(optionImages),
    })),
  }));
  return {
    title,
    description,
    basePrice,
    isTaxable,
    categoryID: category?.categoryID,
    ...idsOf(images),
    ...(groups && { optionGroups: groups }),
  };
}

function priceText({ valueDecimal, currency }: Product['basePrice']): string {
  return `${valueDecimal} ${currency}`;
}

function formatProduct(product: Product): string {
  const { productID, title, description, basePrice, category, images = [], optionGroups = [] } = product;
  return formatRecord({
    product: productID,
    title,
    description,
    price: priceText(basePrice),
    // Servers of earlier versions do not say it.
    taxable: product.isTaxable === false ? 'no' : undefined,
    category: category && `${category.fullName} (${category.categoryID})`,
    images: images.length === 0 ? undefined : images.map(({ imageID }) => imageID).join(', '),
    options: optionGroups.length === 0 ? undefined : optionGroups.map(groupText).join('; '),
    created: product.createdOn.toISOString(),
    updated: product.updatedOn.toISOString(),
    disabled: product.disabledOn?.toISOString(),
  });
}

function groupText({ name, options }: NonNullable<Product['optionGroups']>[number]): string {
  return `${name} (${options.map((option) => option.name).join(', ')})`;
}
