/** Waits for conditions, without a fixed pause that depends on the speed of the machine. */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';

/** Milliseconds until `waitFor` fails: many times longer than a slow machine takes. */
const TIMEOUT = 60_000;

/** Resolves when the condition is true. Never fails: the timeout of the test applies. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/**
 * Resolves when `read` returns an expected value.
 * @param what names the condition in the error
 * @throws Error with the last value after one minute
 */
export async function waitFor<T>(
  what: string,
  read: () => T | Promise<T>,
  isExpected: (value: T) => boolean = Boolean,
): Promise<void> {
  const deadline = performance.now() + TIMEOUT;
  for (;;) {
    const value = await read();
    if (isExpected(value)) return;
    if (performance.now() >= deadline) throw new Error(`${what}: ${JSON.stringify(value)}`);
    await pause(50);
  }
}
