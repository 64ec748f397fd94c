/**
 * Measures the start of the server until its first response, with a used data folder and with a new one.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { interleave, type Measure } from '../bench.ts';
import { startVitrine } from '../vitrine.ts';

export const measureStart: Measure = async (bench) => {
  bench.log('start');
  const usedFolder = join(bench.folder, 'used');
  await mkdir(usedFolder);
  const measure = async (folder: string | undefined) => {
    const server = await startVitrine({ parent: bench.folder, ...(folder !== undefined && { folder }) });
    await server.stop();
    return server.startTime / 1_000;
  };
  const { again, first } = await interleave(bench.rounds * 2, {
    again: () => measure(usedFolder),
    first: () => measure(undefined),
  });
  const value = { reference: '', unit: 's', compare: 'value' as const, theirs: [] };
  return [
    { ...value, work: 'start of the process to its first answer', ours: again, target: { atMost: 0.7 } },
    { ...value, work: 'the first start ever, which makes the database', ours: first },
  ];
};
