/** What a probe asks of a store whose database hangs, in whichever way each of them can be made to. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { MetadataStore } from '../../src/database/store.ts';
import { Readiness } from '../../src/telemetry/readiness.ts';

/**
 * A check that hangs is told to stop, and not begun again before nothing is left of it.
 * @param hold makes checks hang until what it returns is called.
 */
export async function assertCheckedOnceWhileItHangs(
  store: MetadataStore,
  hold: () => Promise<() => Promise<void>>,
): Promise<void> {
  let begun = 0;
  let now = 0;
  let ended = Promise.resolve();
  const check = (signal: AbortSignal) => {
    begun += 1;
    const checking = store.check(signal);
    ended = checking.catch(() => undefined);
    return checking;
  };
  const readiness = new Readiness({ checks: { database: check }, deadlineMs: 1, now: () => now });
  const release = await hold();
  for (; now < 300_000; now += 60_000) assert.equal((await readiness.report()).status, 'failed');
  assert.equal(begun, 1);
  await release();
  await ended;
  await turn();
  await readiness.report();
  assert.equal(begun, 2);
  await ended;
}
