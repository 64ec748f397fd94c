/**
 * `vitrine migrate --to` and `--blobs`: moves a library to another database or other blobs while its server
 * runs. The work itself is in maintenance/moving/move.ts.
 */
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { MoveStage, MoveSummary, Pass } from '../../maintenance/moving/move.ts';
import type { MovePreview } from '../../maintenance/moving/preview.ts';
import type { CommandContext } from '../terminal/context.ts';
import { PartialFailure } from '../terminal/exit-codes.ts';
import { runInterruptible } from '../terminal/interruption.ts';
import { parseWholeNumber } from '../terminal/options.ts';
import { formatCount, formatJSON, formatRecord, sanitizeLine } from '../terminal/output.ts';
import { type Progress, startProgress } from '../terminal/progress-bar.ts';
import { MASK, type MoveTarget, withMovePlaces, withPreviewPlaces } from './move-places.ts';

export interface MoveCommandOptions extends MoveTarget {
  readonly finish?: true;
  readonly full?: true;
  readonly skipMissing?: true;
  readonly concurrency: number;
  readonly dryRun?: true;
  readonly undo?: true;
  readonly force?: true;
  readonly check?: boolean;
  readonly json?: boolean;
}

const DEFAULT_CONCURRENCY = 16;

/** Milliseconds between two warnings that a store does not answer. */
const WARNING_INTERVAL = 10_000;

const STAGES: Readonly<Record<MoveStage, string>> = {
  images: 'records of images compared',
  originals: 'originals copied or there already',
  'verified originals': 'originals verified',
};

/** Adds the options of a move to `vitrine migrate`. */
export function addMoveOptions(command: Command): Command {
  return command
    .option('--to <database>', 'move the records to this database, in the form of VITRINE_DATABASE')
    .option('--blobs <blobs>', 'move originals and rungs to this place, in the form of VITRINE_BLOBS')
    .option('--finish', 'end the move: no change is possible meanwhile, and then the target has the library')
    .option('--full', 'with --finish: read every copied file again, instead of its checksum at the target')
    .option('--skip-missing', 'with --finish: move although originals are missing or damaged')
    .option('--concurrency <number>', 'files to copy at the same time', parseWholeNumber, DEFAULT_CONCURRENCY)
    .option('--dry-run', 'print what would be copied, and change nothing')
    .option('--undo', 'use the library at its former place again')
    .option('--force', 'with --undo: also if changes at the target are lost, or the target is lost');
}

/** Whether the options ask for a move. */
export function isMove(options: MoveCommandOptions): boolean {
  const { to, blobs, finish, full, skipMissing, dryRun, undo, force } = options;
  return [to, blobs, finish, full, skipMissing, dryRun, undo, force].some((value) => value !== undefined);
}

/** Moves the library of the environment, or undoes its move. */
export async function runMove(context: CommandContext, options: MoveCommandOptions): Promise<void> {
  checkOptions(options);
  if (options.undo) await runUndo(context, options);
  else if (options.dryRun) await runPreview(context, options);
  else await runPasses(context, options);
}

function checkOptions(options: MoveCommandOptions): void {
  const { to, blobs, finish, full, skipMissing, dryRun, undo, force, concurrency, check } = options;
  const refuse = (text: string) => {
    throw new AppError('invalid-request', text);
  };
  if (to === undefined && blobs === undefined && !undo) refuse('give --to, --blobs or both');
  if (check) refuse('--check belongs to the schema: leave it out to move the library');
  if (undo && (finish || full || skipMissing || dryRun))
    refuse('--undo takes only --to, --blobs and --force');
  if (force && !undo) refuse('--force belongs to --undo');
  if ((full || skipMissing) && !finish) refuse('--full and --skip-missing belong to --finish');
  if (dryRun && finish) refuse('give either --dry-run or --finish');
  if (concurrency < 1 || concurrency > 256) refuse('--concurrency must be a number from 1 to 256');
}

async function runUndo(context: CommandContext, options: MoveCommandOptions): Promise<void> {
  const environment = await runInterruptible(
    context,
    (signal) =>
      withMovePlaces(context, options, async ({ places, sourceEnvironment }) => {
        const { undoMove } = await import('../../maintenance/moving/undo.ts');
        const hasTarget = options.to !== undefined || options.blobs !== undefined;
        await undoMove({
          source: places.source,
          target: hasTarget ? places.target : undefined,
          from: places.from,
          force: options.force ?? false,
          signal,
        });
        return sourceEnvironment;
      }),
    () => 'nothing was changed',
  );
  if (options.json) context.stdout(formatJSON({ undone: true, environment }));
  else context.stdout(`undone: start the server with\n${environmentText(environment)}`);
}

async function runPreview(context: CommandContext, options: MoveCommandOptions): Promise<void> {
  const preview = await runInterruptible(
    context,
    (signal) =>
      withPreviewPlaces(context, options, async ({ places, stores, targetBlobs }): Promise<Preview> => {
        const [{ checkPlaces }, { previewMove }] = await Promise.all([
          import('../../maintenance/moving/places.ts'),
          import('../../maintenance/moving/preview.ts'),
        ]);
        const { isMoved } = await checkPlaces(places);
        const { maintenance: records, moves } = stores.metadata;
        return { isMoved, ...(await previewMove({ records, moves }, targetBlobs, signal)) };
      }),
    () => 'nothing was changed',
  );
  if (options.json) context.stdout(formatJSON({ dryRun: true, ...preview }));
  else context.stdout(previewText(preview));
}

interface Preview extends MovePreview {
  readonly isMoved: boolean;
}

function previewText({ isMoved, ...counts }: Preview): string {
  if (isMoved) return 'the library is in use at the target already: there is nothing to move\n';
  const { images, originals, bytes, originalsToCopy, bytesToCopy } = counts;
  return formatRecord({
    library: `${formatCount(images, 'image')}, ${formatCount(originals, 'original')}, ${formatBytes(bytes)}`,
    'to copy': `${formatCount(originalsToCopy, 'original')}, ${formatBytes(bytesToCopy)}, and their rungs`,
  });
}

async function runPasses(context: CommandContext, options: MoveCommandOptions): Promise<void> {
  const { stdout } = context;
  const { finish = false, json = false } = options;
  let isClosed = false;
  const { summary, environment } = await runInterruptible(
    context,
    (signal) =>
      withMovePlaces(context, options, async ({ places, targetEnvironment }) => {
        const { moveLibrary } = await import('../../maintenance/moving/move.ts');
        let progress: Progress | undefined;
        let passes = 0;
        let warnedAt = Number.NEGATIVE_INFINITY;
        const print = (line: string) => {
          if (!json) stdout(`${sanitizeLine(line)}\n`);
        };
        try {
          const summary = await moveLibrary({
            ...places,
            finish,
            readsBlobs: options.full ?? false,
            skipMissing: options.skipMissing ?? false,
            concurrency: options.concurrency,
            signal,
            events: {
              async onStage(stage, total) {
                progress?.end();
                progress = await startProgress(context, { what: STAGES[stage], total, json });
              },
              onItem: () => progress?.countItem(),
              onPass(pass) {
                progress?.end();
                progress = undefined;
                passes += 1;
                print(passText(passes, pass));
              },
              onClosed() {
                progress?.end();
                progress = undefined;
                isClosed = true;
                print('closed     the library cannot be changed until the end of this command');
              },
              onRetry(error) {
                // All copies fail at the same time.
                if (performance.now() - warnedAt < WARNING_INTERVAL) return;
                warnedAt = performance.now();
                progress?.warn(`trying again: ${error.message} ${reasonOf(error)}`);
              },
            },
          });
          return { summary, environment: targetEnvironment };
        } finally {
          progress?.end();
        }
      }),
    () =>
      isClosed
        ? 'the library can be changed at its former place again; run the command again to go on'
        : 'what was copied stays at the target; run the command again to go on',
  );
  if (json) stdout(formatJSON({ ...summary, ...(summary.outcome !== 'copied' && { environment }) }));
  else stdout(summaryText(summary, environment));
  if (summary.outcome === 'moved-before') return;
  const missing = summary.passes.at(-1)?.missing ?? [];
  if (missing.length === 0) return;
  if (!json) {
    for (const { digest, reason } of missing)
      stdout(`missing: original ${digest}: ${sanitizeLine(reason)}\n`);
  }
  throw new PartialFailure(`the source lacks ${formatCount(missing.length, 'original')}, missing or damaged`);
}

/** The innermost cause. */
function reasonOf({ cause }: Error): string {
  if (!(cause instanceof Error)) return '';
  return cause.cause instanceof Error ? reasonOf(cause) : `(${cause.message})`;
}

function passText(number: number, pass: Pass): string {
  const { inserted, updated, deleted, originals, rungs, bytes, seconds } = pass;
  const records = `${formatCount(inserted, 'record')} added, ${updated} changed, ${deleted} removed`;
  const blobs = `${formatCount(originals, 'original')} and ${formatCount(rungs, 'rung')} copied (${formatBytes(bytes)})`;
  return `${`pass ${number}`.padEnd(9)}  ${records}; ${blobs}; ${seconds} s`;
}

function summaryText(summary: MoveSummary, environment: Readonly<Record<string, string>>): string {
  if (summary.outcome === 'moved-before') {
    return `moved before: the library is in use at the target. Its server has\n${environmentText(environment)}`;
  }
  if (summary.outcome === 'copied') {
    const state = summary.isClose
      ? 'the target is close to the source'
      : 'the library changes as fast as it is copied: end the move at a quieter time';
    return (
      `ready      ${state}\n` +
      'next       run the same command with --finish, and keep the server running. Until it ends, changes get\n' +
      '           503 with Retry-After, and links are answered. Then start the server with the variables that\n' +
      '           it prints, and stop the former one\n'
    );
  }
  const { tables, verification, closedSeconds } = summary;
  const rows = Object.values(tables).reduce((sum, table) => sum + table.rows, 0);
  const details = Object.entries(tables).map(
    ([table, { rows: count, digest }]) => `  ${table.padEnd(18)}${String(count).padStart(10)}  ${digest}\n`,
  );
  const lines = {
    moved: 'the library is in use at the target, and its former place is closed',
    records:
      rows > 0 ? `${formatCount(rows, 'record')} verified, by count and digest of each table` : undefined,
    blobs:
      verification &&
      `${formatCount(verification.originals, 'original')} verified` +
        (verification.rungs > 0 ? `, ${formatCount(verification.rungs, 'rung')} compared` : '') +
        (verification.repaired.originals + verification.repaired.rungs > 0
          ? `; copied again: ${verification.repaired.originals + verification.repaired.rungs}`
          : ''),
    closed: `changes were refused for ${closedSeconds} s`,
  };
  return (
    `${formatRecord(lines)}${details.join('')}` +
    `next     stop the former server, and start the new one with\n${environmentText(environment)}`
  );
}

function environmentText(environment: Readonly<Record<string, string>>): string {
  const lines = Object.entries(environment).map(
    ([name, value]) => `  ${name}='${value.replaceAll("'", "'\\''")}'\n`,
  );
  const isMasked = Object.values(environment).some((value) => value.includes(MASK));
  return lines.join('') + (isMasked ? `  (${MASK} stands for the password that you gave)\n` : '');
}

function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 1_000 && unit < units.length - 1; unit += 1) value /= 1_000;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
