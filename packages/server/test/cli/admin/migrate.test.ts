/**
 * `vitrine migrate`, and the other commands on the schema of a newer version. The newer version is made up:
 * its migration adds a column, and a table that this version does not know.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { migrationNames } from '../../../src/database/schema/migrations.ts';
import { User } from '../../support/command.ts';
import { INITIAL_DATABASE } from '../../support/initial-schema.ts';
import { startPostgres } from '../../support/postgres.ts';
import { picture } from '../../support/sample.ts';
import { startServer } from '../../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const NAMES = migrationNames();
const NEWEST = NAMES.at(-1) ?? '';
const LATER = '9001-later';

let user: User;
let folder: string;
before(async () => {
  user = await User.create();
});
after(() => user.remove());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-migrate-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Output {
  readonly schema: string | null;
  readonly applied?: string[];
  readonly pending: string[];
  readonly newer: string[];
}

describe('vitrine migrate', () => {
  for (const kind of ['SQLite', 'PostgreSQL']) {
    test(`creates the tables and says so, on ${kind}`, { skip: kind === 'PostgreSQL' && skip }, async () => {
      const url = kind === 'PostgreSQL' ? await postgres?.createEmptyDatabase() : undefined;
      const path = join(folder, 'data', 'vitrine.db');
      const env = { VITRINE_DATA: join(folder, 'data'), ...(url && { VITRINE_DATABASE: url }) };
      const empty = { schema: null, pending: NAMES, newer: [] };
      assert.deepEqual(await user.json<Output>(['migrate', '--check'], { env, code: 1 }), empty);
      assert.equal(existsSync(path), false, 'a check creates nothing');

      const done = { schema: NEWEST, pending: [], newer: [] };
      assert.deepEqual(await user.json<Output>(['migrate'], { env }), { applied: NAMES, ...done });
      assert.equal(existsSync(path), url === undefined);
      assert.deepEqual(await user.json<Output>(['migrate', '--check'], { env }), done);
      const { out, err, code } = await user.run(['migrate'], { env });
      assert.match(out, new RegExp(`^schema +${NEWEST}\\nthere was nothing to apply\\n$`));
      assert.deepEqual([err, code], ['', 0]);
    });
  }

  test('applies what an earlier version lacks, and a check names it', async () => {
    const database = new DatabaseSync(join(folder, 'vitrine.db'));
    database.exec('pragma journal_mode = wal');
    for (const statement of INITIAL_DATABASE) database.exec(statement);
    database.close();
    const env = { VITRINE_DATA: folder };
    const check = await user.run(['migrate', '--check'], { env });
    assert.match(check.out, /^schema +0001-initial\npending +0002-access, 0003-limits, /);
    assert.match(check.err, /^not up to date: \d+ migrations pending\n$/);
    assert.equal(check.code, 1);
    const { out, code } = await user.run(['migrate'], { env });
    assert.match(out, new RegExp(`^schema +${NEWEST}\napplied +0002-access, .*${NEWEST}\n$`));
    assert.equal(code, 0);
  });

  test('names the missing right of its user', { skip }, async () => {
    assert.ok(postgres);
    const url = await postgres.createEmptyDatabase();
    const role = `role_${new URL(url).pathname.slice(1)}`;
    await postgres.query(url, `create role ${role} login`);
    const own = new URL(url);
    own.username = role;
    const { err, code } = await user.run(['migrate'], { env: { VITRINE_DATABASE: own.href } });
    assert.match(err, /^the user of the database may not change the schema \(permission denied .*owner/);
    assert.equal(code, 4);
    await postgres.query(url, `drop role ${role}`);
  });
});

/** Changes the library as a newer version does. @param servesFrom the oldest version that it allows. */
function addNewerSchema(servesFrom: string): void {
  const database = new DatabaseSync(join(folder, 'vitrine.db'));
  database.exec(`
    alter table images add column later text;
    create table later_uses (digest text primary key);
    insert into kysely_migration values ('${LATER}', '2099-01-01T00:00:00.000Z');
    insert into schema_support values ('${LATER}', '${servesFrom}');
  `);
  database.close();
}

describe('the schema of a newer version', () => {
  test('that allows this version is served, and its own commands must maintain it', async () => {
    const first = await startServer({ VITRINE_DATA: folder });
    await first.addImage(await picture(1));
    await first.close();
    addNewerSchema(NEWEST);

    const log: string[] = [];
    const server = await startServer(
      { VITRINE_DATA: folder },
      { logTo: { write: (line) => log.push(line) } },
    );
    try {
      assert.match(log.join(''), /9001-later.*a newer version of Vitrine has changed the schema/);
      await server.addImage(await picture(2));
      const env = { VITRINE_DATA: folder };
      const state = { schema: LATER, pending: [], newer: [LATER] };
      assert.deepEqual(await user.json<Output>(['migrate'], { env }), { applied: [], ...state });
      assert.deepEqual(await user.json<Output>(['migrate', '--check'], { env }), state);
      assert.equal((await user.run(['accounts', 'create', 'Second'], { env })).code, 0);
      assert.match((await user.run(['accounts', 'list'], { env })).out, /Second/);

      const refusal = /^a newer version of Vitrine has changed the schema of the database \(9001-later\)/;
      for (const words of [['gc'], ['gc', '--dry-run']]) {
        const { code, err } = await user.run(words, { env });
        assert.equal(code, 4, words.join(' '));
        assert.match(err, refusal);
      }
      for (const words of [['verify'], ['verify', '--repair']]) {
        const { code, out } = await user.run(words, { env });
        assert.equal(code, 1);
        assert.match(out, new RegExp(`^schema: ${refusal.source.slice(1)}`));
      }
      const backup = await user.run(['backup', join(folder, 'backup.tar')], { env });
      assert.deepEqual([backup.code, existsSync(join(folder, 'backup.tar'))], [4, false]);
      assert.match(backup.err, /the database has the schema 9001-later/);

      const checks = await user.json<{ name: string; outcome: string; text: string }[]>(['doctor'], {
        env: { ...env, VITRINE_PORT: '0' },
      });
      const { outcome, text } = checks.find(({ name }) => name === 'database') ?? {};
      assert.equal(outcome, 'warn');
      assert.match(text ?? '', /newer version of Vitrine: its schema is 9001-later, which this version can/);
    } finally {
      await server.close();
    }
  });

  test('that does not allow this version is refused by a start, a command and a check', async () => {
    const env = { VITRINE_DATA: folder };
    assert.equal((await user.run(['migrate'], { env })).code, 0);
    addNewerSchema(LATER);
    const refusal = /unknown migration 9001-later, and this version cannot serve its schema/;
    await assert.rejects(startServer(env), refusal);
    const applying = await user.run(['migrate'], { env });
    assert.match(applying.err, refusal);
    assert.equal(applying.code, 1);
    const state = { schema: LATER, pending: [], newer: [LATER] };
    assert.deepEqual(await user.json<Output>(['migrate', '--check'], { env, code: 1 }), state);
    assert.equal((await user.run(['accounts', 'list'], { env })).code, 4);
    assert.equal((await user.run(['doctor'], { env: { ...env, VITRINE_PORT: '0' } })).code, 1);
  });

  test('without a statement about earlier versions is refused', async () => {
    const env = { VITRINE_DATA: folder };
    assert.equal((await user.run(['migrate'], { env })).code, 0);
    addNewerSchema(NEWEST);
    const database = new DatabaseSync(join(folder, 'vitrine.db'));
    database.exec(`delete from schema_support where migration = '${LATER}'`);
    database.close();
    await assert.rejects(startServer(env), /cannot serve its schema/);
  });

  test('is not filled by a restore of this version', async () => {
    const source = await startServer();
    const path = join(folder, 'backup.tar');
    await source.addImage(await picture(1));
    assert.equal((await user.run(['backup', path], { env: { VITRINE_DATA: source.folder } })).code, 0);
    await source.close();
    const env = { VITRINE_DATA: folder };
    assert.equal((await user.run(['migrate'], { env })).code, 0);
    addNewerSchema(NEWEST);
    const { code, err } = await user.run(['restore', path], { env });
    assert.equal(code, 4, err);
    assert.match(err, /the database has the schema 9001-later already/);
  });
});
