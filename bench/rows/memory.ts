/**
 * Memory of the serving process, without its children, while 64 originals of just under 16 MiB arrive at once.
 */
import { check, type Measure } from '../bench.ts';
import { closedLoop } from '../http.ts';
import { enlarged, numbered } from '../originals.ts';
import { forgetPeak, memoryOf } from '../process.ts';
import { startVitrine } from '../vitrine.ts';

const UPLOADS = 64;
const MIB = 2 ** 20;

export const measureMemory: Measure = async (bench) => {
  if (process.platform !== 'linux') return [{ work: 'memory under uploads', why: 'needs /proc' }];
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const uploads = bench.quick ? 8 : UPLOADS;
  const large = await enlarged(original.bytes);
  const vitrine = await startVitrine({ parent: bench.folder });
  const idle: number[] = [];
  const peaks: number[] = [];
  const statuses = new Map<number, number>();
  try {
    // What is loaded only once it is needed is not what is measured.
    await vitrine.upload(numbered(large, 0));
    let count = 0;
    for (let round = 0; round < (bench.quick ? 1 : 3); round += 1) {
      bench.say(`memory: ${uploads} uploads of ${large.length} bytes at once`);
      await forgetPeak(vitrine.pid);
      // Of the first round: what later ones start from may be what an earlier one left.
      idle.push(idle[0] ?? (await memoryOf(vitrine.pid)).now);
      const files = Array.from({ length: uploads }, () => {
        count += 1;
        return numbered(large, count);
      });
      await closedLoop(files, uploads, async (file) => {
        const { status } = await vitrine.send(file);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      });
      peaks.push((await memoryOf(vitrine.pid)).peak);
    }
    for (const status of statuses.keys())
      check([201, 429, 503].includes(status), `an upload was answered ${status}`);
    const { status } = await vitrine.get('/livez');
    check(status === 200, `the server answers ${status} afterwards`);
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
