/**
 * `vitrine keys …`. Owns the words of these commands and how keys are printed; what they do, and what their limits are,
 * is the administration's.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { type ApiKey, SCOPES } from '../../access/account.ts';
import { DEFAULT_OVERLAP, readKeySettings, readOverlap } from '../../access/settings.ts';
import { AppError } from '../../errors.ts';
import { keyJSON } from '../../http/access/json.ts';
import { type Column, json, lines, paged, table } from '../terminal/output.ts';
import { type Surroundings, withSession } from './session.ts';

const COLUMNS: readonly Column<ApiKey>[] = [
  ['KEY', ({ keyID }) => keyID],
  ['PUBLIC KEY', ({ publicKey }) => publicKey],
  ['NAME', ({ name }) => name],
  ['ACCOUNTS', accountsText],
  ['STATE', stateText],
  ['LAST USED', ({ lastUsedOn }) => lastUsedOn?.toISOString() ?? 'never'],
];

interface CreateOptions {
  readonly account?: string[];
  readonly allAccounts?: true;
  readonly scopes?: string;
  readonly expiresOn?: string;
  readonly json?: true;
}

export function addKeyCommands(program: Command, surroundings: Surroundings): void {
  const keys = program.command('keys').description('create and manage keys');

  keys
    .command('create')
    .description('create a key, and print its secret, once')
    .argument('<name>', 'what people call it')
    .option('--account <uuid...>', 'the accounts it may act for')
    .option('--all-accounts', 'instead: every account there is or will be')
    .option(
      '--scopes <list>',
      `separated by commas: ${SCOPES.join(', ')}; or "all" (default: all but accounts.…)`,
    )
    .option('--expires-on <time>', 'from when on it is no longer good, such as 2030-01-31T12:00:00Z')
    .option('--json', 'print JSON')
    .action(async (name: string, options: CreateOptions) => {
      const { account, allAccounts, expiresOn } = options;
      if ((account === undefined) === (allAccounts === undefined)) {
        throw new AppError(
          'invalid-request',
          'name either accounts (--account) or all of them (--all-accounts)',
        );
      }
      const scopes =
        options.scopes === 'all' ? SCOPES : options.scopes?.split(',').map((each) => each.trim());
      const accounts = account ?? 'all';
      const settings = readKeySettings({ name, accounts, scopes, expiresOn }, new Date());
      const { key, secretKey } = await withSession(surroundings, ({ administration, caller }) =>
        administration.createKey(caller, settings.accounts ?? 'all', settings),
      );
      const shown = { ...keyJSON(key), secretKey };
      surroundings.write(options.json ? json(shown) : lines({ ...fieldsOf(key), 'secret key': secretKey }));
    });

  paged(keys.command('list').description('list keys, newest first, revoked and expired ones too'))
    .option('--account <uuid>', 'only those that name this account')
    .option('--json', 'print JSON')
    .action(async (options: { skip: number; count: number; account?: string; json?: true }) => {
      const found = await withSession(surroundings, async ({ administration }) => {
        const { account } = options;
        const accountID = account && (await administration.getAccount(account)).accountID;
        return (await administration.listKeys(accountID, options)).keys;
      });
      const shown = options.json ? json(found.map(keyJSON)) : table(found, COLUMNS, 'There are no keys.');
      surroundings.write(shown);
    });

  keys
    .command('rotate')
    .description('give a key another secret, and print it, once')
    .argument('<key>', 'its ID, or its public key')
    .option(
      '--overlap <time>',
      'how long the secret before it stays valid, such as 0, 90m, 24h, 7d',
      seconds,
      DEFAULT_OVERLAP,
    )
    .option('--json', 'print JSON')
    .action(async (name: string, options: { overlap: number; json?: true }) => {
      const overlap = readOverlap({ overlapSeconds: options.overlap });
      const rotated = await withSession(surroundings, async ({ administration, caller, keyID }) =>
        administration.rotateKey(caller, undefined, await keyID(name), overlap),
      );
      const { key, secretKey } = rotated;
      const overlapUntil = rotated.overlapUntil.toISOString();
      const shown = { ...keyJSON(key), secretKey, overlapUntil };
      const text = lines({
        ...fieldsOf(key),
        'secret key': secretKey,
        'the one before, until': overlapUntil,
      });
      surroundings.write(options.json ? json(shown) : text);
    });

  keys
    .command('revoke')
    .description('end a key and its tokens for good')
    .argument('<key>', 'its ID, or its public key')
    .option('--json', 'print JSON')
    .action(async (name: string, options: { json?: true }) => {
      const key = await withSession(surroundings, async ({ administration, caller, keyID }) =>
        administration.revokeKey(caller, undefined, await keyID(name)),
      );
      surroundings.write(options.json ? json(keyJSON(key)) : lines(fieldsOf(key)));
    });
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** Reads an option that is a span of time, as seconds. */
export function seconds(text: string): number {
  const [, number, unit = ''] = /^(\d{1,7})([smhd])?$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('It must be such as 0, 30s, 90m, 24h or 7d.');
  return Number(number) * (UNITS[unit] ?? 1);
}

function accountsText({ accounts }: ApiKey): string {
  if (accounts === 'all') return 'all';
  return accounts.length === 1 ? (accounts[0] ?? '') : `${accounts.length} accounts`;
}

function stateText({ revokedOn, expiresOn }: ApiKey): string {
  if (revokedOn) return `revoked ${revokedOn.toISOString()}`;
  if (!expiresOn) return 'good';
  return `${expiresOn <= new Date() ? 'expired' : 'good until'} ${expiresOn.toISOString()}`;
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
