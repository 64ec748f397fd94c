/** `vitrine gc`: its arguments and its output. The work itself is in maintenance/collect.ts. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CollectionSummary } from '../../maintenance/collection-run.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { durationOption } from '../terminal/options.ts';
import { formatCount, formatJSON, formatRecord, sanitizeLine } from '../terminal/output.ts';
import { type Progress, startProgress } from '../terminal/progress-bar.ts';
import { withMaintenance } from './stores.ts';

const DEFAULT_GRACE_SECONDS = 24 * 60 * 60;

interface Failure {
  readonly subject: string;
  readonly reason: string;
}

export function addGarbageCollection(program: Command, context: CommandContext): void {
  const { stdout } = context;
  program
    .command('gc')
    .description(
      'remove unreferenced originals with their rungs, and files that crashes left; the server may run at the same time',
    )
    .addOption(
      durationOption(
        '--grace <duration>',
        'minimum time without a reference, in seconds or such as 90m, 24h or 7d',
        { defaultValue: DEFAULT_GRACE_SECONDS },
      ),
    )
    .addOption(
      new Option(
        '--sweep <part>',
        'part of the store to list for blobs that no record knows: all, none, or such as 5%; the next run continues there',
      )
        .argParser(parsePart)
        .default(undefined, 'all up to 100 000 images, then as many, but at least 1/30 of the store'),
    )
    .option('--dry-run', 'print what would be removed, and remove nothing')
    .option('--json', 'print JSON')
    .action(async (options: { grace: number; sweep?: number; dryRun?: true; json?: true }) => {
      const { dryRun = false, json = false } = options;
      let removals = 0;
      const failures: Failure[] = [];
      const collection = await runInterruptible(
        context,
        (signal) =>
          withMaintenance(
            context,
            async (maintenance) => {
              let progress: Progress | undefined;
              const print = (line: string) => json || progress?.print(line);
              try {
                return await maintenance.collect({
                  grace: options.grace * 1_000,
                  sweep: options.sweep,
                  dryRun,
                  signal,
                  async onStart(total) {
                    progress = await startProgress(context, { what: 'originals', total, json });
                  },
                  onChecked: () => progress?.countItem(),
                  onOriginal(digest, size) {
                    removals += 1;
                    print(`original ${digest}, ${size} bytes\n`);
                  },
                  onFailure(subject, reason) {
                    failures.push({ subject, reason });
                    print(`failed: ${subject}: ${sanitizeLine(reason)}\n`);
                  },
                });
              } finally {
                progress?.end();
              }
            },
            dryRun ? 'read' : 'write',
          ),
        () =>
          dryRun
            ? 'nothing was removed'
            : `${formatCount(removals, 'original')} removed; run gc again to remove the rest`,
      );
      stdout(json ? formatJSON({ dryRun, ...collection, failures }) : textOf(collection, dryRun));
      if (failures.length > 0) {
        throw new PartialFailure(`the store failed ${formatCount(failures.length, 'time')}: run gc again`);
      }
    });
}

function textOf(summary: CollectionSummary, dryRun: boolean): string {
  const { originals, rungs, bytes, stagedFiles, waiting, swept } = summary;
  return formatRecord({
    [dryRun ? 'would remove' : 'removed']:
      `${formatCount(originals, 'original')} with all rungs, ${formatCount(rungs, 'other rung')}, ` +
      formatCount(stagedFiles, 'unfinished upload'),
    bytes,
    waiting: `${formatCount(waiting, 'unreferenced original')} within the grace period`,
    swept: `${Number((swept * 100).toFixed(2))} % of the store`,
  });
}

/** @returns the part of the store, from 0 to 1. */
function parsePart(text: string): number {
  if (text === 'all') return 1;
  if (text === 'none') return 0;
  const [, percent] = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text) ?? [];
  if (percent === undefined || Number(percent) > 100) {
    throw new InvalidArgumentError('It must be all, none, or a percentage from 0% to 100%.');
  }
  return Number(percent) / 100;
}
