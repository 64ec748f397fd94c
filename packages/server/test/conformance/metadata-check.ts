/**
 * The test of the readiness check against a database that hangs. Each backend has its own way to make it
 * hang.
 */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetadataStore } from '../../src/database/store.ts';
import { Readiness } from '../../src/telemetry/readiness.ts';

/**
 * Asserts that a hanging check is cancelled, and that the next check starts only after it has ended.
 * @param hang makes checks hang, and returns a function that lets them end.
 */
export async function assertOneCheckWhileHanging(
  store: MetadataStore,
  hang: () => Promise<() => Promise<void>>,
): Promise<void> {
  let checks = 0;
  let now = 0;
  let lastEnd = Promise.resolve();
  const check = (signal: AbortSignal) => {
    checks += 1;
    const checking = store.check(signal);
    lastEnd = checking.catch(() => undefined);
    return checking;
  };
  const readiness = new Readiness({ checks: { database: check }, deadlineMs: 1, now: () => now });
  const release = await hang();
  for (; now < 300_000; now += 60_000) assert.equal((await readiness.report()).status, 'failed');
  assert.equal(checks, 1);
  await release();
  await lastEnd;
  await nextTurn();
  await readiness.report();
  assert.equal(checks, 2);
  await lastEnd;
}
