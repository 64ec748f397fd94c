/**
 * Adapts statements to the database: to the form of its tables, and to the types of its parameters. Both are
 * read from the database once, and then known to all connections of a pool.
 */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { NAMESPACE } from './dialect.ts';
import { WRITERS } from './types.ts';

/**
 * - `text`: the tables of the first release, with texts and numbers, in the namespace of the connection.
 * - `native`: the tables with native types, in their own namespace. See ADR 59.
 */
type TableForm = 'text' | 'native';

type Writer = (value: unknown) => string | undefined;

/** For each parameter, its writer if its type is native. Empty if no parameter has such a type. */
type Writers = readonly (Writer | undefined)[];

const PREFIX = `"${NAMESPACE}".`;

/** Characters of statements to remember. Lists with many lengths make many statements. */
const MAX_REMEMBERED = 4_000_000;

/**
 * The writers of statements, by their texts. All databases share them: a text names the form of its tables,
 * and a column never changes its type. The oldest is first.
 */
const writersByText = new Map<string, Writers>();
let remembered = 0;

function remember(text: string, writers: Writers): void {
  if (writersByText.has(text)) return;
  writersByText.set(text, writers);
  remembered += text.length;
  for (const oldest of writersByText.keys()) {
    if (remembered <= MAX_REMEMBERED) return;
    writersByText.delete(oldest);
    remembered -= oldest.length;
  }
}

/** Only these can be prepared. Other statements have no parameters. */
const PREPARABLE = /^\s*(?:select|insert|update|delete|merge|with|values|\()/i;

/** The tables exist in the namespace while they are filled, and then the conversion is not complete. */
const FIND_FORM = `select bool_or(relname = 'accounts') and not bool_or(relname = 'conversion') as is_native
  from pg_class where relname in ('accounts', 'conversion') and relnamespace in (
    select oid from pg_namespace where nspname = '${NAMESPACE}')`;

/** The tables were converted since the statement was adapted. The transaction can be repeated. */
export class TablesMoved extends Error {
  override name = 'TablesMoved';
}

export class Statements {
  #form: TableForm | undefined;
  /** The form was read again, after a table was missing, and is still `text`. So the table does not exist. */
  #isTextConfirmed = false;
  #isDoubted = false;

  /** Call it after a conversion of the tables. */
  forget(): void {
    this.#form = undefined;
  }

  /**
   * Runs a statement.
   * @param inTransaction an error then ends the transaction, so the statement cannot be repeated alone.
   * @throws TablesMoved, or the error of pg.
   */
  async run(
    client: pg.ClientBase,
    statement: string,
    parameters: readonly unknown[],
    inTransaction: boolean,
  ): Promise<unknown> {
    const text = await this.#adapt(client, statement);
    try {
      const result = await execute(client, text, parameters);
      if (text !== statement) this.#isTextConfirmed = false;
      return result;
    } catch (error) {
      // Only tables of the text form can move.
      const mayHaveMoved = isTableMissing(error) && text !== statement;
      if (!mayHaveMoved || this.#isTextConfirmed) throw error;
      if (this.#form === 'text') {
        this.forget();
        this.#isDoubted = true;
      }
      if (inTransaction) throw new TablesMoved('the tables were converted meanwhile', { cause: error });
      const again = await this.#adapt(client, statement);
      if (again !== statement) throw error;
      return execute(client, again, parameters);
    }
  }

  async #adapt(client: pg.ClientBase, statement: string): Promise<string> {
    if (!statement.includes(PREFIX)) return statement;
    // Another connection may forget the form at any time.
    const form = this.#form ?? (await this.#readForm(client));
    return form === 'text' ? statement.replaceAll(PREFIX, '') : statement;
  }

  async #readForm(client: pg.ClientBase): Promise<TableForm> {
    const { rows } = await client.query<{ is_native: boolean }>(FIND_FORM);
    const form = rows[0]?.is_native ? 'native' : 'text';
    this.#isTextConfirmed = this.#isDoubted && form === 'text';
    this.#isDoubted = false;
    this.#form = form;
    return form;
  }
}

async function execute(
  client: pg.ClientBase,
  text: string,
  parameters: readonly unknown[],
): Promise<unknown> {
  if (parameters.length === 0) return client.query(text);
  let writers = writersByText.get(text);
  if (writers === undefined) {
    writers = await readWriters(client, text);
    remember(text, writers);
  }
  const values = parameters.map((value, index) => {
    const write = writers[index];
    return write === undefined || value === null || value === undefined ? value : bound(write, value, text);
  });
  return client.query(text, values);
}

/** PostgreSQL infers the types of parameters. One message, so that a pooler sends it to one connection. */
async function readWriters(client: pg.ClientBase, text: string): Promise<Writers> {
  if (!PREPARABLE.test(text)) return [];
  // Another process may use the same connection of a pooler.
  const name = `vitrine_types_${randomBytes(8).toString('hex')}`;
  const results = (await client.query(
    `prepare ${name} as ${text};
    select array_to_string(parameter_types::oid[], ' ') as types from pg_prepared_statements
      where name = '${name}';
    deallocate ${name}`,
  )) as unknown as pg.QueryResult<{ types: string }>[];
  const types = results[1]?.rows[0]?.types ?? '';
  const writers = types.split(' ').map((oid) => WRITERS.get(Number(oid)));
  return writers.some((writer) => writer !== undefined) ? writers : [];
}

function isTableMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42P01';
}

/**
 * The value in the form of a native type. A value that the type lacks is in no row, so a search for it
 * gets null, which equals nothing.
 * @throws TypeError for a value that the statement would insert.
 */
function bound(write: Writer, value: unknown, text: string): string | null {
  const written = write(value);
  if (written !== undefined) return written;
  if (/^\s*insert/i.test(text)) throw new TypeError('a record has a value that its column cannot store');
  return null;
}
