/**
 * Measures the lookup of a public link that no cache knows, among a million images. The reference is a server
 * with 1 000 images. The answer is a 304, which needs the record and no pixel.
 */
import { check, interleave, type Measure } from '../bench.ts';
import { request, runClosedLoop } from '../http.ts';
import { startLibraries } from '../libraries.ts';
import { median, type Row } from '../numbers.ts';
import type { Vitrine } from '../vitrine.ts';

const REQUESTS = 100;

export const measureLookup: Measure = async (bench) => {
  const libraries = await startLibraries(bench, bench.quick ? 10_000 : 100_000);
  try {
    const rounds = bench.rounds + 1;
    const measure = async (name: 'large' | 'small') => {
      const server = libraries[name];
      const ids = await libraries.publicIDs(name, Math.min(1_000, REQUESTS * rounds));
      let next = 0;
      // Each link once in a server's life, or after its record has left the cache.
      const take = () => ids[next++ % ids.length] ?? '';
      return async () => {
        const { latencies } = await runClosedLoop(Array.from({ length: REQUESTS }, take), 1, (id) =>
          lookUp(server, id),
        );
        return median(latencies);
      };
    };
    const [large, small] = [await measure('large'), await measure('small')];
    const { ours, reference } = await interleave(bench.rounds, { ours: large, reference: small });
    const work = `lookup of a link, ${libraries.total} images, ${bench.database}`;
    const common = { reference: '1 k in all', unit: 'ms', compare: 'ratio' as const };
    return [{ ...common, work, ours, theirs: reference, target: { atMost: 1.3 } }] satisfies Row[];
  } finally {
    await libraries.stop();
  }
};

async function lookUp(server: Vitrine, publicID: string): Promise<void> {
  const { status } = await request('GET', `${server.url}/images/${publicID}`, { 'if-none-match': '*' });
  check(status === 304, `a lookup got ${status}`);
}
