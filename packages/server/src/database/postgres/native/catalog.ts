/**
 * Reads the definitions of the tables from the catalogue of PostgreSQL, and writes them again for the native
 * tables. So the native tables have every column, constraint, index and trigger that the tables had, also
 * those that an administrator added.
 */
import { type Kysely, sql } from 'kysely';
import { TABLE_NAMES } from '../../schema/table-names.ts';
import { NAMESPACE } from '../dialect.ts';
import { converted, definitionOf, type NativeType, nativeTypeOf } from './columns.ts';

export interface Column {
  readonly name: string;
  /** With its collation, as in a definition. */
  readonly type: string;
  readonly native: NativeType | undefined;
  readonly isRequired: boolean;
  readonly fallback: string | null;
}

interface Constraint {
  readonly name: string;
  readonly kind: 'p' | 'u' | 'f' | 'c';
  readonly definition: string;
}

interface Index {
  readonly name: string;
  readonly definition: string;
  /** The name of the constraint that the index belongs to. */
  readonly constraint: string | null;
}

interface Trigger {
  readonly name: string;
  readonly definition: string;
  readonly function: string;
}

interface Grant {
  readonly privilege: string;
  /** A role, as PostgreSQL writes it in definitions; null: all roles. */
  readonly role: string | null;
}

/** A table of the first release's form. */
export interface SourceTable {
  readonly name: string;
  /** In the order of the native table. */
  readonly columns: readonly Column[];
  readonly key: readonly string[];
  readonly constraints: readonly Constraint[];
  readonly indexes: readonly Index[];
  readonly triggers: readonly Trigger[];
  /** The rights of other roles than the owner. */
  readonly grants: readonly Grant[];
}

export interface Source {
  /** The namespace of the tables, usually `public`. */
  readonly namespace: string;
  readonly tables: readonly SourceTable[];
  /** The definitions of the functions of triggers, by name. */
  readonly functions: ReadonlyMap<string, string>;
}

interface TableRow extends Omit<SourceTable, 'columns'> {
  readonly namespace: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly collation: string | null;
    readonly isRequired: boolean;
    readonly fallback: string | null;
  }[];
  readonly functions: readonly { readonly name: string; readonly definition: string }[];
}

/** A name as PostgreSQL writes it in definitions. */
export const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

/**
 * The native table of this name. The namespace has no quotes here: statements.ts removes the
 * quoted one until the conversion is complete.
 */
export const nativeTable = (name: string) => `${NAMESPACE}.${quote(name)}`;

const sourceTable = (source: Source, name: string) => `${quote(source.namespace)}.${quote(name)}`;

/**
 * Reads the tables of the connection's namespace. Call it in a transaction: it changes the search path, so
 * that all definitions have qualified names.
 */
export async function readSource(trx: Kysely<unknown>): Promise<Source> {
  const { rows: found } = await sql<{ namespace: string; name: string }>`
    select n.nspname as namespace, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relname = any(${[...TABLE_NAMES]})
      and n.nspname <> ${NAMESPACE} and pg_table_is_visible(c.oid)`.execute(trx);
  const namespace = found[0]?.namespace ?? 'public';
  const { rows: before } = await sql<{ path: string }>`
    select current_setting('search_path') as path`.execute(trx);
  await sql`select set_config('search_path', '', true)`.execute(trx);
  const { rows } = await sql<TableRow>`${sql.raw(READ_TABLES)}
    where n.nspname = ${namespace} and c.relname = any(${found.map(({ name }) => name)})
    order by c.relname`.execute(trx);
  await sql`select set_config('search_path', ${before[0]?.path ?? ''}, true)`.execute(trx);
  return {
    namespace,
    tables: rows.map(({ columns, functions: _, ...table }) => ({ ...table, columns: arranged(columns) })),
    functions: new Map(
      rows.flatMap(({ functions }) => functions.map((each) => [each.name, each.definition] as const)),
    ),
  };
}

const READ_TABLES = `
  select c.relname as name,
    (select json_agg(json_build_object(
        'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
        'collation', case when a.attcollation <> t.typcollation then l.collname end,
        'isRequired', a.attnotnull, 'fallback', pg_get_expr(d.adbin, d.adrelid)
      ) order by a.attnum)
      from pg_attribute a join pg_type t on t.oid = a.atttypid
      left join pg_collation l on l.oid = a.attcollation
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select json_agg(a.attname order by k.position)
      from pg_constraint p, unnest(p.conkey) with ordinality as k (number, position)
      join pg_attribute a on a.attnum = k.number
      where p.conrelid = c.oid and p.contype = 'p' and a.attrelid = c.oid) as key,
    (select coalesce(json_agg(json_build_object(
        'name', k.conname, 'kind', k.contype, 'definition', pg_get_constraintdef(k.oid)) order by k.conname), '[]')
      from pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c')) as constraints,
    (select coalesce(json_agg(json_build_object(
        'name', i.relname, 'definition', pg_get_indexdef(x.indexrelid), 'constraint', k.conname)
        order by i.relname), '[]')
      from pg_index x join pg_class i on i.oid = x.indexrelid
      left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u')
      where x.indrelid = c.oid and x.indisvalid) as indexes,
    (select coalesce(json_agg(json_build_object(
        'name', g.tgname, 'definition', pg_get_triggerdef(g.oid), 'function', f.proname) order by g.tgname), '[]')
      from pg_trigger g join pg_proc f on f.oid = g.tgfoid
      where g.tgrelid = c.oid and not g.tgisinternal and f.pronamespace = c.relnamespace) as triggers,
    (select coalesce(json_agg(json_build_object(
        'privilege', a.privilege_type, 'role', case a.grantee when 0 then null else a.grantee::regrole::text end)), '[]')
      from aclexplode(c.relacl) a where a.grantee <> c.relowner) as grants,
    (select coalesce(json_agg(json_build_object('name', f.proname, 'definition', pg_get_functiondef(f.oid))), '[]')
      from pg_trigger g join pg_proc f on f.oid = g.tgfoid
      where g.tgrelid = c.oid and not g.tgisinternal and f.pronamespace = c.relnamespace) as functions
  from pg_class c join pg_namespace n on n.oid = c.relnamespace`;

/** Columns of eight bytes first, then of four, and texts last: rows then have no gaps for alignment. */
function arranged(columns: TableRow['columns']): Column[] {
  const sizes = ['bigint', 'timestamptz', 'integer', 'uuid', 'bytea'];
  return columns
    .map(({ name, type, collation, isRequired, fallback }): Column & { rank: number } => {
      const native = nativeTypeOf(name, type);
      const definition = collation === null ? type : `${type} collate pg_catalog.${quote(collation)}`;
      const rank = sizes.indexOf(native ?? type);
      return { name, type: definition, native, isRequired, fallback, rank: rank < 0 ? sizes.length : rank };
    })
    .sort((one, other) => one.rank - other.rank)
    .map(({ rank: _, ...column }) => column);
}

/**
 * Creates the native table with its primary key and the rights of other roles, without its other indexes,
 * foreign keys and triggers.
 */
export function createTable({ name, columns, constraints, grants }: SourceTable): string[] {
  const lines = columns.map(({ name: column, type, native, isRequired, fallback }) => {
    const parts = [quote(column), native === undefined ? type : definitionOf(native)];
    if (isRequired) parts.push('not null');
    if (fallback !== null) parts.push(`default ${converted(native, fallback)}`);
    return parts.join(' ');
  });
  for (const { name: constraint, kind, definition } of constraints) {
    if (kind === 'p' || kind === 'c') lines.push(`constraint ${quote(constraint)} ${definition}`);
  }
  return [
    `create table ${nativeTable(name)} (${lines.join(', ')})`,
    ...grants.flatMap(({ privilege, role }) => [
      `grant usage on schema ${NAMESPACE} to ${role ?? 'public'}`,
      `grant ${privilege} on ${nativeTable(name)} to ${role ?? 'public'}`,
    ]),
  ];
}

/** The columns of a native table, and the expressions of their values from a row of its source. */
export function conversion(table: SourceTable, row: string): { columns: string; values: string } {
  return {
    columns: table.columns.map(({ name }) => quote(name)).join(', '),
    values: table.columns.map(({ name, native }) => converted(native, `${row}.${quote(name)}`)).join(', '),
  };
}

/** Creates an index of the native table. */
export function createIndex(source: Source, table: SourceTable, index: Index, concurrently = false): string {
  const { definition } = index;
  const head = /^CREATE (UNIQUE )?INDEX /.exec(definition);
  const tail = definition.indexOf(' USING ');
  if (head === null || tail === -1) throw new TypeError(`unexpected definition: ${definition}`);
  const kind = `create ${head[1] === undefined ? '' : 'unique '}index${concurrently ? ' concurrently' : ''}`;
  const rest = withoutSource(source, definition.slice(tail));
  return `${kind} ${quote(index.name)} on ${nativeTable(table.name)}${rest}`;
}

/** Adds a unique constraint by an index of the same name. */
export function addUnique(table: SourceTable, constraint: Constraint): string {
  const name = quote(constraint.name);
  return `alter table ${nativeTable(table.name)} add constraint ${name} unique using index ${name}`;
}

/** Adds a foreign key. @param notValid the existing rows are checked later. */
export function addForeignKey(
  source: Source,
  table: SourceTable,
  { name, definition }: Constraint,
  notValid = false,
): string {
  const native = withoutSource(source, definition);
  return `alter table ${nativeTable(table.name)} add constraint ${quote(name)} ${native}${notValid ? ' not valid' : ''}`;
}

/**
 * Creates the functions of triggers and the triggers. The functions use the names of tables, which mean the
 * native tables through the search path of the function.
 */
export function createTriggers(source: Source): string[] {
  const { namespace, functions, tables } = source;
  const inNamespace = (text: string, name: string) =>
    text.replace(new RegExp(`FUNCTION ${qualified(namespace, name)}(?=\\()`), () => {
      return `FUNCTION ${nativeTable(name)}`;
    });
  return [
    ...[...functions].flatMap(([name, definition]) => [
      inNamespace(definition, name),
      `alter function ${nativeTable(name)}() set search_path = ${quote(NAMESPACE)}, ${quote(namespace)}`,
    ]),
    ...tables.flatMap(({ triggers }) =>
      triggers.map((trigger) => inNamespace(withoutSource(source, trigger.definition), trigger.function)),
    ),
  ];
}

/** Removes the tables of the first form, and the functions of their triggers. */
export function dropSource(source: Source): string[] {
  if (source.tables.length === 0) return [];
  const tables = source.tables.map(({ name }) => sourceTable(source, name));
  const functions = [...source.functions.keys()].map((name) => `${sourceTable(source, name)}()`);
  return [
    `drop table ${tables.join(', ')}`,
    ...(functions.length === 0 ? [] : [`drop function ${functions.join(', ')}`]),
  ];
}

/** The table of the source, for statements. */
export function tableOf(source: Source, { name }: SourceTable): string {
  return sourceTable(source, name);
}

/** Names of tables in a definition become those of the native tables. */
function withoutSource({ namespace, tables }: Source, definition: string): string {
  return tables.reduce(
    (text, { name }) =>
      text.replaceAll(new RegExp(`(?<= )${qualified(namespace, name)}(?=[ (])`, 'g'), () =>
        nativeTable(name),
      ),
    definition,
  );
}

/** The pattern of a qualified name: PostgreSQL quotes names only where it must. */
function qualified(namespace: string, name: string): string {
  return [namespace, name].map((each) => `"?${each.replace(/\W/g, '\\$&')}"?`).join('\\.');
}
