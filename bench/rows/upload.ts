/**
 * Measures the upload of a JPEG of 24 megapixels and 5 MB until its 201, against the bare work in a script.
 * It also measures the default rendition directly after the upload.
 */
import sharp from 'sharp';
import { check, interleave, type Measure } from '../bench.ts';
import { request } from '../http.ts';
import { median } from '../numbers.ts';
import { makeVariant } from '../originals.ts';
import { startScript } from '../peers/script.ts';
import { startVitrine } from '../vitrine.ts';

export const measureUpload: Measure = async (bench) => {
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const vitrine = await startVitrine({ parent: bench.folder });
  const script = startScript('ingest-script.ts');
  const firstRequests: number[] = [];
  const secondRequests: number[] = [];
  try {
    bench.log(`upload: ${original.width}x${original.height}, ${original.bytes.length} bytes`);
    let count = 0;
    const { ours, theirs } = await interleave(bench.rounds * 2, {
      ours: async (round) => {
        count += 1;
        const file = makeVariant(original.bytes, count);
        const start = performance.now();
        const { link } = await vitrine.upload(file);
        const uploadEnd = performance.now();
        const { status, body } = await request('GET', link);
        const firstEnd = performance.now();
        await request('GET', link);
        if (round >= 0) {
          firstRequests.push(firstEnd - uploadEnd);
          secondRequests.push(performance.now() - firstEnd);
        }
        const { width, height } = await sharp(body).metadata();
        check(
          status === 200 && width === 400 && height === 400,
          `the first rendition has status ${status} and size ${width}x${height}`,
        );
        return uploadEnd - start;
      },
      theirs: async () => {
        const file = Buffer.concat(makeVariant(original.bytes, count));
        const { milliseconds } = (await script.ask({ file })) as { milliseconds: number };
        return milliseconds;
      },
    });
    // An upload that renders later does less work than the reference, so the target does not apply to it.
    const ready = median(firstRequests) < 3 * median(secondRequests) + 5;
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
              note: 'the default rendition was not ready at the 201: less work than the reference, so no target',
            }),
      },
      {
        work: 'the default rendition right after the 201',
        reference: '',
        unit: 'ms',
        compare: 'value',
        ours: firstRequests,
        theirs: [],
      },
    ];
  } finally {
    await script.stop();
    await vitrine.stop();
  }
};
