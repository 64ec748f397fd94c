/**
 * `vitrine login`, `logout` and `profiles`. Owns how a profile is made, checked and shown. Secrets are never printed.
 */
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { parseUUID } from '../../image.ts';
import type { Surroundings } from '../admin/session.ts';
import { type Column, json, lines, table } from '../terminal/output.ts';
import { readSecret, type SecretOptions, withSecret } from '../terminal/secret-prompt.ts';
import { connect } from './connection.ts';
import { checkName, configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

interface LoginOptions extends SecretOptions {
  readonly profile: string;
  readonly server: string;
  readonly account: string;
  readonly key: string;
  readonly json?: true;
}

interface Shown {
  readonly profile: string;
  readonly serverURL: string;
  readonly accountID: string;
  readonly publicKey: string;
}

const COLUMNS: readonly Column<Shown>[] = [
  ['PROFILE', ({ profile }) => profile],
  ['SERVER', ({ serverURL }) => serverURL],
  ['ACCOUNT', ({ accountID }) => accountID],
  ['PUBLIC KEY', ({ publicKey }) => publicKey],
];

export function addLoginCommands(program: Command, surroundings: Surroundings): void {
  const profiles = () => new Profiles(configFolder(surroundings.env));

  const login = program
    .command('login')
    .description('remember a server, an account and a key, once the server has said that they go together')
    .option('--profile <name>', 'what to call them', DEFAULT_PROFILE)
    .requiredOption('--server <url>', 'such as https://images.example.com')
    .requiredOption('--account <uuid>', 'the account')
    .requiredOption('--key <public key>', 'the public key')
    .option('--json', 'print JSON');
  withSecret(login).action(async (options: LoginOptions) => {
    const name = checkName(options.profile);
    const profile = await readProfile(options, surroundings);
    await check(profile);
    await profiles().save(name, profile);
    const shown = showing(name, profile);
    surroundings.write(options.json ? json(shown) : lines({ ...shown }));
  });

  program
    .command('logout')
    .description('forget a profile')
    .option('--profile <name>', 'which', DEFAULT_PROFILE)
    .option('--json', 'print JSON')
    .action(async ({ profile, json: asJSON }: { profile: string; json?: true }) => {
      await profiles().remove(profile);
      surroundings.write(asJSON ? json({ profile }) : `Forgot the profile "${profile}".\n`);
    });

  program
    .command('profiles')
    .description('list the profiles')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const shown = [...(await profiles().all())].map(([name, profile]) => showing(name, profile));
      surroundings.write(options.json ? json(shown) : table(shown, COLUMNS, 'There are no profiles.'));
    });
}

/** A profile out of options, and its secret. @throws AppError `invalid-request` that names the option. */
export async function readProfile(
  { server, account, key, ...secret }: SecretOptions & { server: string; account: string; key: string },
  surroundings: Surroundings,
): Promise<Profile> {
  const accountID = parseUUID(account);
  if (accountID === undefined) throw new AppError('invalid-request', 'the account must be a UUID');
  if (key.includes(':')) throw new AppError('invalid-request', 'the public key must have no colon');
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new AppError('invalid-request', 'the server must be an http or https URL');
  }
  if (url.username || url.password) {
    throw new AppError('invalid-request', 'the URL of the server must hold no credentials');
  }
  const serverURL = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  return { serverURL, accountID, publicKey: key, secretKey: await readSecret(secret, surroundings) };
}

/** What every command of the account needs is to list it. */
async function check(profile: Profile): Promise<void> {
  const { vitrine, accountID } = await connect(profile);
  await vitrine.images.list({ accountID, count: 1 });
}

function showing(profile: string, { serverURL, accountID, publicKey }: Profile): Shown {
  return { profile, serverURL, accountID, publicKey };
}
