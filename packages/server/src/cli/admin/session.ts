/**
 * Opens the database for one command of accounts, keys or the audit trail, with all rights. A command that
 * changes something creates and migrates the database. A command that only reads does neither.
 */
import { userInfo } from 'node:os';
import { SCOPES } from '../../access/account.ts';
import type { Administration } from '../../access/administration.ts';
import { type Caller, grantsOf } from '../../access/rights.ts';
import type { MetadataStore } from '../../database/store.ts';
import { AppError } from '../../errors.ts';
import { parseUUID } from '../../validation/uuid.ts';
import type { CommandContext } from '../terminal/context.ts';
import { checkReadable, checkSchema } from './stores.ts';

export interface Session {
  readonly administration: Administration;
  readonly caller: Caller;
  /** The ID of a key. @param keyIDOrPublicKey its ID or its public key. @throws AppError `not-found`. */
  findKeyID(keyIDOrPublicKey: string): Promise<string>;
}

/** Whether a command only reads. */
export type Access = 'read' | 'write';

/**
 * Runs `work` with a session. Loads the modules only here, so that help and argument errors print at once.
 * @throws ConfigError; AppError `unavailable`; for a reading command also AppError `not-found` without a
 * database, and `conflict` if its schema is of another version.
 */
export async function withSession<T>(
  { env }: CommandContext,
  access: Access,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const { database } = loadConfig(env);
  if (access === 'read') await checkReadable(database);
  const [{ openMetadata }, { Administration }] = await Promise.all([
    import('../../database/open.ts'),
    import('../../access/administration.ts'),
  ]);
  const metadata = await openMetadata(database);
  try {
    if (access === 'read') await checkSchema(database, metadata);
    // An operator may create accounts before the first start of the server.
    else await metadata.migrate({ postpones: true });
    return await work({
      administration: new Administration(metadata),
      caller: operator(),
      findKeyID: (keyIDOrPublicKey) => findKeyID(metadata, keyIDOrPublicKey),
    });
  } finally {
    await metadata.close();
  }
}

/** The caller with all rights. Local admin commands bypass API authorization. */
function operator(): Caller {
  const grants = grantsOf({ accounts: 'all', scopes: SCOPES });
  return { by: { kind: 'operator', name: userName() }, grants };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container the user may have a number but no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

async function findKeyID(metadata: MetadataStore, keyIDOrPublicKey: string): Promise<string> {
  const keyID = parseUUID(keyIDOrPublicKey);
  if (keyID !== undefined) return keyID;
  // PostgreSQL rejects text with a null character.
  const record = keyIDOrPublicKey.includes('\0') ? undefined : await metadata.keys.find(keyIDOrPublicKey);
  if (record === undefined) throw new AppError('not-found', 'key not found');
  return record.key.keyID;
}
