/**
 * `vitrine login`, `logout` and `profiles`: creates, checks, removes and lists profiles. Never prints a
 * secret key.
 */
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { CommandContext } from '../terminal/context.ts';
import { formatJSON, formatRecord, sanitizeLine } from '../terminal/output.ts';
import { addSecretOptions, ask, readSecret, type SecretOptions } from '../terminal/secret-prompt.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { connect, findAccounts, parseAccountID, parseServerURL } from './connection.ts';
import { checkProfileName, configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

interface LoginOptions extends SecretOptions {
  readonly profile: string;
  readonly server?: string;
  readonly account?: string;
  readonly key?: string;
  readonly json?: true;
}

/** A profile without its secret key. */
interface ProfileJSON {
  readonly profile: string;
  readonly serverURL: string;
  readonly accountID: string;
  readonly publicKey: string;
}

const COLUMNS: readonly Column<ProfileJSON>[] = [
  ['PROFILE', ({ profile }) => profile],
  ['SERVER', ({ serverURL }) => serverURL, 'long'],
  ['ACCOUNT', ({ accountID }) => accountID],
  ['PUBLIC KEY', ({ publicKey }) => publicKey, 'long'],
];

export function addLoginCommands(program: Command, context: CommandContext): void {
  const openProfiles = () => new Profiles(configFolder(context.env));

  const login = program
    .command('login')
    .description('check the credentials of an account with its server, and save them as a profile')
    .option('--profile <name>', 'name of the profile', DEFAULT_PROFILE)
    .option('--server <url>', 'URL of the server, such as https://images.example.com')
    .option('--account <uuid>', 'ID of the account (default: the account of the key)')
    .option('--key <public key>', 'public key')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nOn a terminal, the command asks for everything that is missing.');
  addSecretOptions(login).action(async (options: LoginOptions) => {
    const name = checkProfileName(options.profile);
    const { server = await askFor('Server URL', '--server', context) } = options;
    const serverURL = parseServerURL(server, '--server');
    const { key = await askFor('Public key', '--key', context) } = options;
    const publicKey = parsePublicKey(key);
    const givenID = options.account === undefined ? undefined : parseAccountID(options.account, '--account');
    const keyPair = { serverURL, publicKey, secretKey: await readSecret(options, context) };
    const accountID = givenID ?? (await chooseAccount(keyPair, context));
    const profile = { ...keyPair, accountID };
    await checkAccess(profile);
    await openProfiles().save(name, profile);
    const output = profileJSON(name, profile);
    context.stdout(options.json ? formatJSON(output) : formatRecord({ ...output }));
  });

  program
    .command('logout')
    .description('remove a profile from this machine')
    .option('--profile <name>', 'name of the profile', DEFAULT_PROFILE)
    .option('--json', 'print JSON')
    .action(async ({ profile, json }: { profile: string; json?: true }) => {
      await openProfiles().remove(profile);
      context.stdout(json ? formatJSON({ profile }) : `Removed the profile "${profile}".\n`);
    });

  program
    .command('profiles')
    .description('list the profiles on this machine')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const rows = [...(await openProfiles().all())].map(([name, profile]) => profileJSON(name, profile));
      context.stdout(
        options.json ? formatJSON(rows) : await formatTable(context, rows, COLUMNS, 'There are no profiles.'),
      );
    });
}

/**
 * Builds a profile from options and reads its secret key.
 * @throws AppError `invalid-request` with the wrong option.
 */
export async function readProfile(
  { server, account, key, ...secret }: SecretOptions & { server: string; account: string; key: string },
  context: CommandContext,
): Promise<Profile> {
  const accountID = parseAccountID(account, '--account');
  const serverURL = parseServerURL(server, '--server');
  return {
    serverURL,
    accountID,
    publicKey: parsePublicKey(key),
    secretKey: await readSecret(secret, context),
  };
}

/** @throws AppError `invalid-request`. */
function parsePublicKey(text: string): string {
  const key = text.trim();
  if (key !== '' && !key.includes(':')) return key;
  throw new AppError('invalid-request', '--key must be a public key without a colon');
}

/** Asks on a terminal. @throws AppError `invalid-request` with the option, elsewhere. */
async function askFor(label: string, option: string, context: CommandContext): Promise<string> {
  if (context.stdin.isTTY) return ask(label, context);
  throw new AppError('invalid-request', `${option} is required without a terminal`);
}

/**
 * The account of a key. If the key has several, or all, the user chooses one on a terminal.
 * @throws AppError `invalid-request` without a choice; the errors of the client.
 */
async function chooseAccount(keyPair: Omit<Profile, 'accountID'>, context: CommandContext): Promise<string> {
  const accounts = await findAccounts(keyPair);
  const [first, ...others] = accounts ?? [];
  if (first && others.length === 0) return first.accountID;
  if (!context.stdin.isTTY || !accounts) {
    return parseAccountID(await askFor('Account ID', '--account', context), '--account');
  }
  accounts.forEach(({ accountID, displayName }, index) => {
    context.terminal.write(`${index + 1}  ${accountID}  ${sanitizeLine(displayName)}\n`);
  });
  const answer = await ask(`Account, 1 to ${accounts.length}`, context);
  const account = accounts[Number(answer) - 1];
  return account?.accountID ?? parseAccountID(answer, 'the account');
}

/**
 * Lists one image, because every client command needs at least the right to list.
 * @throws the errors of the client.
 */
async function checkAccess(profile: Profile): Promise<void> {
  const { vitrine, accountID } = await connect(profile);
  await vitrine.images.list({ accountID, count: 1 });
}

function profileJSON(profile: string, { serverURL, accountID, publicKey }: Profile): ProfileJSON {
  return { profile, serverURL, accountID, publicKey };
}
