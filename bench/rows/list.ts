/**
 * Measures a page of 200 images from an account with 100 000 of a million images. The reference is the same
 * page from a server with 1 000 images.
 */
import { check, interleave, type Measure } from '../bench.ts';
import { runClosedLoop } from '../http.ts';
import { startLibraries } from '../libraries.ts';
import { median, type Row } from '../numbers.ts';
import { ACCOUNT, type Vitrine } from '../vitrine.ts';

const PAGE = 200;
const REQUESTS = 60;

export const measureList: Measure = async (bench) => {
  const imageCount = bench.quick ? 10_000 : 100_000;
  const deepSkip = imageCount / 2;
  const { large, small, stop, total } = await startLibraries(bench, imageCount);
  try {
    const measure = (server: Vitrine, skip: number, total: number) => async () => {
      const { latencies } = await runClosedLoop(Array(REQUESTS).fill(skip), 1, () =>
        readPage(server, skip, total),
      );
      return median(latencies);
    };
    const { first, deep, reference } = await interleave(bench.rounds, {
      first: measure(large, 0, imageCount),
      deep: measure(large, deepSkip, imageCount),
      reference: measure(small, 0, 1_000),
    });
    const size = `${imageCount / 1_000} k images among ${total}, ${bench.database}`;
    const common = { reference: '1 k in all', unit: 'ms', compare: 'ratio' as const, theirs: reference };
    return [
      { ...common, work: `list, first page of ${PAGE}, ${size}`, ours: first, target: { atMost: 1.3 } },
      { ...common, work: `list, at skip ${deepSkip}, ${size}`, ours: deep, target: { atMost: 5 } },
    ] satisfies Row[];
  } finally {
    await stop();
  }
};

async function readPage(server: Vitrine, skip: number, total: number): Promise<void> {
  const { status, headers, body } = await server.get(
    `/accounts/${ACCOUNT}/images?count=${PAGE}${skip === 0 ? '' : `&skip=${skip}`}`,
  );
  const list: unknown = JSON.parse(body.toString('utf8'));
  check(status === 200 && Array.isArray(list) && list.length === PAGE, `a list request got ${status}`);
  // The newest image comes first and the copies are numbered, so the position determines the image.
  const [entry] = list as { altText?: string }[];
  check(entry?.altText === `Picture ${total - skip} of the catalogue`, `at ${skip} is ${entry?.altText}`);
  check(headers['x-total-count'] === String(total), `X-Total-Count is ${headers['x-total-count']}`);
}
