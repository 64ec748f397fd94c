/**
 * `vitrine whoami` and `usage`: the rights of the credentials, and the numbers of an account or the places
 * that show an image.
 */
import type { ImageUsage, Me } from '@vitrine/client';
import type { Command } from 'commander';
import type { CommandContext } from '../terminal/context.ts';
import { formatCount, formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import {
  addClientCommand,
  type ClientOptions,
  type Connection,
  connect,
  connectProfile,
  readCredentials,
} from './connection.ts';

/** One place that shows an image. */
interface Use {
  readonly kind: string;
  readonly id: string;
  readonly place: string;
}

const USE_COLUMNS: readonly Column<Use>[] = [
  ['SHOWN BY', ({ kind }) => kind],
  ['ID', ({ id }) => id],
  ['PLACE', ({ place }) => place, 'long'],
];

export function addWhoamiCommands(program: Command, context: CommandContext): void {
  addClientCommand(
    program,
    'whoami',
    'show the server, the account and the rights of the credentials',
  ).action(async (options: ClientOptions) => {
    const { profile, source } = await readCredentials(options, context);
    const { serverURL, accountID, publicKey } = profile;
    const me = await findRights(await connect(profile));
    const account = me?.accounts.find((each) => each.accountID === accountID);
    if (options.json) {
      context.stdout(formatJSON({ source, serverURL, accountID, publicKey, ...me }));
      return;
    }
    const scopes = account?.scopes ?? me?.scopes;
    context.stdout(
      formatRecord({
        'logged in by': source,
        server: serverURL,
        account: accountID,
        name: account?.displayName,
        'public key': publicKey,
        key: me?.keyID,
        accounts: me && (me.allAccounts ? 'all' : String(me.accounts.length)),
        scopes: scopes?.map((scope) => scope.replace(/^\/(accounts\/[^/]+\/)?/, '')).join(', '),
        expires: me?.expiresOn?.toISOString(),
      }),
    );
  });

  addClientCommand(program, 'usage', 'show what uses an image, or the counters and quotas of the account')
    .argument('[image]', 'image ID, public ID or public link (default: the account as a whole)')
    .action(async (name: string | undefined, options: ClientOptions) => {
      const connection = await connectProfile(options, context);
      if (name === undefined) {
        const usage = await readAccountUsage(connection);
        context.stdout(options.json ? formatJSON(usage) : formatRecord(textsOf(usage)));
        return;
      }
      const { vitrine, accountID, findImage } = connection;
      const { imageID } = await findImage(name);
      const { result } = await vitrine.images.usage({ accountID, imageID });
      if (options.json) {
        context.stdout(formatJSON(result));
        return;
      }
      const uses = usesOf(result);
      context.stdout(await formatTable(context, uses, USE_COLUMNS, 'Nothing shows the image.'));
      const { products, options: inOptions, lineItems } = result.totals;
      const rest = products + inOptions + lineItems - uses.length;
      if (rest > 0) context.stdout(`and ${formatCount(rest, 'older use')}\n`);
    });
}

/** The rights of the credentials. Undefined if the server cannot say. */
async function findRights({ vitrine }: Connection): Promise<Me | undefined> {
  try {
    return (await vitrine.keys.me()).result;
  } catch (error) {
    if ((error as { status?: number }).status !== 404) throw error;
    // Other servers lack this operation. The check of the credentials is the same everywhere.
    await vitrine.ping.ping();
    return undefined;
  }
}

interface AccountUsage {
  readonly accountID: string;
  readonly displayName?: string;
  readonly images: number;
  /** Undefined for a server that does not count them. */
  readonly enabledImages: number | undefined;
  readonly products: number | undefined;
  /** Undefined: the default of the server, or the credentials may not read it. */
  readonly imageQuota?: number;
  readonly byteQuota?: number;
}

async function readAccountUsage({ vitrine, accountID }: Connection): Promise<AccountUsage> {
  const countOf = (headers: Readonly<Record<string, string[]>>) => {
    const total = headers['x-total-count']?.[0];
    return total === undefined ? undefined : Number(total);
  };
  const ignoreForbidden = (error: unknown) => {
    if (![403, 404].includes((error as { status?: number }).status ?? 0)) throw error;
    return undefined;
  };
  const [all, enabled, products, account] = await Promise.all([
    vitrine.images.list({ accountID, count: 1 }),
    vitrine.images.list({ accountID, count: 1, disabled: false }),
    vitrine.products.list({ accountID, count: 1 }).catch(ignoreForbidden),
    vitrine.accounts.get({ accountID }).catch(ignoreForbidden),
  ]);
  const { displayName, imageQuota, byteQuota } = account?.result ?? {};
  return {
    accountID,
    ...(displayName !== undefined && { displayName }),
    images: countOf(all.headers) ?? all.result.length,
    enabledImages: countOf(enabled.headers),
    products: products && countOf(products.headers),
    ...(imageQuota !== undefined && { imageQuota }),
    ...(byteQuota !== undefined && { byteQuota }),
  };
}

function textsOf(usage: AccountUsage): Record<string, string | number | undefined> {
  const { accountID, displayName, images, enabledImages, products, imageQuota, byteQuota } = usage;
  // Only credentials with `accounts.read` see the name, and then also the quotas.
  const isKnown = displayName !== undefined;
  return {
    account: accountID,
    name: displayName,
    images,
    enabled: enabledImages,
    'image quota': imageQuota ?? (isKnown ? 'default of the server' : undefined),
    'byte quota': byteQuota ?? (isKnown ? 'default of the server' : undefined),
    products,
  };
}

function usesOf({ products, options, lineItems }: ImageUsage): Use[] {
  return [
    ...products.map(({ productID, title }) => ({ kind: 'product', id: productID, place: title })),
    ...options.map(({ productID, title, optionGroup, option }) => ({
      kind: 'option',
      id: productID,
      place: [title, optionGroup.name, option.name].join(' > '),
    })),
    ...lineItems.map(({ lineItemsID, item, option }) => ({
      kind: 'line item',
      id: lineItemsID,
      place: [item.name, option?.name].filter(Boolean).join(' > '),
    })),
  ];
}
