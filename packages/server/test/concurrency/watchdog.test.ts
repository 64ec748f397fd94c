import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AnswerTimeoutError, watchPace, withDeadline } from '../../src/concurrency/watchdog.ts';
import { isAppError } from '../../src/errors.ts';

const never = () => new Promise<never>(() => {});

/** Holds the process, as other work on it does. */
function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

it('returns the result or the error of the work', async () => {
  assert.equal(await withDeadline(async () => 1, 10_000), 1);
  await assert.rejects(
    withDeadline(() => Promise.reject(new Error('of the work')), 10_000),
    /of the work/,
  );
});

it('ends at the deadline, also if the work ignores its signal, and disposes of a late result', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const late: string[] = [];
  let signal: AbortSignal | undefined;
  const work = withDeadline(
    (given) => {
      signal = given;
      return promise;
    },
    10,
    { onLate: (result) => void late.push(result) },
  );
  await assert.rejects(work, AnswerTimeoutError);
  assert.equal(signal?.aborted, true);
  resolve('late');
  await promise;
  assert.deepEqual(late, ['late']);
});

it('is cancelled by the signal of the caller, before or during the work', async () => {
  const cancelled = (error: unknown) => isAppError(error, 'cancelled');
  const unused = () => assert.fail('the work must not start');
  await assert.rejects(withDeadline(unused, 10_000, { signal: AbortSignal.abort() }), cancelled);
  const controller = new AbortController();
  const work = withDeadline(never, 10_000, { signal: controller.signal });
  controller.abort();
  await assert.rejects(work, cancelled);
});

it('does not take a busy process for a slow store', async () => {
  const work = withDeadline(async () => {
    await delay(50);
    return 'in time';
  }, 100);
  // Both timers are due afterwards, and the deadline is noticed late.
  block(400);
  assert.equal(await work, 'in time');
});

it('notices a transfer that is too slow, once, and only while it is not paused', async () => {
  const errors: AnswerTimeoutError[] = [];
  const { promise: slow, resolve } = Promise.withResolvers<void>();
  const watch = watchPace(
    { window: 20, bytes: 10 },
    () => 5,
    (error) => {
      errors.push(error);
      resolve();
    },
  );
  const control = watchPace(
    { window: 20, bytes: 10 },
    () => 5,
    () => assert.fail('it is paused'),
  );
  control.resume();
  control.pause();
  watch.resume();
  watch.resume();
  await slow;
  await delay(60);
  assert.equal(errors.length, 1);
  assert.equal(errors[0]?.isStall, true);
});

it('accepts a transfer of the right pace for any time', async () => {
  let bytes = 0;
  const target = new EventTarget();
  const watch = watchPace(
    { window: 20, bytes: 10 },
    () => {
      bytes += 10;
      if (bytes >= 100) target.dispatchEvent(new Event('enough'));
      return bytes;
    },
    () => assert.fail('it is fast enough'),
  );
  watch.resume();
  await once(target, 'enough');
  watch.stop();
});
