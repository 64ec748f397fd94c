/**
 * Finds wrong answers to hostile pictures. Each upload must get the expected answer, an accepted picture must
 * be delivered without its hidden content, and the server must stay healthy.
 */
import assert from 'node:assert/strict';
import type { Answer, HostileServer } from './server-process.ts';
import { MARKERS, type Specimen } from './specimen.ts';

/** Requests for every accepted picture: the default, the full size, one pixel, and every encoder. */
const DELIVERIES = [
  '?size=400x400',
  '?size=0x0&format=png',
  '?size=0x0&format=webp&quality=100',
  '?size=1x1',
  '?size=33x0&format=avif',
] as const;

/** Requests for pictures with an extreme size. */
export const DELIVERIES_OF_ALL_SIZES = [
  ...DELIVERIES,
  '?size=2048x2048&format=jpeg',
  '?size=50x700&position=entropy',
] as const;

/** Uploads at the same time: one for each worker, or one alone if the pictures are large. */
export const TWO_AT_ONCE = 2;
export const ONE_AT_ONCE = 1;

/** MiB that the serving process may hold. */
const SERVER_MIB = 400;
/** MiB that one worker may hold: its limit in the pool. */
const WORKER_MIB = 1_024;

/** Uploads all specimens, `atOnce` at the same time, and describes every wrong answer. */
export async function findFaults(
  server: HostileServer,
  specimens: readonly Specimen[],
  atOnce: number,
  deliveries: readonly string[] = DELIVERIES,
): Promise<string[]> {
  const faults: string[] = [];
  const remaining = [...specimens];
  const work = async () => {
    for (let specimen = remaining.shift(); specimen !== undefined; specimen = remaining.shift()) {
      const { name } = specimen;
      for (const fault of await findFaultsOfOne(server, specimen, deliveries))
        faults.push(`${name}: ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return faults;
}

async function findFaultsOfOne(
  server: HostileServer,
  { make, expected }: Specimen,
  deliveries: readonly string[],
): Promise<string[]> {
  const answer = await server.upload(await make());
  if (answer.status === 201) {
    if (expected instanceof RegExp) return ['was accepted'];
    return findDeliveryFaults(server, publicID(answer), deliveries);
  }
  const text = answer.body.toString();
  if (answer.status !== 422 || expected === 'accepted') return [`was answered with ${answer.status} ${text}`];
  const { image } = JSON.parse(text) as { image?: string };
  if (expected instanceof RegExp && !expected.test(image ?? ''))
    return [`was refused for another reason: ${text}`];
  return [];
}

async function findDeliveryFaults(
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
      faults.push(`${query} has the type ${headers['content-type']}`);
    if (headers['x-content-type-options'] !== 'nosniff') faults.push(`${query} has no nosniff header`);
    if (status === 200 && headers['content-security-policy'] !== "default-src 'none'; sandbox")
      faults.push(`${query} has no policy against scripts`);
    const name = `${id}.${String(headers['content-type']).slice('image/'.length)}`;
    if (status === 200 && headers['content-disposition'] !== `inline; filename="${name}"`)
      faults.push(`${query} has the file name ${headers['content-disposition']}`);
    for (const marker of MARKERS)
      if (body.includes(marker, 0, 'latin1')) faults.push(`${query} contains ${marker}`);
  }
  return faults;
}

function publicID({ body }: Answer): string {
  return (JSON.parse(body.toString()) as { publicID: string }).publicID;
}

/** Fails unless the server is alive, ready and within its memory, and has logged no failure. */
export async function assertHealthy(server: HostileServer): Promise<string> {
  assert.equal(server.exitStatus(), undefined);
  assert.equal((await server.request('GET', '/livez')).status, 200);
  assert.equal((await server.request('GET', '/readyz')).status, 200);
  const { server: serverPeak, worker: workerPeak } = server.peaks();
  assert.ok(serverPeak < SERVER_MIB, `the serving process held ${serverPeak} MiB`);
  assert.ok(workerPeak < WORKER_MIB, `a worker held ${workerPeak} MiB`);
  // No worker crashed, no worker was killed, and no request failed in the server.
  assert.deepEqual(
    server.warnings.filter(({ level, outcome }) => level !== 'warn' || outcome !== undefined),
    [],
  );
  return `memory at most: serving process ${serverPeak} MiB, worker ${workerPeak} MiB`;
}
