/**
 * Many crash rounds by hand: `npm run crash -- --rounds 200 --seed 1 [--postgres]`. Prints what happened and, at the
 * end, every difference that was found; exits with 1 if there is one.
 */
import { parseArgs } from 'node:util';
import { startPostgres } from '../../support/postgres.ts';
import { postgresLibrary } from './postgres-library.ts';
import { crashRounds, type RoundsReport } from './rounds.ts';

const EVERY = 10;

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
    const report = await crashRounds({
      rounds,
      seed,
      ...(postgres && { postgres: await postgresLibrary(postgres) }),
      onRound: (round, soFar) => {
        if (round % EVERY === 0) process.stdout.write(`${line(soFar)}\n`);
      },
    });
    const { staged, unnamed, originals } = report.leftovers;
    const { derived, collected } = report.kept;
    process.stdout.write(
      `${line(report)}\n${originals} originals re-hashed, ${unnamed} of them named by no record, ${staged} files cut off on their way in\n` +
        `vitrine verify made ${derived} rungs and renditions anew, vitrine gc collected ${collected} originals\n`,
    );
    for (const complaint of report.complaints) process.stdout.write(`NOT AS IT MUST BE: ${complaint}\n`);
    if (report.complaints.length > 0) process.exitCode = 1;
  } finally {
    await postgres?.stop();
  }
}

function line({
  rounds,
  kills,
  acknowledged,
  unanswered,
  images,
  longestStart,
  complaints,
}: RoundsReport): string {
  const { writing, starting, stopping } = kills;
  return [
    `${rounds} rounds`,
    `${writing + starting + stopping} kills (${writing} writing, ${starting} starting, ${stopping} stopping)`,
    `${acknowledged} writes acknowledged, ${unanswered} cut off`,
    `${images} images`,
    `longest start ${Math.round(longestStart.wall)} ms (${Math.round(longestStart.cpu)} ms of it computing)`,
    `${complaints.length} differences`,
  ].join('; ');
}

await main();
