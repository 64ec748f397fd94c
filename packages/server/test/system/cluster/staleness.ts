/**
 * Measures how long after its acknowledgement a replace is visible on every node. All nodes have the picture
 * in memory before.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { createClient } from '../../support/client.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { createNumberedPictures, readNumber } from './numbered-pictures.ts';

export interface Staleness {
  /** Milliseconds from the acknowledgement until a request got the new picture; the slowest node counts. */
  readonly samples: readonly number[];
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The images that are replaced in turn. */
const IMAGES = 10;
/** Milliseconds between two requests for one link. */
const PAUSE = 5;

/** @param replaces how many replaces to measure, through all nodes in turn */
export async function measureStaleness(replaces: number): Promise<Staleness> {
  const cluster = await startCluster();
  try {
    const samples = await measure(cluster, replaces);
    const sorted = samples.toSorted((one, other) => one - other);
    const at = (share: number) =>
      sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
    return { samples, p50: at(0.5), p99: at(0.99), max: at(1) };
  } finally {
    await cluster.stop();
  }
}

async function measure({ nodes }: Cluster, replaces: number): Promise<number[]> {
  const pictures = createNumberedPictures();
  const clients = nodes.map(({ url }) => createClient(url));
  const [first] = clients;
  if (first === undefined) throw new Error('there is no node');
  const images: { imageID: string; publicID: string; number: number }[] = [];
  for (let index = 0; index < IMAGES; index += 1) {
    // The picture has no rung, so that a render takes little of the time.
    const number = index * 4;
    images.push({ ...(await first.addImage(pictures.get(number).bytes)), number });
  }
  const samples: number[] = [];
  for (let turn = 0; turn < replaces; turn += 1) {
    const image = images[turn % IMAGES];
    const writer = clients[turn % clients.length];
    if (image === undefined || writer === undefined) throw new RangeError(`no turn ${turn}`);
    for (const { url } of nodes) await waitForPicture(url, image.publicID, image.number);
    image.number = (IMAGES + turn) * 4;
    const answer = await writer.upload(pictures.get(image.number).bytes, { replace: image.imageID });
    if (answer.status !== 200) throw new Error(`a replace was answered ${answer.status}`);
    await answer.arrayBuffer();
    const acknowledgedAt = performance.now();
    const visible = await Promise.all(
      nodes.map(({ url }) => waitForPicture(url, image.publicID, image.number)),
    );
    samples.push(Math.max(...visible.map((time) => time - acknowledgedAt)));
  }
  return samples;
}

/** @returns when the first request with the picture was sent */
async function waitForPicture(url: string, publicID: string, number: number): Promise<number> {
  for (;;) {
    const sentAt = performance.now();
    const answer = await fetch(new URL(`/images/${publicID}?size=100x100`, url));
    const body = Buffer.from(await answer.arrayBuffer());
    if (answer.status === 200 && (await readNumber(body)) === number) return sentAt;
    await pause(PAUSE);
  }
}
