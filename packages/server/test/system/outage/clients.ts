/** Clients that use a server while a dependency is in trouble, and what they saw. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { ACCOUNT, type TestClient, uploadForm } from '../../support/client.ts';
import { picture } from '../../support/sample.ts';

export interface Sighting {
  readonly request: string;
  readonly status: number;
  readonly retryAfter: number;
  readonly milliseconds: number;
}

/**
 * The longest wait for a refusal, in milliseconds. The promise is two seconds. A busy test machine adds its
 * own delay, so the tests print the longest wait that they saw.
 */
export const LONGEST_WAIT = 4_000;

const IMAGES = `/accounts/${ACCOUNT}/images`;
/** The pause of a client between two requests, in milliseconds. */
const PAUSE = 50;

/** Sends a request and measures it until its last byte. */
export async function see(request: string, send: () => Promise<Response>): Promise<Sighting> {
  const startedAt = performance.now();
  const response = await send();
  await response.arrayBuffer();
  return {
    request,
    status: response.status,
    retryAfter: Number(response.headers.get('retry-after') ?? 0),
    milliseconds: Math.round(performance.now() - startedAt),
  };
}

/** One request of each kind that needs the database. `writes` needs a database that can be written. */
export function databaseRequests(server: TestClient, imageID: string, newPicture: () => Promise<Buffer>) {
  const json = (method: string, path: string, body: unknown) =>
    server.fetch(path, {
      method,
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
  const reads: Record<string, () => Promise<Response>> = {
    list: () => server.fetch(IMAGES),
    search: () => server.fetch(`${IMAGES}?search=harbour`),
    'image by ID': () => server.fetch(`${IMAGES}/${imageID}`),
    usage: () => server.fetch(`${IMAGES}/${imageID}/usage`),
    original: () => server.fetch(`${IMAGES}/${imageID}/original`),
    me: () => server.fetch('/me'),
  };
  const writes: Record<string, () => Promise<Response>> = {
    upload: async () => server.fetch(IMAGES, { method: 'POST', body: uploadForm(await newPicture()) }),
    replace: async () =>
      server.fetch(`${IMAGES}/${imageID}`, { method: 'PUT', body: uploadForm(await newPicture()) }),
    product: () =>
      json('POST', `/accounts/${ACCOUNT}/products`, {
        title: 'A print',
        basePrice: { currency: 'EUR', valueDecimal: '12.5' },
        isTaxable: true,
        imageIDs: [imageID],
        optionGroups: [],
      }),
    token: () =>
      server.fetch('/oauth2/token', {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      }),
  };
  return { reads, writes };
}

export interface Clients {
  /** What the clients saw since they started. */
  readonly sightings: readonly Sighting[];
  /** The IDs of images whose upload was acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  stop(): Promise<void>;
}

let pictures = 1_000;
/** Bytes that no image has. */
export function newPicture(): Promise<Buffer> {
  pictures += 1;
  return picture(pictures);
}

/** Starts clients that list and upload, one request after the other. */
export function startClients(server: TestClient, count: number): Clients {
  const sightings: Sighting[] = [];
  const acknowledged = new Set<string>();
  let isDone = false;
  const client = async (_: unknown, index: number) => {
    while (!isDone) {
      if (index % 2 === 0) sightings.push(await see('list', () => server.fetch(IMAGES)));
      else {
        const form = uploadForm(await newPicture());
        const seen = await see('accepted upload', async () => {
          const response = await server.fetch(IMAGES, { method: 'POST', body: form });
          if (response.status === 201) {
            acknowledged.add(((await response.clone().json()) as { imageID: string }).imageID);
          }
          return response;
        });
        sightings.push(seen);
      }
      await pause(PAUSE);
    }
  };
  const running = Array.from({ length: count }, client);
  return {
    sightings,
    acknowledged,
    async stop() {
      isDone = true;
      await Promise.all(running);
    },
  };
}

/** Asserts that each answer is one of these statuses in time, and each 503 says when to retry. */
export function assertHonest(sightings: readonly Sighting[], statuses: readonly number[]): void {
  for (const seen of sightings) {
    const text = JSON.stringify(seen);
    assert.ok(statuses.includes(seen.status), text);
    if (seen.status === 503) assert.ok(seen.retryAfter >= 1, text);
    // The decoding of an accepted upload takes as long as a busy machine needs.
    if (seen.request !== 'accepted upload') assert.ok(seen.milliseconds < LONGEST_WAIT, text);
  }
}

/** The longest wait in milliseconds, in all or for answers with a status. */
export function longest(sightings: readonly Sighting[], status?: number): number {
  const selected = sightings.filter(
    (seen) => seen.request !== 'accepted upload' && (status === undefined || seen.status === status),
  );
  return Math.max(0, ...selected.map(({ milliseconds }) => milliseconds));
}
