/**
 * How migrations are applied on PostgreSQL while other processes use the database. The migrations after those
 * of this version are made up.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Kysely, sql } from 'kysely';
import pg from 'pg';
import { migrationLocks, RowLockDialect } from '../../../src/database/postgres/migrating.ts';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { postgresMigrations } from '../../../src/database/postgres/search.ts';
import { type MigrateOptions, migrate } from '../../../src/database/schema/migrate.ts';
import type { ServedMigration } from '../../../src/database/schema/migration.ts';
import { migrationNames, migrationsFor } from '../../../src/database/schema/migrations.ts';
import type { Schema } from '../../../src/database/schema/tables.ts';
import { accountOf, BY, newImage } from '../../conformance/metadata-samples.ts';
import { startPostgres } from '../../support/postgres.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

function server() {
  assert.ok(postgres);
  return postgres;
}

const NEWEST = migrationNames().at(-1) ?? '';

/** Applies the migrations of this version, and the given ones. */
async function migrateWith(
  url: string,
  later: Record<string, ServedMigration>,
  options: MigrateOptions = {},
) {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  const db = new Kysely<Schema>({ dialect: new RowLockDialect({ pool }) });
  try {
    const migrations = { ...migrationsFor(postgresMigrations), ...later };
    return await migrate({ db, migrations, locks: migrationLocks }, options);
  } finally {
    await db.destroy();
  }
}

/** Adds a column, which needs the strongest lock of the table. */
const addColumn = (table: string, column: string): ServedMigration => ({
  servesFrom: NEWEST,
  async up(db) {
    await sql`alter table ${sql.table(table)} add column ${sql.ref(column)} text`.execute(db);
  },
});

describe('migrations on PostgreSQL', { skip }, () => {
  test('are applied once by ten processes at the same time, and advisory locks are not used', async () => {
    const url = await server().createEmptyDatabase();
    const advisory = new pg.Client({ connectionString: url });
    await advisory.connect();
    // The lock of Kysely's own adapter. A migrator that takes it would wait here.
    await advisory.query('select pg_advisory_lock(3853314791062309107)');
    const later = { '9001-later': addColumn('images', 'later') };
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => migrateWith(url, later)));
    const applied = outcomes.filter((outcome) => outcome.applied.length > 0);
    assert.deepEqual(applied, [{ applied: [...migrationNames(), '9001-later'], newer: [], postponed: [] }]);
    await advisory.end();
  });

  test('do not block traffic behind a long reader, and are applied when it ends', async () => {
    const url = await server().createDatabase();
    const store = await openPostgres({ url });
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const image = newImage('first');
    await images.insert(image, { defaultQuota: 300 });
    const reader = new pg.Client({ connectionString: url });
    await reader.connect();
    await reader.query('begin');
    await reader.query('select 1 from images');

    let waits = 0;
    const served: string[] = [];
    const migrating = migrateWith(
      url,
      { '9001-later': addColumn('images', 'later') },
      {
        // Called after each attempt. Traffic between the attempts proves that nothing waits for the reader.
        report(text) {
          assert.match(text, /waiting: another transaction/);
          waits += 1;
          const number = waits;
          void (async () => {
            assert.equal((await store.findPublicImage(image.publicID))?.imageID, image.imageID);
            const { kind } = await images.insert(newImage(`image ${number}`), { defaultQuota: 300 });
            served.push(kind);
            if (served.length === 2) await reader.query('commit');
          })();
        },
      },
    );
    assert.deepEqual(await migrating, { applied: ['9001-later'], newer: [], postponed: [] });
    assert.deepEqual(served.slice(0, 2), ['inserted', 'inserted']);
    await reader.end();
    await store.close();
  });

  test('fail with the reason if a reader holds a lock for too long, and change nothing', async () => {
    const url = await server().createDatabase();
    const reader = new pg.Client({ connectionString: url });
    await reader.connect();
    await reader.query('begin');
    await reader.query('select 1 from images');
    const later = {
      '9001-first': addColumn('accounts', 'later'),
      '9002-second': addColumn('images', 'later'),
    };
    await assert.rejects(migrateWith(url, later, { patience: 0 }), {
      code: 'unavailable',
      message: /for 0 s, other transactions held locks on its tables.*backup/,
    });
    await reader.end();
    assert.deepEqual(await server().query(url, `select 1 from kysely_migration where name > '9'`), []);
    assert.deepEqual((await migrateWith(url, later)).applied, ['9001-first', '9002-second']);
  });

  test('run a long part outside of the transaction, after earlier migrations, in one process at a time', async () => {
    const url = await server().createDatabase();
    let running = 0;
    let runs = 0;
    const reports: string[] = [];
    const later: Record<string, ServedMigration> = {
      '9001-column': addColumn('images', 'later'),
      '9002-converted': {
        servesFrom: '9001-column',
        async online(db, report) {
          running += 1;
          runs += 1;
          assert.equal(running, 1);
          // This statement refuses to run in a transaction. The column is there, and others can see it.
          await sql`create index concurrently later_${sql.raw(String(runs))} on images (later)`.execute(db);
          report('1 of 2');
          running -= 1;
          if (runs === 1) throw new Error('killed');
        },
        async up(db) {
          await sql`alter table images add column even_later text`.execute(db);
        },
      },
      '9003-last': addColumn('accounts', 'later'),
    };
    const report = (text: string) => void reports.push(text);
    await assert.rejects(migrateWith(url, later, { report }), /killed/);
    const names = async () =>
      (await server().query(url, `select name from kysely_migration where name > '9' order by name`)).map(
        ({ name }) => name,
      );
    assert.deepEqual(await names(), ['9001-column']);
    const outcomes = await Promise.all([1, 2, 3].map(() => migrateWith(url, later, { report })));
    assert.deepEqual(
      outcomes.flatMap(({ applied }) => applied),
      ['9002-converted', '9003-last'],
    );
    assert.equal(runs, 2);
    const progress = reports.filter((text) => !text.startsWith('waiting'));
    assert.deepEqual(progress, ['9002-converted: 1 of 2', '9002-converted: 1 of 2']);
    assert.deepEqual(
      await server().query(url, `select * from schema_support where migration > '9' order by migration`),
      [
        { migration: '9001-column', serves_from: NEWEST },
        { migration: '9002-converted', serves_from: '9001-column' },
        { migration: '9003-last', serves_from: NEWEST },
      ],
    );
  });

  test('need no rights to change tables if there is nothing to apply', async () => {
    const url = await server().createDatabase();
    const role = `role_${new URL(url).pathname.slice(1)}`;
    await server().query(url, `create role ${role} login`);
    await server().query(url, `grant select on all tables in schema public to ${role}`);
    const own = new URL(url);
    own.username = role;
    assert.deepEqual(await migrateWith(own.href, {}), { applied: [], newer: [], postponed: [] });
    await server().query(url, `drop owned by ${role}`);
    await server().query(url, `drop role ${role}`);
  });
});

test('each migration after 0009 says which earlier version can serve its schema', () => {
  const migrations = migrationsFor(postgresMigrations);
  for (const name of migrationNames().filter((each) => each > '0010')) {
    const { servesFrom } = migrations[name] as Partial<ServedMigration>;
    assert.ok(servesFrom !== undefined, `${name} has no servesFrom`);
    assert.ok(servesFrom <= name, `${name} is served from the later ${servesFrom}`);
    assert.ok(migrationNames().includes(servesFrom), `${name} is served from the unknown ${servesFrom}`);
  }
});
