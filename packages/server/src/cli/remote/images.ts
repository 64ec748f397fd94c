/**
 * The commands for one image, and the list of them. Owns their words and how images are printed; what they do, and what
 * their limits are, is the server's.
 */
import type { Image, ImageURLOptions } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';
import { type Column, json, lines, paged, table } from '../terminal/output.ts';
import { type ClientOptions, type Connection, clientCommand, connectAs } from './connection.ts';
import { oneFile } from './local-files.ts';

const COLUMNS: readonly Column<Image>[] = [
  ['IMAGE', ({ imageID }) => imageID],
  ['PUBLIC ID', ({ publicID }) => publicID],
  ['CREATED', ({ createdOn }) => createdOn.toISOString()],
  ['DISABLED', ({ disabledOn }) => disabledOn?.toISOString()],
  ['ALT TEXT', ({ altText }) => shortened(altText)],
];

/** In characters: a table should stay one. */
const MAX_ALT_SHOWN = 60;

interface LookOptions extends ClientOptions {
  readonly size?: string;
  readonly fit?: string;
  readonly position?: string;
  readonly format?: string;
  readonly quality?: string;
  readonly dpr?: string;
}

export function addImageCommands(program: Command, surroundings: Surroundings): void {
  const command = (name: string, description: string) => clientCommand(program, name, description);

  /** Runs something that comes out as an image, and prints it. */
  const printing = async (options: ClientOptions, work: (connection: Connection) => Promise<Image>) => {
    const image = await work(await connectAs(options, surroundings));
    surroundings.write(options.json ? json(image) : text(image));
  };

  paged(command('list', 'list the images of the account, newest first'))
    .option('--all', 'all of them, instead of --count')
    .action(async (options: ClientOptions & { skip: number; count: number; all?: true }) => {
      const { vitrine, accountID } = await connectAs(options, surroundings);
      const { skip } = options;
      const found: Image[] = [];
      if (options.all) for await (const image of vitrine.images.list({ accountID, skip })) found.push(image);
      else found.push(...(await vitrine.images.list({ accountID, skip, count: options.count })).result);
      surroundings.write(options.json ? json(found) : table(found, COLUMNS, 'There are no images.'));
    });

  command('show', 'show an image')
    .argument('<image>', NAMED)
    .action((image: string, options: ClientOptions) => printing(options, ({ find }) => find(image)));

  command('replace', 'put another picture behind the link of an image')
    .argument('<image>', NAMED)
    .argument('<file>', 'the picture')
    .option('--alt <text>', 'another alt text as well')
    .action((name: string, file: string, options: ClientOptions & { alt?: string }) =>
      printing(options, async ({ find, vitrine, accountID }) => {
        const image = await oneFile(file);
        const { imageID } = await find(name);
        const metadata = options.alt === undefined ? {} : { metadata: { altText: options.alt } };
        return (await vitrine.images.update({ accountID, imageID, image, ...metadata })).result;
      }),
    );

  command('alt', 'set the alt text of an image')
    .argument('<image>', NAMED)
    .argument('[text]', 'what people who do not see it are told')
    .option('--clear', 'instead: none')
    .action((name: string, altText: string | undefined, options: ClientOptions & { clear?: true }) =>
      printing(options, async ({ find, vitrine, accountID }) => {
        if ((altText === undefined) === (options.clear === undefined)) {
          throw new AppError('invalid-request', 'give either the text or --clear');
        }
        const { imageID } = await find(name);
        return (await vitrine.images.updateMetadata({ accountID, imageID, altText: altText ?? '' })).result;
      }),
    );

  command('disable', 'disable an image: it stays public, but can no longer be changed or assigned')
    .argument('<image>', NAMED)
    .action((name: string, options: ClientOptions) =>
      printing(options, async ({ find, vitrine, accountID }) => {
        const { imageID } = await find(name);
        await vitrine.images.delete({ accountID, imageID });
        return (await vitrine.images.getMetadata({ accountID, imageID })).result;
      }),
    );

  command('enable', 'bring a disabled image back')
    .argument('<image>', NAMED)
    .action((name: string, options: ClientOptions) =>
      printing(options, async ({ find, vitrine, accountID }) => {
        const { imageID } = await find(name);
        return (await vitrine.images.enable({ accountID, imageID })).result;
      }),
    );

  looking(command('url', 'print the public link of an image'))
    .argument('<image>', NAMED)
    .action(async (name: string, options: LookOptions) => {
      const url = await address(name, options, surroundings);
      surroundings.write(options.json ? json({ url }) : `${url}\n`);
    });

  looking(command('open', 'show an image in the browser'))
    .argument('<image>', NAMED)
    .action(async (name: string, options: LookOptions) => {
      const url = await address(name, options, surroundings);
      // The link comes from a server: only what a browser is for may be opened.
      if (!/^https?:\/\//i.test(url))
        throw new AppError('conflict', 'the link of the image is no web address');
      const { default: open } = await import('open');
      await open(url);
      surroundings.write(options.json ? json({ url }) : `${url}\n`);
    });
}

const NAMED = 'its ID, its public ID or its link';

function looking(command: Command): Command {
  return command
    .option('--size <WxH>', 'in pixels; 0 for a side that follows in proportion')
    .option('--fit <cover|contain>', 'fill the size and crop, or stay within it')
    .option('--position <where>', 'what cropping keeps: center, attention, entropy or focal')
    .option('--format <name>', 'webp, jpeg, png or avif')
    .option('--quality <1..100>', 'of what is not lossless')
    .option('--dpr <1..3>', 'device pixels per pixel');
}

const WORDS: Readonly<Record<'fit' | 'position' | 'format', readonly string[]>> = {
  fit: ['cover', 'contain'],
  position: ['center', 'attention', 'entropy', 'focal'],
  format: ['webp', 'jpeg', 'png', 'avif'],
};

async function address(name: string, options: LookOptions, surroundings: Surroundings): Promise<string> {
  const { size, fit, position, format, quality, dpr } = options;
  for (const [option, words] of Object.entries(WORDS)) {
    const given = options[option as keyof typeof WORDS];
    if (given !== undefined && !words.includes(given)) {
      throw new AppError('invalid-request', `${option} must be one of ${words.join(', ')}`);
    }
  }
  const numbers = {
    ...(quality !== undefined && { quality: Number(quality) }),
    ...(dpr !== undefined && { dpr: Number(dpr) }),
  };
  const { imageURL } = await import('@vitrine/client');
  const look = { size, fit, position, format, ...numbers } as ImageURLOptions;
  try {
    // Before the server is asked anything.
    imageURL('/', look);
  } catch (error) {
    throw new AppError('invalid-request', (error as Error).message);
  }
  const { find } = await connectAs(options, surroundings);
  return imageURL((await find(name)).link, look);
}

function text({ imageID, publicID, link, altText, createdOn, updatedOn, disabledOn }: Image): string {
  return lines({
    image: imageID,
    'public ID': publicID,
    link,
    'alt text': altText,
    created: createdOn.toISOString(),
    updated: updatedOn.toISOString(),
    disabled: disabledOn?.toISOString(),
  });
}

function shortened(altText: string | undefined): string | undefined {
  const letters = [...(altText ?? '')];
  return letters.length > MAX_ALT_SHOWN ? `${letters.slice(0, MAX_ALT_SHOWN - 1).join('')}…` : altText;
}
