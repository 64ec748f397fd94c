/**
 * `vitrine keys …`: the arguments of these commands and their output. The rules and limits are in access/.
 */
import type { Command } from 'commander';
import { SCOPES } from '../../access/account.ts';
import { DEFAULT_OVERLAP, MAX_OVERLAP, readKeySettings } from '../../access/settings.ts';
import { AppError } from '../../errors.ts';
import type { CommandContext } from '../terminal/context.ts';
import { withFlagNames } from '../terminal/flags.ts';
import { addPagingOptions, durationOption, pageOf } from '../terminal/options.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import type { KeyJSON } from './administrator.ts';
import { addPlaceOptions, PLACE_HELP, type PlaceOptions, withAdministrator } from './place.ts';

const COLUMNS: readonly Column<KeyJSON>[] = [
  ['KEY', ({ keyID }) => keyID],
  ['PUBLIC KEY', ({ publicKey }) => publicKey],
  ['NAME', ({ name }) => name, 'long'],
  ['ACCOUNTS', accountsText],
  ['STATE', stateText, 'long'],
  ['LAST USED', ({ lastUsedOn }) => lastUsedOn ?? 'never', 'long'],
];

/** The options of the fields of a key. */
const KEY_FLAGS = { name: '<name>', accounts: '--account', scopes: '--scopes', expiresOn: '--expires-on' };

const KEY = 'ID or public key of the key';

interface Options extends PlaceOptions {
  readonly json?: true;
}

interface CreateOptions extends Options {
  readonly account?: string[];
  readonly allAccounts?: true;
  readonly scopes?: string;
  readonly expiresOn?: string;
}

export function addKeyCommands(program: Command, context: CommandContext): void {
  const keys = program
    .command('keys')
    .description('create and manage API keys, of local data or of a server')
    .addHelpText('after', PLACE_HELP);
  const addCommand = (name: string, description: string) =>
    addPlaceOptions(keys.command(name).description(description)).option('--json', 'print JSON');

  addCommand('create', 'create a key and print its secret, which is not shown again')
    .argument('<name>', 'display name, 1 to 200 characters')
    .option('--account <uuid...>', 'IDs of the accounts that the key has access to')
    .option('--all-accounts', 'give access to all current and future accounts; use it instead of --account')
    .option(
      '--scopes <list>',
      `comma-separated scopes: ${SCOPES.join(', ')}; or "all" (default: all except accounts.read and accounts.write)`,
    )
    .option('--expires-on <time>', 'expiry time in RFC 3339, such as 2030-01-31T12:00:00Z (default: never)')
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
      const key = await withAdministrator(context, options, 'write', (administrator) =>
        administrator.createKey(settings.accounts ?? 'all', settings),
      );
      context.stdout(
        options.json ? formatJSON(key) : formatRecord({ ...fieldsOf(key), 'secret key': key.secretKey }),
      );
    });

  addPagingOptions(addCommand('list', 'list keys, newest first, with revoked and expired ones'))
    .option('--account <uuid>', 'list only keys that name this account (default: all keys)')
    .action(async (options: Options & { skip: number; count: number; account?: string }) => {
      const rows = await withAdministrator(context, options, 'read', (administrator) =>
        administrator.listKeys(options.account, pageOf(options)),
      );
      context.stdout(
        options.json ? formatJSON(rows) : await formatTable(context, rows, COLUMNS, 'There are no keys.'),
      );
    });

  addCommand('rotate', 'give a key a new secret and print it; it is not shown again')
    .argument('<key>', KEY)
    .addOption(
      durationOption(
        '--overlap <duration>',
        'how long the old secret stays valid, in seconds or such as 90m, 24h or 7d; at most 7d',
        { defaultValue: DEFAULT_OVERLAP, max: MAX_OVERLAP },
      ),
    )
    .action(async (name: string, options: Options & { overlap: number }) => {
      const key = await withAdministrator(context, options, 'write', (administrator) =>
        administrator.rotateKey(name, options.overlap),
      );
      const { secretKey, overlapUntil } = key;
      context.stdout(
        options.json
          ? formatJSON(key)
          : formatRecord({
              ...fieldsOf(key),
              'secret key': secretKey,
              'old secret until': overlapUntil,
            }),
      );
    });

  addCommand('revoke', 'end a key and its tokens permanently')
    .argument('<key>', KEY)
    .action(async (name: string, options: Options) => {
      const key = await withAdministrator(context, options, 'write', (administrator) =>
        administrator.revokeKey(name),
      );
      context.stdout(options.json ? formatJSON(key) : formatRecord(fieldsOf(key)));
    });
}

function accountsText({ accounts }: KeyJSON): string {
  if (accounts === 'all') return 'all';
  return accounts.length === 1 ? (accounts[0] ?? '') : `${accounts.length} accounts`;
}

function stateText({ revokedOn, expiresOn }: KeyJSON): string {
  if (revokedOn) return `revoked ${revokedOn}`;
  if (!expiresOn) return 'valid';
  return `${Date.parse(expiresOn) <= Date.now() ? 'expired' : 'valid until'} ${expiresOn}`;
}

function fieldsOf(key: KeyJSON): Record<string, string | undefined> {
  return {
    key: key.keyID,
    name: key.name,
    accounts: key.accounts === 'all' ? 'all' : key.accounts.join(' '),
    scopes: key.scopes.join(' '),
    state: stateText(key),
    'public key': key.publicKey,
  };
}
