/**
 * Selects where the commands of accounts and keys work: on local data, or on a server over its API.
 */
import type { Command } from 'commander';
import type { AccountSettings, KeySettings } from '../../access/settings.ts';
import { AppError, isAppError } from '../../errors.ts';
import { accountJSON, keyJSON } from '../../http/access/json.ts';
import type { CommandContext } from '../terminal/context.ts';
import type { Administrator, Page } from './administrator.ts';
import { type Access, type Session, withSession } from './session.ts';

/** The options that select the place. Without any, it is the data that the VITRINE_ variables name. */
export interface PlaceOptions {
  readonly profile?: string;
  readonly server?: string;
  readonly data?: string;
}

/** Adds the options that select the place. */
export function addPlaceOptions(command: Command): Command {
  return command
    .option('--profile <name>', 'work on the server of this profile, over its API')
    .option('--server <url>', 'work on this server, with the profile or the variables that have its URL')
    .option(
      '--data <folder>',
      'work on this data folder (default: the data that the VITRINE_ variables name)',
    );
}

/** What the help of the commands says about the place. */
export const PLACE_HELP = `
Without --profile and --server, the command works on local data: the folder of --data, or what VITRINE_DATA
and VITRINE_DATABASE name (default: ./data). This needs no key, and a server may run on the same data.
With --profile or --server it works on that server. Its key needs the scopes accounts.read and accounts.write.`;

/**
 * Runs `work` in the selected place.
 * @throws AppError `invalid-request` if the options contradict each other; the errors of the place.
 */
export async function withAdministrator<T>(
  context: CommandContext,
  { profile, server, data }: PlaceOptions,
  access: Access,
  work: (administrator: Administrator) => Promise<T>,
): Promise<T> {
  const isRemote = profile !== undefined || server !== undefined;
  if (isRemote && data !== undefined) {
    throw new AppError('invalid-request', 'give either --data, for local data, or --profile or --server');
  }
  if (profile !== undefined && server !== undefined) {
    throw new AppError('invalid-request', 'give either --profile or --server');
  }
  if (isRemote) {
    const { connectAdministrator } = await import('./server-administrator.ts');
    return work(
      await connectAdministrator({ ...(profile && { profile }), ...(server && { server }) }, context),
    );
  }
  const env = data === undefined ? context.env : { ...context.env, VITRINE_DATA: data };
  if (data !== undefined && context.env.VITRINE_DATABASE) {
    throw new AppError(
      'invalid-request',
      '--data cannot be used while VITRINE_DATABASE names another database',
    );
  }
  try {
    return await withSession({ ...context, env }, access, (session) => work(new LocalAdministrator(session)));
  } catch (error) {
    if (access !== 'read' || data !== undefined || !isAppError(error, 'not-found')) throw error;
    if (!error.message.startsWith('there is no library')) throw error;
    throw new AppError('not-found', `${error.message}; for a server, give --profile or --server`);
  }
}

class LocalAdministrator implements Administrator {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async createAccount(settings: AccountSettings) {
    const { administration, caller } = this.#session;
    return accountJSON(await administration.createAccount(caller, settings));
  }

  async listAccounts(page: Page) {
    const { administration, caller } = this.#session;
    return (await administration.listAccounts(caller, page)).accounts.map(accountJSON);
  }

  async getAccount(accountID: string) {
    return accountJSON(await this.#session.administration.getAccount(accountID));
  }

  async changeAccount(accountID: string, settings: AccountSettings) {
    const { administration, caller } = this.#session;
    return accountJSON(await administration.changeAccount(caller, accountID, settings));
  }

  async suspendAccount(accountID: string) {
    const { administration, caller } = this.#session;
    return accountJSON(await administration.suspendAccount(caller, accountID));
  }

  async resumeAccount(accountID: string) {
    const { administration, caller } = this.#session;
    return accountJSON(await administration.resumeAccount(caller, accountID));
  }

  async createKey(accounts: 'all' | readonly string[], settings: KeySettings) {
    const { administration, caller } = this.#session;
    const { key, secretKey } = await administration.createKey(caller, accounts, settings);
    return { ...keyJSON(key), secretKey };
  }

  async listKeys(account: string | undefined, page: Page) {
    const { administration } = this.#session;
    const accountID = account && (await administration.getAccount(account)).accountID;
    return (await administration.listKeys(accountID, page)).keys.map(keyJSON);
  }

  async rotateKey(name: string, overlap: number) {
    const { administration, caller, findKeyID } = this.#session;
    const keyID = await findKeyID(name);
    const { key, secretKey, overlapUntil } = await administration.rotateKey(
      caller,
      undefined,
      keyID,
      overlap,
    );
    return { ...keyJSON(key), secretKey, overlapUntil: overlapUntil.toISOString() };
  }

  async revokeKey(name: string) {
    const { administration, caller, findKeyID } = this.#session;
    return keyJSON(await administration.revokeKey(caller, undefined, await findKeyID(name)));
  }
}
