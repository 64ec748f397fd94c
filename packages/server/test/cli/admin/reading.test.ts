/**
 * The local commands that only read: they neither create nor change a database, a folder or a file.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { User } from '../../support/command.ts';
import { ACCOUNTS, INITIAL_DATABASE } from '../../support/initial-schema.ts';
import { startPostgres } from '../../support/postgres.ts';

const ACCOUNT = ACCOUNTS.withImages;
const READING = [
  ['accounts', 'list'],
  ['accounts', 'show', ACCOUNT],
  ['keys', 'list'],
  ['keys', 'list', '--account', ACCOUNT],
  ['audit'],
  ['audit', ACCOUNT],
  ['verify'],
  ['gc', '--dry-run'],
];

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

let user: User;
let folder: string;
before(async () => {
  user = await User.create();
});
after(() => user.remove());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-reading-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** All files and folders with the digests of their content. */
async function contentOf(path: string): Promise<Record<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const content: Record<string, string> = {};
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    content[file] = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(file))
          .digest('hex')
      : 'folder';
  }
  return content;
}

async function writeInitialDatabase(path: string, mode: 'wal' | 'delete'): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  const database = new DatabaseSync(path);
  database.exec(`pragma journal_mode = ${mode}`);
  for (const statement of INITIAL_DATABASE) database.exec(statement);
  database.close();
}

describe('a command that only reads', () => {
  /** Runs every reading command, and checks that the folder stays as it is. */
  async function runAll(env: Record<string, string>, code: number, message: RegExp): Promise<void> {
    const content = await contentOf(folder);
    for (const words of READING) {
      const outcome = await user.run(words, { env });
      assert.deepEqual([outcome.code, outcome.out], [code, ''], `${words.join(' ')}: ${outcome.err}`);
      assert.match(outcome.err, message, words.join(' '));
      assert.deepEqual(await contentOf(folder), content, words.join(' '));
    }
    await user.run(['doctor'], { env });
    assert.deepEqual(await contentOf(folder), content, 'doctor');
  }

  test('creates no data folder', async () => {
    const data = join(folder, 'data');
    await runAll({ VITRINE_DATA: data }, 3, new RegExp(`^there is no library at ${data}/vitrine.db: check`));
  });

  test('creates no database in an existing folder, and no tables in an empty file', async () => {
    await runAll({ VITRINE_DATA: folder }, 3, /^there is no library at/);
    await writeFile(join(folder, 'vitrine.db'), '');
    await runAll({ VITRINE_DATA: folder }, 3, /^there is no library at/);
  });

  test('does not migrate a database of an earlier version, and says what does', async () => {
    await writeInitialDatabase(join(folder, 'vitrine.db'), 'wal');
    await mkdir(join(folder, 'blobs/staging'), { recursive: true });
    const message =
      /^the database has the schema 0001-initial, and this version needs \d{4}-.*: make a backup, then run "vitrine migrate" or start the server/;
    await runAll({ VITRINE_DATA: folder }, 4, message);
  });

  test('says that a newer version made the database', async () => {
    const path = join(folder, 'vitrine.db');
    await writeInitialDatabase(path, 'wal');
    const database = new DatabaseSync(path);
    database.exec("insert into kysely_migration values ('9999-future', '2030-01-01T00:00:00.000Z')");
    database.close();
    await mkdir(join(folder, 'blobs/staging'), { recursive: true });
    await runAll(
      { VITRINE_DATA: folder },
      4,
      /^the database has the schema 9999-future.*run the newer version/,
    );
  });

  test('adds no write-ahead log to a database', async () => {
    await writeInitialDatabase(join(folder, 'vitrine.db'), 'delete');
    await mkdir(join(folder, 'blobs/staging'), { recursive: true });
    await runAll({ VITRINE_DATA: folder }, 4, /has no write-ahead log: start the server once/);
  });

  test('creates no folder for blobs', async () => {
    const env = { VITRINE_DATA: folder };
    const { accountID } = await user.json<{ accountID: string }>(['accounts', 'create', 'A'], { env });
    const content = await contentOf(folder);
    for (const words of [['verify'], ['gc', '--dry-run']]) {
      const outcome = await user.run(words, { env });
      assert.deepEqual([outcome.code, outcome.out], [3, '']);
      assert.match(outcome.err, /^there is no blob folder at .*blobs: check VITRINE_DATA and VITRINE_BLOBS/);
    }
    const accounts = await user.json<{ accountID: string }[]>(['accounts', 'list'], { env });
    assert.deepEqual(
      accounts.map((account) => account.accountID),
      [accountID],
    );
    assert.deepEqual(await contentOf(folder), content);
  });

  test('creates no tables in an empty PostgreSQL database', { skip }, async () => {
    const url = (await postgres?.createEmptyDatabase()) ?? assert.fail();
    const env = { VITRINE_DATA: folder, VITRINE_DATABASE: url };
    await mkdir(join(folder, 'blobs/staging'), { recursive: true });
    await runAll(env, 3, /^there is no library in the PostgreSQL database: check/);
    // A writing command creates them.
    await user.json(['accounts', 'create', 'A'], { env });
    assert.equal((await user.json<unknown[]>(['accounts', 'list'], { env })).length, 1);
  });
});
