/**
 * Measures cold renditions of originals of 12 to 24 megapixels.
 * The sizes vary by a few pixels around 400x400, so that each rendition is new.
 * Every resizer gets the same jobs, and one batch of jobs is one round.
 */
import sharp from 'sharp';
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { runClosedLoop } from '../http.ts';
import { median, type Row, type Skipped, type Target } from '../numbers.ts';
import { SOURCE_FORMATS, type SourceFormat } from '../originals.ts';
import { startImgproxy } from '../peers/imgproxy.ts';
import { startIpx } from '../peers/ipx.ts';
import { startLibvips } from '../peers/libvips.ts';
import { formatName, type Job, type Resizer, type StartResizer } from '../peers/resizer.ts';
import { startSharp } from '../peers/sharp.ts';
import { startVitrineResizer } from '../peers/vitrine.ts';

const PEERS: Readonly<Record<string, StartResizer>> = {
  imgproxy: startImgproxy,
  'Go + libvips': startLibvips,
  'one sharp call': startSharp,
  ipx: startIpx,
};

/**
 * The target factors of throughput over imgproxy (`server`) and over the bare call (`script`), by the format
 * of the original. docs/benchmarks.md has the same numbers.
 */
const TARGETS: Readonly<Record<SourceFormat, { readonly server: number; readonly script: number }>> = {
  jpeg: { server: 3, script: 2.5 },
  png: { server: 6, script: 5 },
  webp: { server: 6, script: 5 },
};

const OUTPUTS: readonly SourceFormat[] = ['jpeg', 'webp'];
const QUALITY = 80;
/** The number of distinct widths and of distinct heights. The renditions per original are its square. */
const SIDES = 24;

export const measureCold: Measure = async (bench) => {
  const rows: (Row | Skipped)[] = [];
  const resizers: Resizer[] = [];
  try {
    for (const [name, start] of Object.entries({ vitrine: startVitrineResizer, ...PEERS })) {
      const resizer = await start(bench.originalsFolder, bench.originals);
      if (typeof resizer === 'string')
        rows.push({ work: `cold rendition, against ${name}`, reason: resizer });
      else resizers.push(resizer);
    }
    const jobs = createJobMaker(bench);
    for (const source of SOURCE_FORMATS) {
      for (const output of OUTPUTS) {
        bench.log(`cold: ${source} to ${output}`);
        for (const resizer of resizers) await checkRendition(resizer, jobs(source, output, resizer.name, 1));
        rows.push(...(await measurePair(bench, resizers, jobs, source, output)));
      }
    }
  } finally {
    for (const resizer of resizers) await resizer.stop();
  }
  return rows;
};

type JobMaker = (source: SourceFormat, output: SourceFormat, resizer: string, count: number) => Job[];

async function measurePair(
  bench: Bench,
  resizers: readonly Resizer[],
  jobs: JobMaker,
  source: SourceFormat,
  output: SourceFormat,
): Promise<Row[]> {
  const batch = bench.quick ? 4 : 12;
  const latencies = new Map<string, number[]>();
  const rates = await interleave(
    bench.rounds,
    Object.fromEntries(
      resizers.map((resizer) => [
        resizer.name,
        async (round) => {
          const sequential = await runClosedLoop(
            jobs(source, output, resizer.name, batch / 2),
            1,
            resizer.render,
          );
          if (round >= 0)
            latencies.set(resizer.name, [
              ...(latencies.get(resizer.name) ?? []),
              median(sequential.latencies),
            ]);
          const { seconds } = await runClosedLoop(
            jobs(source, output, resizer.name, batch),
            2,
            resizer.render,
          );
          return batch / seconds;
        },
      ]),
    ),
  );
  const work = `cold 400x400, ${output.toUpperCase()} of a ${source.toUpperCase()}`;
  const isSubstitute = !resizers.some(({ name }) => name === 'imgproxy');
  return resizers.slice(1).flatMap((resizer): Row[] => {
    const { name } = resizer;
    const reference = formatName(resizer);
    const target = chooseTarget(source, name, isSubstitute);
    const throughput: Row = {
      work: `${work}, 2 at a time`,
      reference,
      unit: '/s',
      compare: 'ratio',
      ours: rates.vitrine ?? [],
      theirs: rates[name] ?? [],
      ...(target && { target }),
    };
    if (target === undefined) return [throughput];
    const latency: Row = {
      work: `${work}, 1 at a time`,
      reference,
      unit: 'ms',
      compare: 'ratio',
      ours: latencies.get('vitrine') ?? [],
      theirs: latencies.get(name) ?? [],
    };
    return [throughput, latency];
  });
}

/** Without imgproxy, the minimal resizer (`isSubstitute`) gets its target. */
function chooseTarget(source: SourceFormat, peer: string, isSubstitute: boolean): Target | undefined {
  if (peer === 'imgproxy' || (isSubstitute && peer === 'Go + libvips'))
    return { atLeast: TARGETS[source].server };
  if (peer === 'one sharp call') return { atLeast: TARGETS[source].script };
  return undefined;
}

/** Makes jobs. No resizer gets the same job twice. */
function createJobMaker({ originals }: Bench): JobMaker {
  const counts = new Map<string, number>();
  return (source, output, resizer, count) => {
    const files = originals.filter(({ format }) => format === source);
    return Array.from({ length: count }, () => {
      const key = `${source} ${output} ${resizer}`;
      const number = counts.get(key) ?? 0;
      counts.set(key, number + 1);
      const original = files[number % files.length];
      const size = Math.floor(number / files.length);
      check(original !== undefined && size < SIDES * SIDES, 'more jobs than distinct renditions');
      const side = (index: number) => 400 + (index % SIDES) - SIDES / 2;
      return {
        original,
        width: side(size + SIDES / 2),
        height: side(Math.floor(size / SIDES) + SIDES / 2),
        format: output,
        quality: QUALITY,
      };
    });
  };
}

async function checkRendition(resizer: Resizer, [job]: readonly Job[]): Promise<void> {
  check(job !== undefined, 'there is no job');
  const bytes = await resizer.render(job);
  const { info } = await sharp(bytes, { failOn: 'warning' }).raw().toBuffer({ resolveWithObject: true });
  const { format } = await sharp(bytes).metadata();
  check(
    format === job.format && info.width === job.width && info.height === job.height,
    `${resizer.name} made ${format} of ${info.width}x${info.height} instead of ${job.format} of ${job.width}x${job.height}`,
  );
}
