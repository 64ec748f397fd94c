/**
 * Owns the statements about access and refresh tokens, and who of several gets to use a refresh token.
 * Refuses to know dialects, and when a token is good.
 */
import type { Transaction } from 'kysely';
import type { Actor, AuditAction, NewAuditEntry } from '../../access/audit.ts';
import type { StoredToken, TokenPair, TokenRecords } from '../../access/records.ts';
import { formatGrants, soleAccount } from '../../access/rights.ts';
import { type Database, guarded, transact } from '../dialect.ts';
import { rowFromToken, type Schema, type TokenRow, tokenFromRow } from '../schema/tables.ts';
import { record } from './audit.ts';
import { findStoredKey } from './keys.ts';

export class SqlTokens implements TokenRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  issue(pair: TokenPair, by: Actor): Promise<void> {
    return transact(this.#database, async (trx) => {
      await trx
        .deleteFrom('tokens')
        .where('key_id', '=', pair.keyID)
        .where('expires_on', '<=', pair.createdOn.getTime())
        .execute();
      await add(trx, pair);
      await tell(trx, 'token.create', pair.access, pair.createdOn, by, true);
    });
  }

  find(digest: string): Promise<StoredToken | undefined> {
    return guarded(this.#database, async () => {
      const { db } = this.#database;
      const row = await db.selectFrom('tokens').selectAll().where('digest', '=', digest).executeTakeFirst();
      if (row === undefined) return undefined;
      const owner = await findStoredKey(db, { keyID: row.key_id });
      return owner && { ...tokenFromRow(row), owner };
    });
  }

  refresh(digest: string, pair: TokenPair, by: Actor): Promise<'refreshed' | 'reused' | 'gone'> {
    return transact(this.#database, async (trx) => {
      const row = await this.#locked(trx, digest, pair.keyID);
      if (row === undefined || row.kind !== 'refresh' || row.revoked_on !== null) return 'gone';
      if (row.used_on !== null) {
        await endFamily(trx, row.family, pair.createdOn);
        await tell(trx, 'token.reuse', tokenFromRow(row), pair.createdOn, by);
        return 'reused';
      }
      await trx
        .updateTable('tokens')
        .set({ used_on: pair.createdOn.getTime() })
        .where('digest', '=', digest)
        .execute();
      await add(trx, pair);
      await tell(trx, 'token.refresh', pair.access, pair.createdOn, by, true);
      return 'refreshed';
    });
  }

  revoke(digest: string, keyID: string, on: Date, by: Actor): Promise<void> {
    return transact(this.#database, async (trx) => {
      const row = await this.#locked(trx, digest, keyID);
      if (row === undefined || row.revoked_on !== null) return;
      if (row.kind === 'refresh') await endFamily(trx, row.family, on);
      else
        await trx
          .updateTable('tokens')
          .set({ revoked_on: on.getTime() })
          .where('digest', '=', digest)
          .execute();
      await tell(trx, 'token.revoke', tokenFromRow(row), on, by);
    });
  }

  /** The token of this key, whose row is locked until the transaction ends. */
  #locked(trx: Transaction<Schema>, digest: string, keyID: string): Promise<TokenRow | undefined> {
    return trx
      .selectFrom('tokens')
      .selectAll()
      .where('digest', '=', digest)
      .where('key_id', '=', keyID)
      .$if(this.#database.locksRows, (query) => query.forUpdate())
      .executeTakeFirst();
  }
}

async function add(trx: Transaction<Schema>, pair: TokenPair): Promise<void> {
  await trx
    .insertInto('tokens')
    .values([rowFromToken(pair.access, pair), rowFromToken(pair.refresh, pair)])
    .execute();
}

async function endFamily(trx: Transaction<Schema>, family: string, on: Date): Promise<void> {
  await trx
    .updateTable('tokens')
    .set({ revoked_on: on.getTime() })
    .where('family', '=', family)
    .where('revoked_on', 'is', null)
    .execute();
}

/** A token concerns the account it is for; one for several, or for all, the server as a whole. */
async function tell(
  trx: Transaction<Schema>,
  action: AuditAction,
  token: Pick<StoredToken, 'tokenID' | 'kind' | 'grants'>,
  on: Date,
  by: Actor,
  whole = false,
): Promise<void> {
  const entry: NewAuditEntry = {
    on,
    by,
    action,
    subjectID: token.tokenID,
    ...(whole && { details: { scope: formatGrants(token.grants) } }),
  };
  await record(trx, soleAccount(token.grants), entry);
}
