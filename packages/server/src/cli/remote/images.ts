/**
 * The commands for single images and for the list of images: their arguments and output. The server enforces
 * the limits.
 */
import type { Image, ImageURLOptions, ListImagesRequest } from '@vitrine/client';
import { type Command, Option } from 'commander';
import { AppError } from '../../errors.ts';
import { IMAGE_FORMAT_NAMES, IMAGE_FORMATS } from '../../image.ts';
import { IMAGE_SORTS } from '../../images/records.ts';
import type { CommandContext } from '../terminal/context.ts';
import { addPagingOptions, parseWholeNumber } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { addClientCommand, type ClientOptions, type Connection, connectProfile } from './connection.ts';
import { readSinglePicture } from './local-files.ts';
import { addTransformOptions, readTransform, type TransformOptions } from './transform.ts';

const COLUMNS: readonly Column<Image>[] = [
  ['IMAGE', ({ imageID }) => imageID],
  ['NAME', ({ fileName }) => fileName, 'long'],
  ['SIZE', ({ width, height }) => (width && height ? `${width}x${height}` : undefined)],
  ['BYTES', ({ bytes }) => bytes?.toLocaleString('en')],
  ['CREATED', ({ createdOn }) => createdOn.toISOString()],
  ['DISABLED', ({ disabledOn }) => disabledOn?.toISOString()],
  ['ALT TEXT', ({ altText }) => altText, 'long'],
];

const IMAGE = 'image ID, public ID or public link';

interface ListOptions
  extends ClientOptions,
    Pick<ListImagesRequest, 'search' | 'tag' | 'format' | 'minWidth' | 'minHeight' | 'sort'> {
  readonly skip: number;
  readonly count: number;
  readonly all?: true;
  readonly disabled?: boolean;
  readonly unused?: boolean;
  readonly missingAlt?: true;
}

function addFilterOptions(command: Command): Command {
  return command
    .option('--search <text>', 'only images with this text in the alt text, the name or a tag')
    .option('--tag <tag>', 'only images with this tag')
    .addOption(new Option('--format <name>', 'only images of this format').choices(IMAGE_FORMATS))
    .option('--min-width <pixels>', 'only images that are at least this wide', parseWholeNumber)
    .option('--min-height <pixels>', 'only images that are at least this high', parseWholeNumber)
    .option('--disabled', 'only disabled images')
    .option('--no-disabled', 'only images that are not disabled')
    .option('--unused', 'only images that no product or line item shows')
    .option('--no-unused', 'only images that a product or line item shows')
    .option('--missing-alt', 'only images without an alt text')
    .addOption(
      new Option('--sort <order>', 'the order; a minus reverses it, as in --sort=-bytes').choices(
        IMAGE_SORTS,
      ),
    );
}

/** The options that were given, as the filters of a list. */
function filtersOf(options: ListOptions): Partial<ListImagesRequest> {
  const { search, tag, format, minWidth, minHeight, disabled, unused, missingAlt, sort } = options;
  const filters = { search, tag, format, minWidth, minHeight, disabled, unused, sort };
  return { ...filters, ...(missingAlt && { altText: 'missing' }) };
}

export function addImageCommands(program: Command, context: CommandContext): void {
  const addCommand = (name: string, description: string) => addClientCommand(program, name, description);

  /** Runs `work` and prints the image that it returns. */
  const printImage = async (options: ClientOptions, work: (connection: Connection) => Promise<Image>) => {
    const image = await work(await connectProfile(options, context));
    context.stdout(options.json ? formatJSON(image) : formatImage(image));
  };

  addFilterOptions(addPagingOptions(addCommand('list', 'list the images of the account, newest first')))
    .option('--all', 'list all images, and ignore --count')
    .action(async (options: ListOptions) => {
      const { vitrine, accountID } = await connectProfile(options, context);
      const { skip, count } = options;
      const request = { accountID, skip, ...filtersOf(options) };
      const images: Image[] = [];
      if (options.all) for await (const image of vitrine.images.list(request)) images.push(image);
      else images.push(...(await vitrine.images.list({ ...request, count })).result);
      context.stdout(
        options.json
          ? formatJSON(images)
          : await formatTable(context, images, COLUMNS, 'There are no images.'),
      );
    });

  addCommand('show', 'show an image')
    .argument('<image>', IMAGE)
    .action((name: string, options: ClientOptions) =>
      printImage(options, ({ findImage }) => findImage(name)),
    );

  addCommand('replace', 'replace the picture of an image; its ID and link stay')
    .argument('<image>', IMAGE)
    .argument('<file>', `path of the new picture: ${IMAGE_FORMAT_NAMES}, at most 16 MiB`)
    .option('--alt <text>', 'new alt text, at most 2000 characters (default: no change)')
    .action((name: string, file: string, options: ClientOptions & { alt?: string }) =>
      printImage(options, async ({ findImage, vitrine, accountID }) => {
        const image = await readSinglePicture(file);
        const current = await findImage(name);
        const { imageID } = current;
        const metadata =
          options.alt === undefined ? {} : { metadata: { ...otherMetadata(current), altText: options.alt } };
        return (await vitrine.images.update({ accountID, imageID, image, ...metadata })).result;
      }),
    );

  addCommand('alt', 'set or clear the alt text of an image')
    .argument('<image>', IMAGE)
    .argument('[text]', 'description of the image for readers who do not see it, at most 2000 characters')
    .option('--clear', 'remove the alt text; use it instead of the text')
    .action((name: string, altText: string | undefined, options: ClientOptions & { clear?: true }) =>
      printImage(options, async ({ findImage, vitrine, accountID }) => {
        if ((altText === undefined) === (options.clear === undefined)) {
          throw new AppError('invalid-request', 'give either the text or --clear');
        }
        const current = await findImage(name);
        const metadata = { ...otherMetadata(current), altText: altText ?? '' };
        const { imageID } = current;
        return (await vitrine.images.updateMetadata({ accountID, imageID, ...metadata })).result;
      }),
    );

  addCommand('disable', 'disable an image: its link still works, but it can no longer be changed or assigned')
    .argument('<image>', IMAGE)
    .action((name: string, options: ClientOptions) =>
      printImage(options, async ({ findImage, vitrine, accountID }) => {
        const { imageID } = await findImage(name);
        await vitrine.images.delete({ accountID, imageID });
        return (await vitrine.images.getMetadata({ accountID, imageID })).result;
      }),
    );

  addCommand('enable', 'enable a disabled image again')
    .argument('<image>', IMAGE)
    .action((name: string, options: ClientOptions) =>
      printImage(options, async ({ findImage, vitrine, accountID }) => {
        const { imageID } = await findImage(name);
        return (await vitrine.images.enable({ accountID, imageID })).result;
      }),
    );

  addTransformOptions(addCommand('url', 'print the public link of an image'))
    .argument('<image>', IMAGE)
    .action(async (name: string, options: TransformOptions) => {
      const url = await buildURL(name, options, context);
      context.stdout(options.json ? formatJSON({ url }) : `${url}\n`);
    });

  addTransformOptions(addCommand('open', 'open the public link of an image in the browser'))
    .argument('<image>', IMAGE)
    .action(async (name: string, options: TransformOptions) => {
      const url = await buildURL(name, options, context);
      // The link comes from the server. Another scheme could start another program.
      if (!/^https?:\/\//i.test(url)) {
        throw new AppError('conflict', 'the link of the image must be an http or https URL');
      }
      const { default: open } = await import('open');
      await open(url);
      context.stdout(options.json ? formatJSON({ url }) : `${url}\n`);
    });
}

/** The metadata that an update of the alt text must send again, because an update replaces all of it. */
function otherMetadata({ focalPoint, tags }: Image): Pick<Image, 'focalPoint' | 'tags'> {
  return { ...(focalPoint && { focalPoint }), ...(tags && { tags }) };
}

/** @throws AppError `invalid-request` before any request if an option is not valid. */
async function buildURL(name: string, options: TransformOptions, context: CommandContext): Promise<string> {
  const transform = await readTransform(options);
  const { findImage } = await connectProfile(options, context);
  const { imageURL } = await import('@vitrine/client');
  return imageURL((await findImage(name)).link, transform as ImageURLOptions);
}

function formatImage(image: Image): string {
  const { imageID, publicID, link, altText, fileName, tags = [], width, height, bytes, format } = image;
  const { createdOn, updatedOn, disabledOn } = image;
  return formatRecord({
    image: imageID,
    'public ID': publicID,
    link,
    'alt text': altText,
    name: fileName,
    tags: tags.length > 0 ? tags.join(', ') : undefined,
    picture: width && `${format}, ${width}x${height} pixels, ${bytes?.toLocaleString('en')} bytes`,
    created: createdOn.toISOString(),
    updated: updatedOn.toISOString(),
    disabled: disabledOn?.toISOString(),
  });
}
