/**
 * The statements about access and refresh tokens. Of several concurrent uses of a refresh token, one
 * succeeds. They do not check whether a token is valid.
 */
import type { Transaction } from 'kysely';
import type { Actor, AuditAction, NewAuditEntry } from '../../access/audit.ts';
import type { StoredToken, TokenPair, TokenRecords } from '../../access/records.ts';
import { formatGrants, soleAccount } from '../../access/rights.ts';
import { type Database, runTransaction, translateErrors } from '../dialect.ts';
import { rowFromToken, type Schema, type TokenRow, tokenFromRow } from '../schema/tables.ts';
import { addAuditEntry } from './audit.ts';
import { findStoredKey } from './keys.ts';

export class SqlTokens implements TokenRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  issue(pair: TokenPair, by: Actor): Promise<void> {
    return runTransaction(this.#database, async (trx) => {
      await trx
        .deleteFrom('tokens')
        .where('key_id', '=', pair.keyID)
        .where('expires_on', '<=', pair.createdOn.getTime())
        .execute();
      await insertPair(trx, pair);
      await addTokenEntry(trx, 'token.create', pair.access, pair.createdOn, by, true);
    });
  }

  find(digest: string): Promise<StoredToken | undefined> {
    return translateErrors(this.#database, async () => {
      const { db } = this.#database;
      const row = await db.selectFrom('tokens').selectAll().where('digest', '=', digest).executeTakeFirst();
      if (row === undefined) return undefined;
      const owner = await findStoredKey(db, { keyID: row.key_id });
      return owner && { ...tokenFromRow(row), owner };
    });
  }

  refresh(digest: string, pair: TokenPair, by: Actor): Promise<'refreshed' | 'reused' | 'gone'> {
    return runTransaction(this.#database, async (trx) => {
      const row = await this.#lockToken(trx, digest, pair.keyID);
      if (row === undefined || row.kind !== 'refresh' || row.revoked_on !== null) return 'gone';
      if (row.used_on !== null) {
        await revokeFamily(trx, row.family, pair.createdOn);
        await addTokenEntry(trx, 'token.reuse', tokenFromRow(row), pair.createdOn, by);
        return 'reused';
      }
      await trx
        .updateTable('tokens')
        .set({ used_on: pair.createdOn.getTime() })
        .where('digest', '=', digest)
        .execute();
      await insertPair(trx, pair);
      await addTokenEntry(trx, 'token.refresh', pair.access, pair.createdOn, by, true);
      return 'refreshed';
    });
  }

  revoke(digest: string, keyID: string, on: Date, by: Actor): Promise<void> {
    return runTransaction(this.#database, async (trx) => {
      const row = await this.#lockToken(trx, digest, keyID);
      if (row === undefined || row.revoked_on !== null) return;
      if (row.kind === 'refresh') await revokeFamily(trx, row.family, on);
      else
        await trx
          .updateTable('tokens')
          .set({ revoked_on: on.getTime() })
          .where('digest', '=', digest)
          .execute();
      await addTokenEntry(trx, 'token.revoke', tokenFromRow(row), on, by);
    });
  }

  /** Reads a token of this key, and locks its row until the transaction ends. */
  #lockToken(trx: Transaction<Schema>, digest: string, keyID: string): Promise<TokenRow | undefined> {
    return trx
      .selectFrom('tokens')
      .selectAll()
      .where('digest', '=', digest)
      .where('key_id', '=', keyID)
      .$if(this.#database.needsRowLocks, (query) => query.forUpdate())
      .executeTakeFirst();
  }
}

async function insertPair(trx: Transaction<Schema>, pair: TokenPair): Promise<void> {
  await trx
    .insertInto('tokens')
    .values([rowFromToken(pair.access, pair), rowFromToken(pair.refresh, pair)])
    .execute();
}

async function revokeFamily(trx: Transaction<Schema>, family: string, on: Date): Promise<void> {
  await trx
    .updateTable('tokens')
    .set({ revoked_on: on.getTime() })
    .where('family', '=', family)
    .where('revoked_on', 'is', null)
    .execute();
}

/**
 * Adds an audit entry to the account of the token. A token for several accounts concerns the server as a
 * whole.
 */
async function addTokenEntry(
  trx: Transaction<Schema>,
  action: AuditAction,
  token: Pick<StoredToken, 'tokenID' | 'kind' | 'grants'>,
  on: Date,
  by: Actor,
  withScopes = false,
): Promise<void> {
  const entry: NewAuditEntry = {
    on,
    by,
    action,
    subjectID: token.tokenID,
    ...(withScopes && { details: { scope: formatGrants(token.grants) } }),
  };
  await addAuditEntry(trx, soleAccount(token.grants), entry);
}
