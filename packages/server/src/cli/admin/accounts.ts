/**
 * `vitrine accounts …`. Owns the words of these commands and how accounts are printed; what they do, and what their
 * limits are, is the administration's.
 */
import type { Command } from 'commander';
import type { Account } from '../../access/account.ts';
import { readAccountSettings } from '../../access/settings.ts';
import { accountJSON } from '../../http/access/json.ts';
import { type Column, json, lines, paged, table } from '../terminal/output.ts';
import { type Session, type Surroundings, withSession } from './session.ts';

type Shown = ReturnType<typeof accountJSON>;

interface Quotas {
  readonly imageQuota?: string;
  readonly byteQuota?: string;
  readonly json?: true;
}

const COLUMNS: readonly Column<Shown>[] = [
  ['ACCOUNT', ({ accountID }) => accountID],
  ['NAME', ({ displayName }) => displayName],
  ['CREATED', ({ createdOn }) => createdOn],
  ['SUSPENDED', ({ suspendedOn }) => suspendedOn],
  ['IMAGE QUOTA', ({ imageQuota }) => String(imageQuota ?? 'default')],
  ['BYTE QUOTA', ({ byteQuota }) => String(byteQuota ?? 'default')],
];

export function addAccountCommands(program: Command, surroundings: Surroundings): void {
  const accounts = program.command('accounts').description('create and manage accounts');

  /** Runs something that comes out as an account, and prints it. */
  const printing = async (options: { json?: true }, work: (session: Session) => Promise<Account>) => {
    const account = accountJSON(await withSession(surroundings, work));
    surroundings.write(options.json ? json(account) : text(account));
  };

  accounts
    .command('create')
    .description('create an account')
    .argument('<name>', 'what people call it')
    .option('--id <uuid>', 'the ID to give it (default: a new one)')
    .option('--image-quota <number>', 'how many images may be enabled at once')
    .option('--byte-quota <bytes>', 'bytes of originals of enabled images')
    .option('--json', 'print JSON')
    .action((displayName: string, options: { id?: string } & Quotas) =>
      printing(options, ({ administration, caller }) => {
        const settings = readAccountSettings({ displayName, accountID: options.id, ...quotas(options) });
        return administration.createAccount(caller, settings);
      }),
    );

  paged(accounts.command('list').description('list accounts, newest first'))
    .option('--json', 'print JSON')
    .action(async (page: { skip: number; count: number; json?: true }) => {
      const { accounts: found } = await withSession(surroundings, ({ administration, caller }) =>
        administration.listAccounts(caller, page),
      );
      const shown = found.map(accountJSON);
      surroundings.write(page.json ? json(shown) : table(shown, COLUMNS, 'There are no accounts.'));
    });

  accounts
    .command('show')
    .description('show an account')
    .argument('<account>', 'its ID')
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printing(options, ({ administration }) => administration.getAccount(account)),
    );

  accounts
    .command('rename')
    .description('give an account another name')
    .argument('<account>', 'its ID')
    .argument('<name>', 'what people are to call it')
    .option('--json', 'print JSON')
    .action((account: string, displayName: string, options: { json?: true }) =>
      printing(options, ({ administration, caller }) =>
        administration.changeAccount(caller, account, readAccountSettings({ displayName })),
      ),
    );

  accounts
    .command('limit')
    .description('set the quotas of an account')
    .argument('<account>', 'its ID')
    .option('--image-quota <number>', 'how many images may be enabled at once, or "default"')
    .option('--byte-quota <bytes>', 'bytes of originals of enabled images, or "default"')
    .option('--json', 'print JSON')
    .action((account: string, options: Quotas) =>
      printing(options, ({ administration, caller }) => {
        const settings = readAccountSettings(quotas(options));
        return administration.changeAccount(caller, account, settings);
      }),
    );

  accounts
    .command('policy')
    .description('say whether images in use may be disabled')
    .argument('<account>', 'its ID')
    .argument('<policy>', 'allow (which all have at first) or refuse-in-use')
    .option('--json', 'print JSON')
    .action((account: string, disablePolicy: string, options: { json?: true }) =>
      printing(options, ({ administration, caller }) =>
        administration.changeAccount(caller, account, readAccountSettings({ disablePolicy })),
      ),
    );

  accounts
    .command('suspend')
    .description('refuse the keys and tokens of an account; its public links stay')
    .argument('<account>', 'its ID')
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printing(options, ({ administration, caller }) => administration.suspendAccount(caller, account)),
    );

  accounts
    .command('resume')
    .description('end the suspension of an account')
    .argument('<account>', 'its ID')
    .option('--json', 'print JSON')
    .action((account: string, options: { json?: true }) =>
      printing(options, ({ administration, caller }) => administration.resumeAccount(caller, account)),
    );
}

function quotas({ imageQuota, byteQuota }: Quotas): object {
  return { imageQuota: quota(imageQuota), byteQuota: quota(byteQuota) };
}

/** As the settings take it; what is no number they refuse in their own words. */
function quota(text: string | undefined): unknown {
  if (text === 'default') return null;
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : text;
}

function text(account: Shown): string {
  const { accountID, displayName, createdOn, suspendedOn, imageQuota, byteQuota, disablePolicy } = account;
  return lines({
    account: accountID,
    name: displayName,
    created: createdOn,
    suspended: suspendedOn,
    'image quota': imageQuota ?? 'default',
    'byte quota': byteQuota ?? 'default',
    policy: disablePolicy,
  });
}
