/**
 * Owns what is judged of hostile pictures: that each gets the answer it deserves, that what is accepted can be delivered
 * and nothing that was hidden in it comes out, and that the server is none the worse for it. Refuses to know the pictures.
 */
import assert from 'node:assert/strict';
import type { Answer, HostileServer } from './process.ts';
import { MARKERS, type Specimen } from './specimen.ts';

/** What is asked of every picture that was accepted: by itself, as it is, cropped to nothing, and by every encoder. */
const DELIVERIES = [
  '?size=400x400',
  '?size=0x0&format=png',
  '?size=0x0&format=webp&quality=100',
  '?size=1x1',
  '?size=33x0&format=avif',
] as const;

/** And of those whose size is what is wrong with them. */
export const OF_ANY_SIZE = [
  ...DELIVERIES,
  '?size=2048x2048&format=jpeg',
  '?size=50x700&position=entropy',
] as const;

/** As many at once as there are workers; what is large goes alone, as it would wait for each other. */
export const TOGETHER = 2;
export const ALONE = 1;

/** MiB that the serving process may hold, and those that one of its workers may: its limit in the pool. */
const SERVER_MIB = 400;
const WORKER_MIB = 1_024;

/** Sends all of them, so many at once, and says of each what is wrong with what came back. */
export async function faultsOf(
  server: HostileServer,
  specimens: readonly Specimen[],
  atOnce: number,
  deliveries: readonly string[] = DELIVERIES,
): Promise<string[]> {
  const faults: string[] = [];
  const left = [...specimens];
  const work = async () => {
    for (let specimen = left.shift(); specimen !== undefined; specimen = left.shift()) {
      const { name } = specimen;
      for (const fault of await faultsOfOne(server, specimen, deliveries)) faults.push(`${name}: ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return faults;
}

async function faultsOfOne(
  server: HostileServer,
  { make, expected }: Specimen,
  deliveries: readonly string[],
): Promise<string[]> {
  const answer = await server.upload(await make());
  if (answer.status === 201) {
    if (expected instanceof RegExp) return ['was accepted'];
    return faultsOfDeliveries(server, publicID(answer), deliveries);
  }
  const told = answer.body.toString();
  if (answer.status !== 422 || expected === 'accepted') return [`was answered with ${answer.status} ${told}`];
  const { image } = JSON.parse(told) as { image?: string };
  if (expected instanceof RegExp && !expected.test(image ?? ''))
    return [`was refused for another reason: ${told}`];
  return [];
}

async function faultsOfDeliveries(
  server: HostileServer,
  id: string,
  deliveries: readonly string[],
): Promise<string[]> {
  const faults: string[] = [];
  for (const query of deliveries) {
    const answer = await server.request('GET', `/images/${id}${query}`);
    const { headers, body, status } = answer;
    if (status !== 200) faults.push(`${query} was answered with ${status} ${body.toString('utf8', 0, 200)}`);
    else if (!/^image\/(jpeg|png|webp|avif)$/.test(String(headers['content-type'])))
      faults.push(`${query} is of type ${headers['content-type']}`);
    if (headers['x-content-type-options'] !== 'nosniff') faults.push(`${query} may be sniffed`);
    if (status === 200 && headers['content-security-policy'] !== "default-src 'none'; sandbox")
      faults.push(`${query} may run scripts`);
    const name = `${id}.${String(headers['content-type']).slice('image/'.length)}`;
    if (status === 200 && headers['content-disposition'] !== `inline; filename="${name}"`)
      faults.push(`${query} is saved as ${headers['content-disposition']}`);
    for (const marker of MARKERS)
      if (body.includes(marker, 0, 'latin1')) faults.push(`${query} has ${marker}`);
  }
  return faults;
}

function publicID({ body }: Answer): string {
  return (JSON.parse(body.toString()) as { publicID: string }).publicID;
}

/** Fails unless the server is as it was: alive, ready, within its memory, and without a word of complaint. */
export async function assertUnharmed(server: HostileServer): Promise<string> {
  assert.equal(server.exitStatus(), undefined);
  assert.equal((await server.request('GET', '/livez')).status, 200);
  assert.equal((await server.request('GET', '/readyz')).status, 200);
  const { server: held, worker } = server.peaks();
  assert.ok(held < SERVER_MIB, `the serving process held ${held} MiB`);
  assert.ok(worker < WORKER_MIB, `a worker held ${worker} MiB`);
  // No worker crashed, none had to be killed, and nothing was the server's own mistake.
  assert.deepEqual(
    server.warnings.filter(({ level, outcome }) => level !== 'warn' || outcome !== undefined),
    [],
  );
  return `the serving process held ${held} MiB at most, a worker ${worker} MiB`;
}
