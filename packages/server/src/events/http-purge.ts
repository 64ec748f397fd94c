/**
 * Purges by HTTP: one request with the method PURGE for each image, as Varnish and similar caches take it.
 */
import { forEachConcurrently } from '../concurrency/for-each-concurrently.ts';
import type { PurgeTarget } from './purger.ts';

/** Milliseconds for one request. */
const DEADLINE = 5_000;
const CONCURRENCY = 10;

/** A status that means that the cache has no copy of the image. */
const NOT_CACHED = [404, 410];

/** The place of the public ID in the URL. */
export const PUBLIC_ID = '{publicID}';

/** @param url with `{publicID}` in its path or query. */
export function httpPurgeTarget(url: string): PurgeTarget {
  return {
    async purge(publicIDs, signal) {
      const failures = new Map<string, Error>();
      await forEachConcurrently(publicIDs, CONCURRENCY, async (publicID) => {
        const failure = await send(url.replaceAll(PUBLIC_ID, publicID), signal);
        if (failure) failures.set(publicID, failure);
      });
      return failures;
    },
  };
}

async function send(url: string, stop: AbortSignal): Promise<Error | undefined> {
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(DEADLINE)]);
    const response = await fetch(url, { method: 'PURGE', redirect: 'manual', signal });
    // The text of the answer says nothing more than its status.
    await response.body?.cancel();
    if (response.ok || NOT_CACHED.includes(response.status)) return undefined;
    return new Error(`the cache answers a purge with ${response.status}`);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
