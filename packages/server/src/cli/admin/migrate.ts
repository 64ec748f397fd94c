/**
 * `vitrine migrate`: brings the schema of the database to this version, as a start of the server does. With
 * options that name another place, it moves the library there instead: see move.ts.
 */
import type { Command } from 'commander';
import type { SchemaState } from '../../maintenance/records.ts';
import type { CommandContext } from '../terminal/context.ts';
import { ProblemsFound } from '../terminal/exit-codes.ts';
import { formatCount, formatJSON, formatRecord } from '../terminal/output.ts';
import { addMoveOptions, isMove, type MoveCommandOptions, runMove } from './move.ts';
import { withDatabase } from './stores.ts';

interface Options {
  readonly check?: boolean;
  readonly json?: boolean;
}

export function addMigrateCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('migrate')
    .description(
      'bring the schema of the database to this version, or move the library to another database and other ' +
        'blobs; servers may run meanwhile',
    )
    .option('--check', 'change nothing; the exit code is 1 if migrations are pending')
    .option('--json', 'print JSON');
  addMoveOptions(command);
  command.action(async (options: Options & MoveCommandOptions) => {
    const { check = false, json = false } = options;
    if (isMove(options)) await runMove(context, options);
    else if (check) await checkMigrations(context, json);
    else await applyMigrations(context, json);
  });
}

async function applyMigrations(context: CommandContext, json: boolean): Promise<void> {
  const { stdout, stderr } = context;
  const { applied, state } = await withDatabase(context, 'write', async (metadata) => {
    const outcome = await metadata.migrate({ report: (text) => stderr(`${text}\n`) });
    return { applied: outcome.applied, state: await metadata.maintenance.readSchema() };
  });
  print(context, json, { applied, ...summaryOf(state) });
  if (!json && applied.length === 0) stdout('there was nothing to apply\n');
}

async function checkMigrations(context: CommandContext, json: boolean): Promise<void> {
  const state = await withDatabase(context, 'read', ({ maintenance }) => maintenance.readSchema());
  print(context, json, summaryOf(state));
  const { pending, isServable } = state;
  if (pending.length > 0)
    throw new ProblemsFound(`not up to date: ${formatCount(pending.length, 'migration')} pending`);
  if (!isServable)
    throw new ProblemsFound('a newer version made the schema, and this version cannot serve it');
}

interface Summary {
  /** The newest migration of the database; null if it is empty. */
  readonly schema: string | null;
  readonly pending: readonly string[];
  readonly newer: readonly string[];
}

function summaryOf({ applied, pending, newer }: SchemaState): Summary {
  return { schema: applied.at(-1) ?? null, pending, newer };
}

function print(
  { stdout }: CommandContext,
  json: boolean,
  summary: Summary & { readonly applied?: readonly string[] },
): void {
  if (json) {
    stdout(formatJSON(summary));
    return;
  }
  const { schema, applied = [], pending, newer } = summary;
  const lists = { applied, pending, 'of a newer version': newer };
  const entries = Object.entries(lists).filter(([, names]) => names.length > 0);
  stdout(
    formatRecord({
      schema: schema ?? '(none)',
      ...Object.fromEntries(entries.map(([label, names]) => [label, names.join(', ')])),
    }),
  );
}
