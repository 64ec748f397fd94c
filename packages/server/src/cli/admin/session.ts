/**
 * Owns what a command works with: the administration of the database that the environment names, opened for this command
 * and closed after it, and an operator who may do everything. Refuses to know commands.
 */
import { userInfo } from 'node:os';
import { SCOPES } from '../../access/account.ts';
import type { Administration } from '../../access/administration.ts';
import { type Caller, grantsOf } from '../../access/rights.ts';
import type { MetadataStore } from '../../database/store.ts';
import { AppError } from '../../errors.ts';
import { parseUUID } from '../../image.ts';

/** What the process gives to a command. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly write: (text: string) => void;
  readonly complain: (text: string) => void;
  /** Where secrets are read from. */
  readonly input: NodeJS.ReadStream;
  /** Where prompts and bars are shown; never what a command gives back. */
  readonly screen: NodeJS.WriteStream;
  /** Whether people, not programs, read what is written. */
  readonly isTerminal: boolean;
}

export interface Session {
  readonly administration: Administration;
  readonly caller: Caller;
  /** The ID of a key that is named by it, or by its public key. @throws AppError `not-found`. */
  keyID(name: string): Promise<string>;
}

/**
 * Runs `work` with a session. Whatever is needed is loaded only here, so that help and mistakes come at once.
 * @throws ConfigError; AppError `unavailable`.
 */
export async function withSession<T>(
  { env }: Surroundings,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const { database } = loadConfig(env);
  const [{ openMetadata }, { Administration }] = await Promise.all([
    import('../../database/open.ts'),
    import('../../access/administration.ts'),
  ]);
  const metadata = await openMetadata(database);
  try {
    // Accounts may be made before the first start.
    await metadata.migrate();
    return await work({
      administration: new Administration(metadata),
      caller: operator(),
      keyID: (name) => findKeyID(metadata, name),
    });
  } finally {
    await metadata.close();
  }
}

/** Whoever can reach the data may do everything with it. */
function operator(): Caller {
  const grants = grantsOf({ accounts: 'all', scopes: SCOPES });
  return { by: { kind: 'operator', name: userName() }, grants };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container the user may have a number and no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

async function findKeyID(metadata: MetadataStore, name: string): Promise<string> {
  const keyID = parseUUID(name);
  if (keyID !== undefined) return keyID;
  const stored = name.includes('\0') ? undefined : await metadata.keys.find(name);
  if (stored === undefined) throw new AppError('not-found', 'key not found');
  return stored.key.keyID;
}
