/**
 * An upload of a 24 megapixel JPEG of 5 MB until its 201, against the bare work in a script; and how long the default
 * rendition takes right after.
 */
import sharp from 'sharp';
import { check, interleave, type Measure } from '../bench.ts';
import { request } from '../http.ts';
import { median } from '../numbers.ts';
import { numbered } from '../originals.ts';
import { startScript } from '../peers/script.ts';
import { startVitrine } from '../vitrine.ts';

export const measureUpload: Measure = async (bench) => {
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const vitrine = await startVitrine({ parent: bench.folder });
  const script = startScript('ingest-script.ts');
  const firsts: number[] = [];
  const seconds: number[] = [];
  try {
    bench.say(`upload: ${original.width}x${original.height}, ${original.bytes.length} bytes`);
    let count = 0;
    const { ours, theirs } = await interleave(bench.rounds * 2, {
      ours: async (round) => {
        count += 1;
        const file = numbered(original.bytes, count);
        const begun = performance.now();
        const { link } = await vitrine.upload(file);
        const uploaded = performance.now();
        const { status, body } = await request('GET', link);
        const first = performance.now() - uploaded;
        const again = performance.now();
        await request('GET', link);
        if (round >= 0) {
          firsts.push(first);
          seconds.push(performance.now() - again);
        }
        const { width, height } = await sharp(body).metadata();
        check(status === 200 && width === 400 && height === 400, `the first rendition: ${status}`);
        return uploaded - begun;
      },
      theirs: async () => {
        const file = Buffer.concat(numbered(original.bytes, count));
        const { milliseconds } = (await script.ask({ file })) as { milliseconds: number };
        return milliseconds;
      },
    });
    // An upload that leaves the renditions for later has done less than its reference, and meets no target.
    const ready = median(firsts) < 3 * median(seconds) + 5;
    const megabytes = (original.bytes.length / 1e6).toFixed(1);
    return [
      {
        work: `upload of a ${megabytes} MB, 24 MP JPEG until its 201`,
        reference: 'the bare work',
        unit: 'ms',
        compare: 'ratio',
        ours,
        theirs,
        ...(ready
          ? { target: { atMost: 1.25 } }
          : {
              note: 'the default rendition was not ready at the 201: less work than the reference, so no verdict',
            }),
      },
      {
        work: 'the default rendition right after the 201',
        reference: '',
        unit: 'ms',
        compare: 'value',
        ours: firsts,
        theirs: [],
      },
    ];
  } finally {
    await script.stop();
    await vitrine.stop();
  }
};
