/**
 * `vitrine products …`. Owns the words of these commands, how a product is put together from them, and how it is printed;
 * what a product may be is the server's.
 */
import { readFile } from 'node:fs/promises';
import type { Product, ProductRequest } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';
import { type Column, json, lines, paged, table } from '../terminal/output.ts';
import { type ClientOptions, type Connection, clientCommand, connectAs } from './connection.ts';
import { fieldsOf } from './jsonl-file.ts';

const COLUMNS: readonly Column<Product>[] = [
  ['PRODUCT', ({ productID }) => productID],
  ['CREATED', ({ createdOn }) => createdOn.toISOString()],
  ['PRICE', ({ basePrice }) => priceText(basePrice)],
  ['IMAGES', ({ images = [] }) => String(images.length)],
  ['TITLE', ({ title }) => title],
];

interface FieldOptions extends ClientOptions {
  readonly file?: string;
  readonly title?: string;
  readonly price?: string;
  readonly description?: string;
  readonly image?: readonly string[];
}

export function addProductCommands(program: Command, surroundings: Surroundings): void {
  const products = program.command('products').description('look after the products of the account');
  const command = (name: string, description: string) => clientCommand(products, name, description);

  /** Runs something that comes out as a product, and prints it. */
  const printing = async (options: ClientOptions, work: (connection: Connection) => Promise<Product>) => {
    const product = await work(await connectAs(options, surroundings));
    surroundings.write(options.json ? json(product) : text(product));
  };

  paged(command('list', 'list products, newest first, without those that are disabled'))
    .option('--title <text>', 'only those with this in their title, in whatever case')
    .option('--all', 'all of them, not just a page')
    .action(async (options: ClientOptions & { skip: number; count: number; title?: string; all?: true }) => {
      const { vitrine, accountID } = await connectAs(options, surroundings);
      const { skip, count, title } = options;
      const found: Product[] = [];
      if (options.all)
        for await (const one of vitrine.products.list({ accountID, skip, title })) found.push(one);
      else found.push(...(await vitrine.products.list({ accountID, skip, count, title })).result);
      surroundings.write(options.json ? json(found) : table(found, COLUMNS, 'There are no products.'));
    });

  command('show', 'show a product')
    .argument('<product>', 'its ID')
    .action((productID: string, options: ClientOptions) =>
      printing(
        options,
        async ({ vitrine, accountID }) => (await vitrine.products.get({ accountID, productID })).result,
      ),
    );

  withFields(command('create', 'add a product, as options or a file of JSON say')).action(
    async (options: FieldOptions) => {
      const given = await fieldsGiven(options, surroundings);
      await printing(options, async (connection) => {
        const { vitrine, accountID } = connection;
        const productRequest = await requestOf({}, given, connection);
        return (await vitrine.products.create({ accountID, productRequest })).result;
      });
    },
  );

  withFields(
    command('update', 'change what options say of a product, or all of it to what a file of JSON says'),
  )
    .argument('<product>', 'its ID')
    .action(async (productID: string, options: FieldOptions) => {
      const given = await fieldsGiven(options, surroundings);
      await printing(options, async (connection) => {
        const { vitrine, accountID } = connection;
        // The server replaces a product as a whole: what is not said stays only if it is sent again.
        const before = given.file
          ? {}
          : requestFrom((await vitrine.products.get({ accountID, productID })).result);
        const productRequest = await requestOf(before, given, connection);
        return (await vitrine.products.update({ accountID, productID, productRequest })).result;
      });
    });

  command('disable', 'disable a product: it stays readable, but is listed no more and cannot be changed')
    .argument('<product>', 'its ID')
    .action((productID: string, options: ClientOptions) =>
      printing(options, async ({ vitrine, accountID }) => {
        await vitrine.products.disable({ accountID, productID });
        return (await vitrine.products.get({ accountID, productID })).result;
      }),
    );
}

function withFields(command: Command): Command {
  return command
    .option('--file <path>', 'the whole product as JSON, as the API takes it; - is standard input')
    .option('--title <text>', 'what it is called')
    .option('--price <amount currency>', 'such as "4.99 USD"')
    .option('--description <markdown>', 'Markdown without HTML; "" for none')
    .option('--image <image...>', 'IDs, public IDs or links of its images, in their order; "" for none');
}

interface Given {
  /** The file's. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** Those of the options. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Names of images. */
  readonly images?: readonly string[];
}

/** @throws AppError `invalid-request`, before any server is asked. */
async function fieldsGiven(options: FieldOptions, { input }: Surroundings): Promise<Given> {
  const { file, title, price, description, image } = options;
  const fields = {
    ...(title !== undefined && { title }),
    ...(price !== undefined && { basePrice: readPrice(price) }),
    ...(description !== undefined && { description: description === '' ? undefined : description }),
  };
  const images = image?.filter((name) => name !== '');
  const hasOptions = Object.keys(fields).length > 0 || images !== undefined;
  if ((file !== undefined) === hasOptions) {
    throw new AppError('invalid-request', 'give either --file or what the product is to be');
  }
  if (file === undefined) return { fields, ...(images && { images }) };
  const found = fieldsOf(parsed(await textOf(file, input), file));
  if (!found || Array.isArray(found))
    throw new AppError('invalid-request', `${file} must hold one JSON object`);
  return { file: found, fields: {} };
}

async function textOf(file: string, input: NodeJS.ReadableStream): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: Error) => {
      throw new AppError('invalid-request', `the file cannot be read: ${error.message}`);
    });
  }
  const pieces: Buffer[] = [];
  for await (const piece of input) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString('utf8');
}

function parsed(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('invalid-request', `${file} holds no JSON: ${(error as Error).message}`);
  }
}

/** What is said is the server's to judge; only that it is one amount and one currency. */
function readPrice(text: string): ProductRequest['basePrice'] {
  const [valueDecimal, currency, ...more] = text.trim().split(/\s+/);
  if (valueDecimal && currency && more.length === 0)
    return { valueDecimal, currency: currency.toUpperCase() };
  throw new AppError('invalid-request', 'the price must be an amount and a currency, such as "4.99 USD"');
}

async function requestOf(
  before: Readonly<Record<string, unknown>>,
  { file, fields, images }: Given,
  { find }: Connection,
): Promise<ProductRequest> {
  const named = [];
  for (const name of images ?? []) named.push({ imageID: (await find(name)).imageID });
  const whole = { ...(file ?? before), ...fields, ...(images && { images: named }) };
  // What is missing or of the wrong type the server says, at its place.
  return whole as unknown as ProductRequest;
}

/** What a product is now, as the API takes it: images by their IDs alone. */
function requestFrom({
  title,
  description,
  basePrice,
  images,
  optionGroups,
}: Product): Record<string, unknown> {
  const idsOf = (shown: Product['images']) => shown && { images: shown.map(({ imageID }) => ({ imageID })) };
  const groups = optionGroups?.map((group) => ({
    ...group,
    options: group.options.map(({ images: shown, ...option }) => ({ ...option, ...idsOf(shown) })),
  }));
  return { title, description, basePrice, ...idsOf(images), ...(groups && { optionGroups: groups }) };
}

function priceText({ valueDecimal, currency }: Product['basePrice']): string {
  return `${valueDecimal} ${currency}`;
}

function text(product: Product): string {
  const { productID, title, description, basePrice, images = [], optionGroups = [] } = product;
  return lines({
    product: productID,
    title,
    description,
    price: priceText(basePrice),
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
