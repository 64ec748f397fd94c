import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SingleFlight } from '../../src/concurrency/single-flight.ts';
import { isAppError } from '../../src/errors.ts';

/** Work that the test ends. */
function controlledWork() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let starts = 0;
  let isCancelled = false;
  const start = (signal: AbortSignal) => {
    starts += 1;
    signal.addEventListener('abort', () => {
      isCancelled = true;
    });
    return promise;
  };
  return { start, resolve, reject, starts: () => starts, isCancelled: () => isCancelled };
}

const isCancellation = (error: unknown) => isAppError(error, 'cancelled');

describe('single flight', () => {
  test('runs the work once for 200 concurrent callers, and gives each the result', async () => {
    const flights = new SingleFlight<string>();
    const { start, resolve, starts } = controlledWork();
    const all = Array.from({ length: 200 }, () => flights.run('a', start));
    assert.equal(flights.has('a'), true);
    resolve('done');
    assert.deepEqual(new Set(await Promise.all(all)), new Set(['done']));
    assert.equal(starts(), 1);
    assert.equal(flights.has('a'), false);
  });

  test('runs the work of different keys separately, and runs it again for a later caller', async () => {
    const flights = new SingleFlight<string>();
    const first = await flights.run('a', async () => '1');
    const [second, other] = await Promise.all([
      flights.run('a', async () => '2'),
      flights.run('b', async () => '3'),
    ]);
    assert.deepEqual([first, second, other], ['1', '2', '3']);
  });

  test('continues the work for the others when one caller leaves', async () => {
    const flights = new SingleFlight<string>();
    const { start, resolve, isCancelled } = controlledWork();
    const controller = new AbortController();
    const leaving = flights.run('a', start, controller.signal);
    const staying = flights.run('a', start);
    controller.abort();
    await assert.rejects(leaving, isCancellation);
    assert.equal(isCancelled(), false);
    resolve('done');
    assert.equal(await staying, 'done');
  });

  test('cancels the work when all callers have left, and starts new work for the next caller', async () => {
    const flights = new SingleFlight<string>();
    const first = controlledWork();
    const controllers = [new AbortController(), new AbortController()];
    const waiting = controllers.map(({ signal }) => flights.run('a', first.start, signal));
    for (const controller of controllers) controller.abort();
    for (const caller of waiting) await assert.rejects(caller, isCancellation);
    assert.equal(first.isCancelled(), true);
    const second = controlledWork();
    const late = flights.run('a', second.start);
    second.resolve('again');
    assert.equal(await late, 'again');
    first.reject(new Error('stopped'));
  });

  test('gives a failure to all callers, and does not cache it', async () => {
    const flights = new SingleFlight<string>();
    const { start, reject } = controlledWork();
    const all = [flights.run('a', start), flights.run('a', start)];
    reject(new Error('broken'));
    for (const caller of all) await assert.rejects(caller, /broken/);
    assert.equal(await flights.run('a', async () => 'repaired'), 'repaired');
  });

  test('does not start for a caller whose signal has fired', async () => {
    const { start, starts } = controlledWork();
    await assert.rejects(new SingleFlight<string>().run('a', start, AbortSignal.abort()), isCancellation);
    assert.equal(starts(), 0);
  });
});
