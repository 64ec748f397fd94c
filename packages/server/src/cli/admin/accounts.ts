/**
 * `vitrine accounts …`: the arguments of these commands and their output. The rules and limits are in
 * access/.
 */
import type { Command } from 'commander';
import type { Account } from '../../access/account.ts';
import { readAccountSettings } from '../../access/settings.ts';
import { accountJSON } from '../../http/access/json.ts';
import type { CommandContext } from '../terminal/context.ts';
import { withFlagNames } from '../terminal/flags.ts';
import { addPagingOptions } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { type Access, type Session, withSession } from './session.ts';

type AccountJSON = ReturnType<typeof accountJSON>;

interface QuotaOptions {
  readonly imageQuota?: string;
  readonly byteQuota?: string;
  readonly json?: true;
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
  const accounts = program.command('accounts').description('create and manage accounts');

  /** Runs `work` and prints the account that it returns. */
  const printAccount = async (
    options: { json?: true },
    work: (session: Session) => Promise<Account>,
    access: Access = 'write',
  ) => {
    const account = accountJSON(await withFlagNames(ACCOUNT_FLAGS, () => withSession(context, access, work)));
    context.stdout(options.json ? formatJSON(account) : formatAccount(account));
  };

  accounts
    .command('create')
    .description('create an account')
    .argument('<name>', 'display name, 1 to 200 characters')
    .option('--id <uuid>', 'ID of the account (default: a random UUID)')
    .option('--image-quota <number>', 'maximum number of enabled images (default: VITRINE_IMAGE_QUOTA)')
    .option(
      '--byte-quota <bytes>',
      'maximum size of all originals of enabled images, in bytes (default: VITRINE_BYTE_QUOTA)',
    )
    .option('--json', 'print JSON')
    .action((displayName: string, options: { id?: string } & QuotaOptions) =>
      printAccount(options, ({ administration, caller }) => {
        const settings = readAccountSettings({
          displayName,
          accountID: options.id,
          ...readQuotas(options),
        });
        return administration.createAccount(caller, settings);
      }),
    );

  addPagingOptions(accounts.command('list').description('list accounts, newest first'))
    .option('--json', 'print JSON')
    .action(async (options: { skip: number; count: number; json?: true }) => {
      const page = await withSession(context, 'read', ({ administration, caller }) =>
        administration.listAccounts(caller, options),
      );
      const rows = page.accounts.map(accountJSON);
      context.stdout(
        options.json ? formatJSON(rows) : await formatTable(context, rows, COLUMNS, 'There are no accounts.'),
      );
    });

  accounts
    .command('show')
    .description('show an account')
    .argument('<account>', ACCOUNT_ID)
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printAccount(options, ({ administration }) => administration.getAccount(account), 'read'),
    );

  accounts
    .command('rename')
    .description('change the display name of an account')
    .argument('<account>', ACCOUNT_ID)
    .argument('<name>', 'new display name, 1 to 200 characters')
    .option('--json', 'print JSON')
    .action((account: string, displayName: string, options: { json?: true }) =>
      printAccount(options, ({ administration, caller }) =>
        administration.changeAccount(caller, account, readAccountSettings({ displayName })),
      ),
    );

  accounts
    .command('limit')
    .description('set the quotas of an account')
    .argument('<account>', ACCOUNT_ID)
    .option(
      '--image-quota <number>',
      'maximum number of enabled images; "default" means VITRINE_IMAGE_QUOTA (default: no change)',
    )
    .option(
      '--byte-quota <bytes>',
      'maximum size of all originals of enabled images, in bytes; "default" means VITRINE_BYTE_QUOTA (default: no change)',
    )
    .option('--json', 'print JSON')
    .action((account: string, options: QuotaOptions) =>
      printAccount(options, ({ administration, caller }) => {
        const settings = readAccountSettings(readQuotas(options));
        return administration.changeAccount(caller, account, settings);
      }),
    );

  accounts
    .command('policy')
    .description('set whether the account may disable images that are in use')
    .argument('<account>', ACCOUNT_ID)
    .argument('<policy>', 'allow (the policy of new accounts) or refuse-in-use')
    .option('--json', 'print JSON')
    .action((account: string, disablePolicy: string, options: { json?: true }) =>
      printAccount(options, ({ administration, caller }) =>
        administration.changeAccount(caller, account, readAccountSettings({ disablePolicy })),
      ),
    );

  accounts
    .command('suspend')
    .description('reject the keys and tokens of an account; its public links still work')
    .argument('<account>', ACCOUNT_ID)
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printAccount(options, ({ administration, caller }) => administration.suspendAccount(caller, account)),
    );

  accounts
    .command('resume')
    .description('end the suspension of an account')
    .argument('<account>', ACCOUNT_ID)
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printAccount(options, ({ administration, caller }) => administration.resumeAccount(caller, account)),
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
