/**
 * The start of the server process until its first answer was read, with a data folder that has been used before.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { interleave, type Measure } from '../bench.ts';
import { startVitrine } from '../vitrine.ts';

export const measureStart: Measure = async (bench) => {
  bench.say('start');
  const used = join(bench.folder, 'used');
  await mkdir(used);
  const time = async (folder: string | undefined) => {
    const server = await startVitrine({ parent: bench.folder, ...(folder !== undefined && { folder }) });
    await server.stop();
    return server.startTime / 1_000;
  };
  const { again, first } = await interleave(bench.rounds * 2, {
    again: () => time(used),
    first: () => time(undefined),
  });
  const value = { reference: '', unit: 's', compare: 'value' as const, theirs: [] };
  return [
    { ...value, work: 'start of the process to its first answer', ours: again, target: { atMost: 0.7 } },
    { ...value, work: 'the first start ever, which makes the database', ours: first },
  ];
};
