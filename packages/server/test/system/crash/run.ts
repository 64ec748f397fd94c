/**
 * Runs many crash rounds by hand: `npm run crash -- --rounds 200 --seed 1 [--postgres]`.
 * Prints each lost, torn or invented write at the end, and exits with 1 if there is one.
 */
import { parseArgs } from 'node:util';
import { startPostgres } from '../../support/postgres.ts';
import { createPostgresLibrary } from './postgres-library.ts';
import { type RoundsReport, runCrashRounds } from './rounds.ts';

/** Rounds between two lines of progress. */
const PROGRESS_INTERVAL = 10;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      postgres: { type: 'boolean', default: false },
    },
  });
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
  if (!Number.isInteger(rounds) || rounds < 1) throw new RangeError('--rounds must be a whole number from 1');
  if (!Number.isInteger(seed)) throw new RangeError('--seed must be a whole number');

  const { postgres, skip } = values.postgres ? await startPostgres() : { postgres: undefined, skip: false };
  if (typeof skip === 'string') throw new Error(skip);
  try {
    const report = await runCrashRounds({
      rounds,
      seed,
      ...(postgres && { postgres: await createPostgresLibrary(postgres) }),
      onRound: (round, current) => {
        if (round % PROGRESS_INTERVAL === 0) process.stdout.write(`${formatRounds(current)}\n`);
      },
    });
    process.stdout.write(`${formatRounds(report)}\n${formatLibrary(report)}\n`);
    for (const problem of report.problems) process.stdout.write(`PROBLEM: ${problem}\n`);
    if (report.problems.length > 0) process.exitCode = 1;
  } finally {
    await postgres?.stop();
  }
}

function formatRounds({
  rounds,
  kills,
  acknowledged,
  unconfirmed,
  images,
  longestStart,
  problems,
}: RoundsReport): string {
  const { writing, starting, stopping } = kills;
  return [
    `${rounds} rounds`,
    `${writing + starting + stopping} kills (${writing} while writing, ${starting} while starting, ${stopping} while stopping)`,
    `${acknowledged} writes acknowledged, ${unconfirmed} cut off`,
    `${images} images`,
    `longest start ${Math.round(longestStart.wall)} ms, with ${Math.round(longestStart.cpu)} ms of CPU time`,
    `${problems.length} problems`,
  ].join('; ');
}

function formatLibrary({ blobs, operatorChecks }: RoundsReport): string {
  return [
    `${blobs.originals} originals hashed, ${blobs.unreferenced} of them unreferenced; ${blobs.staged} unfinished uploads`,
    `vitrine verify repaired ${operatorChecks.repaired} rungs and renditions`,
    `vitrine gc removed ${operatorChecks.collected} originals`,
  ].join('\n');
}

await main();
