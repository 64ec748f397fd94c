/**
 * `vitrine accounts …`: the arguments of these commands and their output. The rules and limits are in
 * access/.
 */
import type { Command } from 'commander';
import { readAccountSettings } from '../../access/settings.ts';
import type { CommandContext } from '../terminal/context.ts';
import { withFlagNames } from '../terminal/flags.ts';
import { addPagingOptions, pageOf } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import type { AccountJSON, Administrator } from './administrator.ts';
import { addPlaceOptions, PLACE_HELP, type PlaceOptions, withAdministrator } from './place.ts';
import type { Access } from './session.ts';

interface Options extends PlaceOptions {
  readonly json?: true;
}

interface QuotaOptions extends Options {
  readonly imageQuota?: string;
  readonly byteQuota?: string;
}

const COLUMNS: readonly Column<AccountJSON>[] = [
  ['ACCOUNT', ({ accountID }) => accountID],
  ['NAME', ({ displayName }) => displayName, 'long'],
  ['CREATED', ({ createdOn }) => createdOn],
  ['SUSPENDED', ({ suspendedOn }) => suspendedOn],
  ['IMAGE QUOTA', ({ imageQuota }) => String(imageQuota ?? 'default')],
  ['BYTE QUOTA', ({ byteQuota }) => String(byteQuota ?? 'default')],
];

/** The arguments and options of the fields of an account. */
const ACCOUNT_FLAGS = {
  accountID: '--id',
  displayName: '<name>',
  imageQuota: '--image-quota',
  byteQuota: '--byte-quota',
  disablePolicy: '<policy>',
};

const ACCOUNT_ID = 'ID of the account, a UUID';

export function addAccountCommands(program: Command, context: CommandContext): void {
  const accounts = program
    .command('accounts')
    .description('create and manage accounts, of local data or of a server')
    .addHelpText('after', PLACE_HELP);

  /** Adds a command that prints the account that `work` returns. */
  const addCommand = (name: string, description: string) =>
    addPlaceOptions(accounts.command(name).description(description)).option('--json', 'print JSON');

  const printAccount = async (
    options: Options,
    work: (administrator: Administrator) => Promise<AccountJSON>,
    access: Access = 'write',
  ) => {
    const account = await withFlagNames(ACCOUNT_FLAGS, () =>
      withAdministrator(context, options, access, work),
    );
    context.stdout(options.json ? formatJSON(account) : formatAccount(account));
  };

  addCommand('create', 'create an account')
    .argument('<name>', 'display name, 1 to 200 characters')
    .option('--id <uuid>', 'ID of the account (default: a random UUID)')
    .option('--image-quota <number>', 'maximum number of enabled images (default: VITRINE_IMAGE_QUOTA)')
    .option(
      '--byte-quota <bytes>',
      'maximum size of all originals of enabled images, in bytes (default: VITRINE_BYTE_QUOTA)',
    )
    .action((displayName: string, options: { id?: string } & QuotaOptions) =>
      printAccount(options, (administrator) => {
        const settings = readAccountSettings({
          displayName,
          accountID: options.id,
          ...readQuotas(options),
        });
        return administrator.createAccount(settings);
      }),
    );

  addPagingOptions(addCommand('list', 'list accounts, newest first')).action(
    async (options: Options & { skip: number; count: number }) => {
      const rows = await withAdministrator(context, options, 'read', (administrator) =>
        administrator.listAccounts(pageOf(options)),
      );
      context.stdout(
        options.json ? formatJSON(rows) : await formatTable(context, rows, COLUMNS, 'There are no accounts.'),
      );
    },
  );

  addCommand('show', 'show an account')
    .argument('<account>', ACCOUNT_ID)
    .action((account: string, options: Options) =>
      printAccount(options, (administrator) => administrator.getAccount(account), 'read'),
    );

  addCommand('rename', 'change the display name of an account')
    .argument('<account>', ACCOUNT_ID)
    .argument('<name>', 'new display name, 1 to 200 characters')
    .action((account: string, displayName: string, options: Options) =>
      printAccount(options, (administrator) =>
        administrator.changeAccount(account, readAccountSettings({ displayName })),
      ),
    );

  addCommand('limit', 'set the quotas of an account')
    .argument('<account>', ACCOUNT_ID)
    .option(
      '--image-quota <number>',
      'maximum number of enabled images; "default" means VITRINE_IMAGE_QUOTA (default: no change)',
    )
    .option(
      '--byte-quota <bytes>',
      'maximum size of all originals of enabled images, in bytes; "default" means VITRINE_BYTE_QUOTA (default: no change)',
    )
    .action((account: string, options: QuotaOptions) =>
      printAccount(options, (administrator) => {
        const settings = readAccountSettings(readQuotas(options));
        return administrator.changeAccount(account, settings);
      }),
    );

  addCommand('policy', 'set whether the account may disable images that are in use')
    .argument('<account>', ACCOUNT_ID)
    .argument('<policy>', 'allow (the policy of new accounts) or refuse-in-use')
    .action((account: string, disablePolicy: string, options: Options) =>
      printAccount(options, (administrator) =>
        administrator.changeAccount(account, readAccountSettings({ disablePolicy })),
      ),
    );

  addCommand('suspend', 'reject the keys and tokens of an account; its public links still work')
    .argument('<account>', ACCOUNT_ID)
    .action((account: string, options: Options) =>
      printAccount(options, (administrator) => administrator.suspendAccount(account)),
    );

  addCommand('resume', 'end the suspension of an account')
    .argument('<account>', ACCOUNT_ID)
    .action((account: string, options: Options) =>
      printAccount(options, (administrator) => administrator.resumeAccount(account)),
    );
}

function readQuotas({ imageQuota, byteQuota }: QuotaOptions): object {
  return { imageQuota: readQuota(imageQuota), byteQuota: readQuota(byteQuota) };
}

/**
 * A number, or null for the default. Any other text passes unchanged: `readAccountSettings` rejects it with
 * the limit.
 */
function readQuota(text: string | undefined): unknown {
  if (text === 'default') return null;
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : text;
}

function formatAccount(account: AccountJSON): string {
  const { accountID, displayName, createdOn, suspendedOn, imageQuota, byteQuota, disablePolicy } = account;
  return formatRecord({
    account: accountID,
    name: displayName,
    created: createdOn,
    suspended: suspendedOn,
    'image quota': imageQuota ?? 'default',
    'byte quota': byteQuota ?? 'default',
    policy: disablePolicy,
  });
}
