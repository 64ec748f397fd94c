/**
 * `vitrine gc`, `backup` and `restore`. Owns the words of these commands and how their outcomes are printed; what
 * they do is the services'.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { BackupSummary } from '../../maintenance/backup-format.ts';
import type { CollectionSummary } from '../../maintenance/collect.ts';
import { PartlyDone } from '../remote/progress.ts';
import { interruptible } from '../terminal/interruption.ts';
import { counted, json, lines, plain } from '../terminal/output.ts';
import { seconds } from './keys.ts';
import type { Surroundings } from './session.ts';
import { type Steps, startSteps } from './steps.ts';
import { withMaintenance, withNewStores, withStores } from './stores.ts';

const DEFAULT_GRACE_SECONDS = 24 * 60 * 60;

/** What people call the records of a table. Of other tables they need not know. */
const NAMES = [
  ['accounts', 'account'],
  ['api_keys', 'key'],
  ['images', 'image'],
  ['products', 'product'],
  ['line_items', 'set of line items', 'sets of line items'],
  ['audit', 'line of the audit trail', 'lines of the audit trail'],
] as const satisfies (readonly [string, string, string?])[];

export function addMaintenanceCommands(program: Command, surroundings: Surroundings): void {
  const { write } = surroundings;

  program
    .command('gc')
    .description(
      'remove what no image names: originals with their rungs, and what crashes left; beside a server or without one',
    )
    .option(
      '--grace <time>',
      'for how long something must have been without a name, such as 0, 90m, 24h, 7d',
      seconds,
      DEFAULT_GRACE_SECONDS,
    )
    .option('--dry-run', 'only say what would be removed')
    .option('--json', 'print JSON')
    .action(async (options: { grace: number; dryRun?: true; json?: true }) => {
      const { dryRun = false, json: asJSON = false } = options;
      let found = 0;
      const collection = await interruptible(
        surroundings,
        (signal) =>
          withMaintenance(surroundings, async (maintenance) => {
            let steps: Steps | undefined;
            try {
              return await maintenance.collect({
                grace: options.grace * 1_000,
                dryRun,
                signal,
                async onStage(what, total) {
                  steps?.end();
                  steps = await startSteps(surroundings, { what, total, json: asJSON });
                },
                onChecked: () => steps?.step(),
                onOriginal(digest, size) {
                  found += 1;
                  if (!asJSON) steps?.tell(`original ${digest}, ${size} bytes\n`);
                },
              });
            } finally {
              steps?.end();
            }
          }),
        () =>
          dryRun
            ? 'nothing was removed'
            : `${counted(found, 'original')} removed before; what is left is for the next run`,
      );
      write(asJSON ? json({ dryRun, ...collection }) : collectionText(collection, dryRun));
    });

  program
    .command('backup')
    .description(
      'write all records and originals of one moment into one file, beside a server or without one',
    )
    .argument('<file>', 'a tar; one that is there is replaced when the new one is whole')
    .option('--json', 'print JSON')
    .action(async (path: string, options: { json?: true }) => {
      const { json: asJSON = false } = options;
      const found = await stat(path).catch(() => undefined);
      // A device or a pipe would be replaced like an older backup.
      if (found !== undefined && !found.isFile())
        throw new AppError(
          'invalid-request',
          `${path} is ${found.isDirectory() ? 'a folder' : 'no file'}: name a file`,
        );
      const summary = await interruptible(
        surroundings,
        (signal) =>
          withStores(surroundings, async ({ metadata, blobs }) => {
            const { writeBackup } = await import('../../maintenance/backup.ts');
            const total = await metadata.maintenance.countImages();
            const { step, end } = await startSteps(surroundings, { what: 'originals', total, json: asJSON });
            try {
              return await writeBackup({
                records: metadata.maintenance,
                blobs,
                path,
                signal,
                onOriginal: step,
              });
            } finally {
              end();
            }
          }),
        () => 'there is no new backup, and nothing of it is left',
      );
      tellSummary(surroundings, summary, asJSON);
      check(summary, 'the backup is without');
    });

  program
    .command('restore')
    .description('fill an empty library from a backup, on whichever database; no server may run on it')
    .argument('<file>', 'what "vitrine backup" wrote')
    .option('--json', 'print JSON')
    .action(async (path: string, options: { json?: true }) => {
      const { json: asJSON = false } = options;
      // Before there are stores: a name that was mistyped should not leave a library behind.
      await access(path, constants.R_OK).catch((cause: unknown) => {
        throw new AppError('invalid-request', `the backup ${path} cannot be read`, { cause });
      });
      const summary = await interruptible(
        surroundings,
        (signal) =>
          withNewStores(surroundings, async ({ metadata, blobs }) => {
            const { restoreBackup } = await import('../../maintenance/restore.ts');
            const { size } = await stat(path);
            const steps = await startSteps(surroundings, { what: 'originals', size, json: asJSON });
            const onOriginal = () => steps.step();
            const onRead = (bytes: number) => steps.reach(bytes);
            try {
              return await restoreBackup({ metadata, blobs, path, signal, onOriginal, onRead });
            } finally {
              steps.end();
            }
          }),
        () => 'nothing was restored, and the library is as empty as it was',
      );
      tellSummary(surroundings, summary, asJSON);
      if (!asJSON)
        write(
          'next       vitrine verify --repair makes all rungs, which no backup has; or each is made when it is missed\n',
        );
      check(summary, 'all that the backup has is restored, but it is without');
    });
}

function collectionText(
  { originals, rungs, bytes, stagedFiles, waiting }: CollectionSummary,
  dryRun: boolean,
): string {
  return lines({
    [dryRun ? 'would remove' : 'removed']:
      `${counted(originals, 'original')} with all rungs, ${counted(rungs, 'rung')} without an original, ` +
      counted(stagedFiles, 'unfinished upload'),
    bytes,
    waiting: `${counted(waiting, 'original')} without a name, but not for long enough`,
  });
}

function tellSummary({ write }: Surroundings, summary: BackupSummary, asJSON: boolean): void {
  if (asJSON) {
    write(json(summary));
    return;
  }
  for (const { digest, reason } of summary.missing) write(`missing: original ${digest}: ${plain(reason)}\n`);
  const { records, originals, bytes } = summary;
  const told = NAMES.flatMap(([table, one, many]) => {
    const count = records[table] ?? 0;
    return count > 0 ? counted(count, one, many) : [];
  });
  const rest = Object.entries(records).filter(([table]) => !NAMES.some(([named]) => named === table));
  const others = rest.reduce((sum, [, count]) => sum + count, 0);
  if (others > 0) told.push(counted(others, 'other'));
  write(lines({ records: told.join(', '), originals, bytes }));
}

function check({ missing }: BackupSummary, words: string): void {
  if (missing.length > 0)
    throw new PartlyDone(`${words} ${counted(missing.length, 'original')} that were missing or damaged`);
}
