/**
 * `vitrine login`, `logout` and `profiles`: creates, checks, removes and lists profiles. Never prints a
 * secret key.
 */
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { parseUUID } from '../../validation/uuid.ts';
import type { CommandContext } from '../terminal/context.ts';
import { formatJSON, formatRecord } from '../terminal/output.ts';
import { addSecretOptions, readSecret, type SecretOptions } from '../terminal/secret-prompt.ts';
import { type Column, formatTable } from '../terminal/table.ts';
import { connect } from './connection.ts';
import { checkProfileName, configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

interface LoginOptions extends SecretOptions {
  readonly profile: string;
  readonly server: string;
  readonly account: string;
  readonly key: string;
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
    .requiredOption('--server <url>', 'URL of the server, such as https://images.example.com')
    .requiredOption('--account <uuid>', 'ID of the account')
    .requiredOption('--key <public key>', 'public key')
    .option('--json', 'print JSON');
  addSecretOptions(login).action(async (options: LoginOptions) => {
    const name = checkProfileName(options.profile);
    const profile = await readProfile(options, context);
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
  const accountID = parseUUID(account);
  if (accountID === undefined)
    throw new AppError(
      'invalid-request',
      '--account must be a UUID, such as 3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb',
    );
  if (key.includes(':')) throw new AppError('invalid-request', '--key must be a public key without a colon');
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new AppError(
      'invalid-request',
      '--server must be an http or https URL, such as https://images.example.com',
    );
  }
  if (url.username || url.password) {
    throw new AppError('invalid-request', '--server must not contain credentials');
  }
  const serverURL = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  return { serverURL, accountID, publicKey: key, secretKey: await readSecret(secret, context) };
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
