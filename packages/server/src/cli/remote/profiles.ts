/**
 * Owns the profiles: which servers, accounts and keys the client's commands know by name, and the folder of the user's own
 * where they are kept. Refuses to know what is done with them.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { AppError } from '../../errors.ts';
import { fieldsOf } from './jsonl-file.ts';

/** Whom a command speaks to, and as whom. */
export interface Profile {
  readonly serverURL: string;
  /** UUID. */
  readonly accountID: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

/** The name of the profile that is meant where none is named. */
export const DEFAULT_PROFILE = 'default';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The folder of this command's files: under XDG_CONFIG_HOME, or ~/.config. */
export function configFolder(env: Readonly<Record<string, string | undefined>>): string {
  const { XDG_CONFIG_HOME: given, HOME: home } = env;
  // A relative one is to be passed over, as its specification has it.
  const parent = given && isAbsolute(given) ? given : join(home || homedir(), '.config');
  return join(parent, 'vitrine');
}

/** The profiles of this user. */
export class Profiles {
  readonly #folder: string;
  readonly #path: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.#path = join(folder, 'profiles.json');
  }

  /** All of them, by name. @throws AppError `invalid-request` if the file is not what this command wrote. */
  async all(): Promise<ReadonlyMap<string, Profile>> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{}';
      throw unusable(this.#path, error);
    });
    // Made by hand, copied or restored, it may have become readable for everybody.
    if (text !== '{}' && ((await stat(this.#path)).mode & 0o077) !== 0) await chmod(this.#path, 0o600);
    try {
      return new Map(Object.entries(JSON.parse(text) as object).map(([name, one]) => [name, read(one)]));
    } catch {
      throw new AppError(
        'invalid-request',
        `${this.#path} holds no profiles: mend it, or remove it and log in`,
      );
    }
  }

  /** @throws AppError `not-found`. */
  async get(name: string): Promise<Profile> {
    const found = (await this.all()).get(name);
    if (found) return found;
    const words = name === DEFAULT_PROFILE ? 'vitrine login' : `vitrine login --profile ${name}`;
    throw new AppError('not-found', `there is no profile "${name}" here: ${words} makes one`);
  }

  /** Adds a profile, or replaces the one of that name. */
  async save(name: string, profile: Profile): Promise<void> {
    await this.#write(new Map([...(await this.all()), [checkName(name), profile]]));
  }

  /** @throws AppError `not-found`. */
  async remove(name: string): Promise<void> {
    await this.get(name);
    await this.#write(new Map([...(await this.all())].filter(([each]) => each !== name)));
  }

  async #write(profiles: ReadonlyMap<string, Profile>): Promise<void> {
    await makePrivate(this.#folder);
    const next = `${this.#path}.${randomBytes(6).toString('hex')}`;
    try {
      const text = `${JSON.stringify(Object.fromEntries(profiles), null, 2)}\n`;
      await writeFile(next, text, { mode: 0o600, flag: 'wx', flush: true });
      await rename(next, this.#path);
    } catch (error) {
      await rm(next, { force: true });
      throw unusable(this.#path, error as Error);
    }
  }
}

/** Makes a folder that only its user can enter, or makes one that is there so. */
export async function makePrivate(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
  } catch (error) {
    throw unusable(folder, error as Error);
  }
}

/** @throws AppError `invalid-request`. */
export function checkName(name: string): string {
  if (NAME.test(name)) return name;
  throw new AppError(
    'invalid-request',
    'the name of a profile must be 1 to 64 letters, digits, dots, hyphens and underscores, the first a letter or digit',
  );
}

function read(profile: unknown): Profile {
  const { serverURL, accountID, publicKey, secretKey } = fieldsOf(profile) ?? {};
  const texts = [serverURL, accountID, publicKey, secretKey];
  if (!texts.every((each) => typeof each === 'string')) throw new TypeError('no profile');
  return { serverURL, accountID, publicKey, secretKey } as Profile;
}

function unusable(path: string, error: Error): AppError {
  return new AppError('unavailable', `${path} cannot be used: ${error.message}`);
}
