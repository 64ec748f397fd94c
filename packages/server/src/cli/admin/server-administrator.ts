/**
 * Accounts and keys of a server, over its API. The rights of the credentials apply.
 */
import type { CreateKeyRequest, Vitrine } from '@vitrine/client';
import type { AccountSettings, KeySettings } from '../../access/settings.ts';
import { AppError } from '../../errors.ts';
import { parseUUID } from '../../validation/uuid.ts';
import { connect, parseServerURL, readCredentials } from '../remote/connection.ts';
import { configFolder, Profiles } from '../remote/profiles.ts';
import type { CommandContext } from '../terminal/context.ts';
import type { AccountJSON, Administrator, IssuedKeyJSON, KeyJSON } from './administrator.ts';

/** @throws AppError `not-found`, `invalid-request`; the errors of the client. */
export async function connectAdministrator(
  { profile, server }: { readonly profile?: string; readonly server?: string },
  context: CommandContext,
): Promise<Administrator> {
  const credentials =
    server === undefined
      ? (await readCredentials(profile === undefined ? {} : { profile }, context)).profile
      : await findCredentials(parseServerURL(server, '--server'), context);
  const { vitrine, accountID } = await connect(credentials);
  const { result } = await vitrine.keys.me();
  return new ServerAdministrator(vitrine, result.allAccounts ? undefined : accountID);
}

/** The credentials for a server: those of the environment, or of the only profile with its URL. */
async function findCredentials(serverURL: string, context: CommandContext) {
  if (context.env.VITRINE_SERVER) {
    const { profile } = await readCredentials({}, context);
    if (profile.serverURL === serverURL) return profile;
  }
  const profiles = [...(await new Profiles(configFolder(context.env)).all())];
  const [match, ...others] = profiles.filter(([, profile]) => profile.serverURL === serverURL);
  if (match && others.length === 0) return match[1];
  throw match
    ? new AppError('invalid-request', `several profiles have the server ${serverURL}: give --profile`)
    : new AppError('not-found', `no profile has the server ${serverURL}: create it with vitrine login`);
}

class ServerAdministrator implements Administrator {
  readonly #vitrine: Vitrine;
  /** The account whose keys the credentials may manage. Undefined: all keys of the server. */
  readonly #accountID: string | undefined;

  constructor(vitrine: Vitrine, accountID: string | undefined) {
    this.#vitrine = vitrine;
    this.#accountID = accountID;
  }

  async createAccount({ displayName = '', ...settings }: AccountSettings) {
    return wire<AccountJSON>(await this.#vitrine.accounts.create({ displayName, ...settings }));
  }

  async listAccounts(page: { skip: number; count: number }) {
    return wire<AccountJSON[]>(await this.#vitrine.accounts.list(page));
  }

  async getAccount(accountID: string) {
    return wire<AccountJSON>(await this.#vitrine.accounts.get({ accountID }));
  }

  async changeAccount(accountID: string, settings: AccountSettings) {
    return wire<AccountJSON>(await this.#vitrine.accounts.update({ ...settings, accountID }));
  }

  async suspendAccount(accountID: string) {
    return wire<AccountJSON>(await this.#vitrine.accounts.suspend({ accountID }));
  }

  async resumeAccount(accountID: string) {
    return wire<AccountJSON>(await this.#vitrine.accounts.resume({ accountID }));
  }

  async createKey(accounts: 'all' | readonly string[], { name, scopes, expiresOn }: KeySettings) {
    const [accountID, ...others] = accounts === 'all' ? [] : accounts;
    // The route of one account also works for credentials of that account.
    const target = accountID !== undefined && others.length === 0 ? { accountID } : { accounts };
    const request = { name, ...(scopes && { scopes }), ...(expiresOn && { expiresOn }), ...target };
    return wire<IssuedKeyJSON>(await this.#vitrine.keys.create(request as CreateKeyRequest));
  }

  async listKeys(accountID = this.#accountID, page = { skip: 0, count: 200 }) {
    return wire<KeyJSON[]>(await this.#vitrine.keys.list({ ...ofAccount(accountID), ...page }));
  }

  async rotateKey(name: string, overlapSeconds: number) {
    const key = { ...ofAccount(this.#accountID), keyID: await this.#findKeyID(name) };
    return wire<IssuedKeyJSON>(await this.#vitrine.keys.rotate({ ...key, overlapSeconds }));
  }

  async revokeKey(name: string) {
    const key = { ...ofAccount(this.#accountID), keyID: await this.#findKeyID(name) };
    await this.#vitrine.keys.revoke(key);
    return wire<KeyJSON>(await this.#vitrine.keys.get(key));
  }

  async #findKeyID(name: string): Promise<string> {
    const keyID = parseUUID(name);
    if (keyID !== undefined) return keyID;
    for await (const key of this.#vitrine.keys.list(ofAccount(this.#accountID))) {
      if (key.publicKey === name) return key.keyID;
    }
    throw new AppError('not-found', 'key not found');
  }
}

function ofAccount(accountID: string | undefined): { accountID?: string } {
  return accountID === undefined ? {} : { accountID };
}

/** The result as the API sent it: the client turns times into Dates, and JSON turns them back. */
function wire<T>({ result }: { readonly result: unknown }): T {
  return JSON.parse(JSON.stringify(result)) as T;
}
