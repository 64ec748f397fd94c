/**
 * Measures the memory of the serving process, without its workers, during 64 uploads of 16 MiB at once.
 */
import { check, type Measure } from '../bench.ts';
import { runClosedLoop } from '../http.ts';
import { enlarge, makeVariant } from '../originals.ts';
import { readMemory, resetPeakMemory } from '../process.ts';
import { startVitrine } from '../vitrine.ts';

const UPLOADS = 64;
const MIB = 2 ** 20;

export const measureMemory: Measure = async (bench) => {
  if (process.platform !== 'linux') return [{ work: 'memory under uploads', reason: 'needs /proc' }];
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const uploads = bench.quick ? 8 : UPLOADS;
  const large = await enlarge(original.bytes);
  const vitrine = await startVitrine({ parent: bench.folder });
  const idle: number[] = [];
  const peaks: number[] = [];
  const statuses = new Map<number, number>();
  try {
    // The first upload loads modules lazily. Their memory must not count.
    await vitrine.upload(makeVariant(large, 0));
    let count = 0;
    for (let round = 0; round < (bench.quick ? 1 : 3); round += 1) {
      bench.log(`memory: ${uploads} uploads of ${large.length} bytes at once`);
      await resetPeakMemory(vitrine.pid);
      // Always the idle memory before the first round: earlier rounds may leave memory behind.
      idle.push(idle[0] ?? (await readMemory(vitrine.pid)).now);
      const files = Array.from({ length: uploads }, () => {
        count += 1;
        return makeVariant(large, count);
      });
      await runClosedLoop(files, uploads, async (file) => {
        const { status } = await vitrine.send(file);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      });
      peaks.push((await readMemory(vitrine.pid)).peak);
    }
    for (const status of statuses.keys()) check([201, 429, 503].includes(status), `an upload got ${status}`);
    const { status } = await vitrine.get('/livez');
    check(status === 200, `the server answers ${status} after the uploads`);
  } finally {
    await vitrine.stop();
  }
  return [
    {
      work: `memory under ${uploads} uploads of 16 MiB at once`,
      reference: 'idle',
      unit: 'MiB',
      compare: 'difference',
      ours: peaks.map((bytes) => bytes / MIB),
      theirs: idle.map((bytes) => bytes / MIB),
      target: { atMost: 150 },
      note: `answers: ${[...statuses].map(([status, number]) => `${number} of ${status}`).join(', ')}`,
    },
  ];
};
