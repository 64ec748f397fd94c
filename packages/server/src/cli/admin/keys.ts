/**
 * `vitrine keys …`: the arguments of these commands and their output. The rules and limits are in access/.
 */
import type { Command } from 'commander';
import { type ApiKey, SCOPES } from '../../access/account.ts';
import { DEFAULT_OVERLAP, MAX_OVERLAP, readKeySettings } from '../../access/settings.ts';
import { AppError } from '../../errors.ts';
import { keyJSON } from '../../http/access/json.ts';
import type { CommandContext } from '../terminal/context.ts';
import { withFlagNames } from '../terminal/flags.ts';
import { addPagingOptions, durationOption } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { withSession } from './session.ts';

const COLUMNS: readonly Column<ApiKey>[] = [
  ['KEY', ({ keyID }) => keyID],
  ['PUBLIC KEY', ({ publicKey }) => publicKey],
  ['NAME', ({ name }) => name, 'long'],
  ['ACCOUNTS', accountsText],
  ['STATE', stateText, 'long'],
  ['LAST USED', ({ lastUsedOn }) => lastUsedOn?.toISOString() ?? 'never', 'long'],
];

/** The options of the fields of a key. */
const KEY_FLAGS = { name: '<name>', accounts: '--account', scopes: '--scopes', expiresOn: '--expires-on' };

const KEY = 'ID or public key of the key';

interface CreateOptions {
  readonly account?: string[];
  readonly allAccounts?: true;
  readonly scopes?: string;
  readonly expiresOn?: string;
  readonly json?: true;
}

export function addKeyCommands(program: Command, context: CommandContext): void {
  const keys = program.command('keys').description('create and manage API keys');

  keys
    .command('create')
    .description('create a key and print its secret, which is not shown again')
    .argument('<name>', 'display name, 1 to 200 characters')
    .option('--account <uuid...>', 'IDs of the accounts that the key has access to')
    .option('--all-accounts', 'give access to all current and future accounts; use it instead of --account')
    .option(
      '--scopes <list>',
      `comma-separated scopes: ${SCOPES.join(', ')}; or "all" (default: all except accounts.read and accounts.write)`,
    )
    .option('--expires-on <time>', 'expiry time in RFC 3339, such as 2030-01-31T12:00:00Z (default: never)')
    .option('--json', 'print JSON')
    .action(async (name: string, options: CreateOptions) => {
      const { account, allAccounts, expiresOn } = options;
      if ((account === undefined) === (allAccounts === undefined)) {
        throw new AppError('invalid-request', 'give either --account or --all-accounts');
      }
      const scopes =
        options.scopes === 'all' ? SCOPES : options.scopes?.split(',').map((scope) => scope.trim());
      const accounts = account ?? 'all';
      const settings = await withFlagNames(KEY_FLAGS, () =>
        readKeySettings({ name, accounts, scopes, expiresOn }, new Date()),
      );
      const { key, secretKey } = await withSession(context, 'write', ({ administration, caller }) =>
        administration.createKey(caller, settings.accounts ?? 'all', settings),
      );
      const output = options.json
        ? formatJSON({ ...keyJSON(key), secretKey })
        : formatRecord({ ...fieldsOf(key), 'secret key': secretKey });
      context.stdout(output);
    });

  addPagingOptions(keys.command('list').description('list keys, newest first, with revoked and expired ones'))
    .option('--account <uuid>', 'list only keys that name this account (default: all keys)')
    .option('--json', 'print JSON')
    .action(async (options: { skip: number; count: number; account?: string; json?: true }) => {
      const page = await withSession(context, 'read', async ({ administration }) => {
        const { account } = options;
        const accountID = account && (await administration.getAccount(account)).accountID;
        return administration.listKeys(accountID, options);
      });
      const output = options.json
        ? formatJSON(page.keys.map(keyJSON))
        : await formatTable(context, page.keys, COLUMNS, 'There are no keys.');
      context.stdout(output);
    });

  keys
    .command('rotate')
    .description('give a key a new secret and print it; it is not shown again')
    .argument('<key>', KEY)
    .addOption(
      durationOption(
        '--overlap <duration>',
        'how long the old secret stays valid, in seconds or such as 90m, 24h or 7d; at most 7d',
        { defaultValue: DEFAULT_OVERLAP, max: MAX_OVERLAP },
      ),
    )
    .option('--json', 'print JSON')
    .action(async (name: string, options: { overlap: number; json?: true }) => {
      const rotation = await withSession(context, 'write', async ({ administration, caller, findKeyID }) =>
        administration.rotateKey(caller, undefined, await findKeyID(name), options.overlap),
      );
      const { key, secretKey } = rotation;
      const overlapUntil = rotation.overlapUntil.toISOString();
      const output = options.json
        ? formatJSON({ ...keyJSON(key), secretKey, overlapUntil })
        : formatRecord({
            ...fieldsOf(key),
            'secret key': secretKey,
            'old secret until': overlapUntil,
          });
      context.stdout(output);
    });

  keys
    .command('revoke')
    .description('end a key and its tokens permanently')
    .argument('<key>', KEY)
    .option('--json', 'print JSON')
    .action(async (name: string, options: { json?: true }) => {
      const key = await withSession(context, 'write', async ({ administration, caller, findKeyID }) =>
        administration.revokeKey(caller, undefined, await findKeyID(name)),
      );
      context.stdout(options.json ? formatJSON(keyJSON(key)) : formatRecord(fieldsOf(key)));
    });
}

function accountsText({ accounts }: ApiKey): string {
  if (accounts === 'all') return 'all';
  return accounts.length === 1 ? (accounts[0] ?? '') : `${accounts.length} accounts`;
}

function stateText({ revokedOn, expiresOn }: ApiKey): string {
  if (revokedOn) return `revoked ${revokedOn.toISOString()}`;
  if (!expiresOn) return 'valid';
  return `${expiresOn <= new Date() ? 'expired' : 'valid until'} ${expiresOn.toISOString()}`;
}

function fieldsOf(key: ApiKey): Record<string, string> {
  return {
    key: key.keyID,
    name: key.name,
    accounts: key.accounts === 'all' ? 'all' : key.accounts.join(' '),
    scopes: key.scopes.join(' '),
    state: stateText(key),
    'public key': key.publicKey,
  };
}
