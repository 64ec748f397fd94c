/**
 * `vitrine verify`, `gc`, `backup` and `restore`. Owns the words of these commands and how their outcomes are printed; what
 * they do is the services'.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import type { BackupSummary } from '../backup-format.ts';
import { AppError } from '../errors.ts';
import type { Collection, Finding } from '../maintenance.ts';
import { seconds } from './keys.ts';
import { json, lines, plain } from './output.ts';
import { PartlyDone } from './progress.ts';
import type { Surroundings } from './session.ts';
import { FoundWrong, startSteps } from './steps.ts';
import { withMaintenance, withNewStores, withStores } from './stores.ts';

const DEFAULT_GRACE_SECONDS = 24 * 60 * 60;

export function addMaintenanceCommands(program: Command, surroundings: Surroundings): void {
  const { write } = surroundings;

  program
    .command('verify')
    .description('check every record, original, rung and cached rendition, beside a server or without one')
    .option('--repair', 'make anew what is derived: rungs, counters, uses of images; never originals')
    .option('--no-rungs', 'do not decode the rungs, which takes most of the time')
    .option('--json', 'print JSON')
    .action(async (options: { repair?: true; rungs: boolean; json?: true }) => {
      const { repair = false, rungs, json: asJSON = false } = options;
      const findings: Finding[] = [];
      let originals = 0;
      await withMaintenance(surroundings, async (maintenance) => {
        const total = await maintenance.countOriginals().catch(() => 0);
        const { step, end } = await startSteps(surroundings, total, 'originals', asJSON);
        const onOriginal = () => {
          originals += 1;
          step();
        };
        try {
          for await (const finding of maintenance.verify({ repair, rungs, onOriginal })) {
            findings.push(finding);
            // Where a bar has the terminal, what was found comes after it.
            if (!asJSON && !surroundings.screen.isTTY) write(findingText(finding));
          }
        } finally {
          end();
        }
      });
      const left = findings.filter(({ repaired }) => !repaired).length;
      if (asJSON) write(json({ originals, findings, repaired: findings.length - left }));
      else {
        if (surroundings.screen.isTTY) for (const finding of findings) write(findingText(finding));
        write(
          `${originals} originals checked, ${findings.length} findings, ${findings.length - left} repaired\n`,
        );
      }
      if (left > 0) throw new FoundWrong(`something is wrong: ${left} findings`);
    });

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
      const { dryRun = false } = options;
      const collection = await withMaintenance(surroundings, (maintenance) =>
        maintenance.collect({
          grace: options.grace * 1_000,
          dryRun,
          onOriginal: (digest, size) => options.json || write(`original ${digest}, ${size} bytes\n`),
        }),
      );
      write(options.json ? json({ dryRun, ...collection }) : collectionText(collection, dryRun));
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
      if (await isFolder(path)) throw new AppError('invalid-request', `${path} is a folder: name a file`);
      const interruption = watchForInterruption();
      const summary = await withStores(surroundings, async ({ metadata, blobs }) => {
        const { writeBackup } = await import('../backup.ts');
        const total = await metadata.maintenance.countImages();
        const { step, end } = await startSteps(surroundings, total, 'originals', asJSON);
        try {
          const onOriginal = () => {
            interruption.check();
            step();
          };
          return await writeBackup({ metadata, blobs, path, onOriginal });
        } finally {
          end();
          interruption.end();
        }
      });
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
      const summary = await withNewStores(surroundings, async ({ metadata, blobs }) => {
        const { restoreBackup } = await import('../restore.ts');
        return restoreBackup({ metadata, blobs, path });
      });
      tellSummary(surroundings, summary, asJSON);
      check(summary, 'all that the backup has is restored, but it is without');
    });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** So that what was begun is cleaned up: `check` throws once the process was told to end. */
function watchForInterruption(): { check(): void; end(): void } {
  let by: string | undefined;
  const tell = (signal: string) => {
    by = signal;
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, tell);
  return {
    check() {
      if (by !== undefined)
        throw new AppError(
          'cancelled',
          `interrupted by ${by}: there is no backup, and nothing of it is left`,
        );
    },
    end() {
      for (const signal of signals) process.off(signal, tell);
    },
  };
}

function findingText({ kind, accountID, imageID, digest, text, repaired }: Finding): string {
  const about = [
    accountID && `account ${accountID}`,
    imageID && `image ${imageID}`,
    !imageID && digest && `original ${digest}`,
  ].filter(Boolean);
  const place = about.length === 0 ? '' : ` (${about.join(', ')})`;
  return `${kind}: ${plain(text)}${place}${repaired ? ': repaired' : ''}\n`;
}

function collectionText(
  { originals, rungs, bytes, stagedFiles, waiting }: Collection,
  dryRun: boolean,
): string {
  return lines({
    [dryRun ? 'would remove' : 'removed']:
      `${originals} originals with their rungs, ${rungs} rungs without one, ${stagedFiles} unfinished uploads`,
    bytes,
    waiting: `${waiting} originals that are without a name, but not for long enough`,
  });
}

function tellSummary({ write }: Surroundings, summary: BackupSummary, asJSON: boolean): void {
  if (asJSON) {
    write(json(summary));
    return;
  }
  for (const { digest, reason } of summary.missing) write(`missing: original ${digest}: ${plain(reason)}\n`);
  const { records, originals, bytes } = summary;
  const counts = Object.entries(records).map(([table, count]) => `${count} ${table.replaceAll('_', ' ')}`);
  write(lines({ records: counts.join(', '), originals, bytes }));
}

function check({ missing }: BackupSummary, words: string): void {
  if (missing.length > 0)
    throw new PartlyDone(`${words} ${missing.length} originals that were missing or damaged`);
}
