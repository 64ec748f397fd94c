/**
 * `vitrine backup` and `restore`: the arguments of these commands and their output. The work itself is in
 * maintenance/.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { BackupSummary } from '../../maintenance/backup-format.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { formatCount, formatJSON, formatRecord, sanitizeLine } from '../terminal/output.ts';
import { startProgress } from '../terminal/progress-bar.ts';
import { addGarbageCollection } from './gc.ts';
import { withNewStores, withStores } from './stores.ts';

/** The nouns for the records of a table. Records of all other tables are counted together. */
const RECORD_NOUNS = [
  ['accounts', 'account'],
  ['api_keys', 'key'],
  ['images', 'image'],
  ['products', 'product'],
  ['line_items', 'set of line items', 'sets of line items'],
  ['audit', 'line of the audit trail', 'lines of the audit trail'],
] as const satisfies (readonly [table: string, singular: string, plural?: string])[];

export function addMaintenanceCommands(program: Command, context: CommandContext): void {
  const { stdout } = context;

  addGarbageCollection(program, context);

  program
    .command('backup')
    .description(
      'write all records and originals of one moment into one file; the server may run at the same time',
    )
    .argument('<file>', 'path of the tar file; an existing file is replaced once the new backup is complete')
    .option('--json', 'print JSON')
    .action(async (path: string, { json = false }: { json?: boolean }) => {
      const stats = await stat(path).catch(() => undefined);
      // The rename at the end would replace a device or a pipe like an older backup.
      if (stats !== undefined && !stats.isFile()) {
        const kind = stats.isDirectory() ? 'a folder' : 'not a regular file';
        throw new AppError('invalid-request', `${path} is ${kind}: give the path of a file`);
      }
      const summary = await runInterruptible(
        context,
        (signal) =>
          withStores(context, async ({ metadata, blobs }) => {
            const { writeBackup } = await import('../../maintenance/backup.ts');
            const total = await metadata.maintenance.countImages();
            const progress = await startProgress(context, { what: 'originals', total, json });
            const onOriginal = () => progress.countItem();
            try {
              return await writeBackup({ records: metadata.maintenance, blobs, path, signal, onOriginal });
            } finally {
              progress.end();
            }
          }),
        () => 'no backup was written, and no temporary file is left',
      );
      printSummary(context, summary, json);
      checkComplete(summary, 'the backup lacks');
    });

  program
    .command('restore')
    .description('restore a backup into an empty library on SQLite or PostgreSQL; stop its server first')
    .argument('<file>', 'path of a file that "vitrine backup" wrote')
    .option('--json', 'print JSON')
    .action(async (path: string, { json = false }: { json?: boolean }) => {
      // Before the stores are created: a mistyped path must not leave an empty library behind.
      await access(path, constants.R_OK).catch((cause: unknown) => {
        throw new AppError('invalid-request', `the backup ${path} cannot be read`, { cause });
      });
      const summary = await runInterruptible(
        context,
        (signal) =>
          withNewStores(context, async ({ metadata, blobs }) => {
            const { restoreBackup } = await import('../../maintenance/restore.ts');
            const { size } = await stat(path);
            const progress = await startProgress(context, { what: 'originals', size, json });
            const onOriginal = () => progress.countItem();
            const onRead = (bytes: number) => progress.setAmount(bytes);
            try {
              return await restoreBackup({ metadata, blobs, path, signal, onOriginal, onRead });
            } finally {
              progress.end();
            }
          }),
        () => 'nothing was restored, and the library is still empty',
      );
      printSummary(context, summary, json);
      if (!json) {
        stdout(
          'next       vitrine verify --repair makes all rungs now; otherwise the first request makes each\n',
        );
      }
      checkComplete(summary, 'everything else is restored, but the backup lacks');
    });
}

function printSummary({ stdout }: CommandContext, summary: BackupSummary, json: boolean): void {
  if (json) {
    stdout(formatJSON(summary));
    return;
  }
  for (const { digest, reason } of summary.missing) {
    stdout(`missing: original ${digest}: ${sanitizeLine(reason)}\n`);
  }
  const { records, originals, bytes } = summary;
  const counts = RECORD_NOUNS.flatMap(([table, singular, plural]) => {
    const count = records[table] ?? 0;
    return count > 0 ? formatCount(count, singular, plural) : [];
  });
  const otherTables = Object.entries(records).filter(
    ([table]) => !RECORD_NOUNS.some(([name]) => name === table),
  );
  const others = otherTables.reduce((sum, [, count]) => sum + count, 0);
  if (others > 0) counts.push(formatCount(others, 'other'));
  stdout(formatRecord({ records: counts.join(', '), originals, bytes }));
}

/** @throws PartialFailure if originals were missing or damaged when the backup was written. */
function checkComplete({ missing }: BackupSummary, subject: string): void {
  if (missing.length === 0) return;
  throw new PartialFailure(`${subject} ${formatCount(missing.length, 'original')}, missing or damaged`);
}
