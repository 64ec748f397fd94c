/**
 * Stores profiles: the servers, accounts and keys that `vitrine login` saved, each under a name. Only the
 * user can read the file (mode 0600).
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { AppError } from '../../errors.ts';
import { asObject } from '../../validation/json.ts';
import type { Environment } from '../terminal/context.ts';

export interface Profile {
  readonly serverURL: string;
  /** UUID. */
  readonly accountID: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

/** The profile of commands without `--profile`. */
export const DEFAULT_PROFILE = 'default';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The folder for the files of the client commands: `vitrine` in XDG_CONFIG_HOME, or in ~/.config. */
export function configFolder({ XDG_CONFIG_HOME, HOME }: Environment): string {
  // The XDG specification says to ignore a relative path.
  const isValid = XDG_CONFIG_HOME !== undefined && isAbsolute(XDG_CONFIG_HOME);
  return join(isValid ? XDG_CONFIG_HOME : join(HOME || homedir(), '.config'), 'vitrine');
}

export class Profiles {
  readonly #folder: string;
  readonly #path: string;

  /** @param folder the configuration folder. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#path = join(folder, 'profiles.json');
  }

  /**
   * All profiles by name.
   * @throws AppError `invalid-request` if the file is not valid; `unavailable` if it cannot be read.
   */
  async all(): Promise<ReadonlyMap<string, Profile>> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}';
      throw fileError(this.#path, error);
    });
    // A file that was edited, copied or restored may be readable for other users.
    if (text !== '{}' && ((await stat(this.#path)).mode & 0o077) !== 0) await chmod(this.#path, 0o600);
    try {
      const profiles = Object.entries(JSON.parse(text) as object);
      return new Map(profiles.map(([name, profile]) => [name, parseProfile(profile)]));
    } catch {
      throw new AppError(
        'invalid-request',
        `${this.#path} has no valid profiles: repair it, or remove it and run vitrine login`,
      );
    }
  }

  /** @throws AppError `not-found`. */
  async get(name: string): Promise<Profile> {
    const profile = (await this.all()).get(name);
    if (profile) return profile;
    const command = name === DEFAULT_PROFILE ? 'vitrine login' : `vitrine login --profile ${name}`;
    throw new AppError('not-found', `there is no profile "${name}": create it with ${command}`);
  }

  /** Adds a profile, or replaces the profile with the same name. */
  async save(name: string, profile: Profile): Promise<void> {
    await this.#write(new Map([...(await this.all()), [checkProfileName(name), profile]]));
  }

  /** @throws AppError `not-found`. */
  async remove(name: string): Promise<void> {
    await this.get(name);
    await this.#write(new Map([...(await this.all())].filter(([other]) => other !== name)));
  }

  async #write(profiles: ReadonlyMap<string, Profile>): Promise<void> {
    await makePrivateFolder(this.#folder);
    const draft = `${this.#path}.${randomBytes(6).toString('hex')}`;
    try {
      const text = `${JSON.stringify(Object.fromEntries(profiles), null, 2)}\n`;
      await writeFile(draft, text, { mode: 0o600, flag: 'wx', flush: true });
      await rename(draft, this.#path);
    } catch (error) {
      await rm(draft, { force: true });
      throw fileError(this.#path, error as Error);
    }
  }
}

/**
 * Creates a folder with mode 0700, or sets the mode of an existing folder.
 * @throws AppError `unavailable`.
 */
export async function makePrivateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
  } catch (error) {
    throw fileError(folder, error as Error);
  }
}

/** Returns a valid name. @throws AppError `invalid-request`. */
export function checkProfileName(name: string): string {
  if (NAME.test(name)) return name;
  throw new AppError(
    'invalid-request',
    'the name of a profile must have 1 to 64 letters, digits, dots, hyphens or underscores, and start with a letter or digit',
  );
}

/** @throws TypeError if a field is missing or is not a string. */
function parseProfile(profile: unknown): Profile {
  const { serverURL, accountID, publicKey, secretKey } = asObject(profile) ?? {};
  const fields = [serverURL, accountID, publicKey, secretKey];
  if (!fields.every((field) => typeof field === 'string')) throw new TypeError('the profile is not valid');
  return { serverURL, accountID, publicKey, secretKey } as Profile;
}

function fileError(path: string, error: Error): AppError {
  return new AppError('unavailable', `${path} cannot be used: ${error.message}`);
}
