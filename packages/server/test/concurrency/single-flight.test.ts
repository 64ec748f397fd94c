import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Flights } from '../../src/concurrency/single-flight.ts';
import { isAppError } from '../../src/errors.ts';

/** Work that ends when it is told to. */
function work() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let started = 0;
  let stopped = false;
  const start = (signal: AbortSignal) => {
    started += 1;
    signal.addEventListener('abort', () => {
      stopped = true;
    });
    return promise;
  };
  return { start, resolve, reject, started: () => started, stopped: () => stopped };
}

const cancelled = (error: unknown) => isAppError(error, 'cancelled');

describe('single flight', () => {
  test('does once what many want at once, and gives it to all', async () => {
    const flights = new Flights<string>();
    const { start, resolve, started } = work();
    const all = Array.from({ length: 200 }, () => flights.run('a', start));
    resolve('done');
    assert.deepEqual(new Set(await Promise.all(all)), new Set(['done']));
    assert.equal(started(), 1);
    assert.equal(flights.size, 0);
  });

  test('does different things apart, and the same again when it is wanted later', async () => {
    const flights = new Flights<string>();
    const one = await flights.run('a', async () => '1');
    const [two, other] = await Promise.all([
      flights.run('a', async () => '2'),
      flights.run('b', async () => '3'),
    ]);
    assert.deepEqual([one, two, other], ['1', '2', '3']);
  });

  test('lets a caller leave, and works on for the others', async () => {
    const flights = new Flights<string>();
    const { start, resolve, stopped } = work();
    const controller = new AbortController();
    const leaving = flights.run('a', start, controller.signal);
    const staying = flights.run('a', start);
    controller.abort();
    await assert.rejects(leaving, cancelled);
    assert.equal(stopped(), false);
    resolve('done');
    assert.equal(await staying, 'done');
  });

  test('tells the work to stop when nobody waits any more, and lets nobody join it then', async () => {
    const flights = new Flights<string>();
    const first = work();
    const controllers = [new AbortController(), new AbortController()];
    const waiting = controllers.map(({ signal }) => flights.run('a', first.start, signal));
    for (const controller of controllers) controller.abort();
    for (const caller of waiting) await assert.rejects(caller, cancelled);
    assert.equal(first.stopped(), true);
    const second = work();
    const late = flights.run('a', second.start);
    second.resolve('anew');
    assert.equal(await late, 'anew');
    first.reject(new Error('stopped'));
  });

  test('hands a failure to all, and does not keep it', async () => {
    const flights = new Flights<string>();
    const { start, reject } = work();
    const all = [flights.run('a', start), flights.run('a', start)];
    reject(new Error('broken'));
    for (const caller of all) await assert.rejects(caller, /broken/);
    assert.equal(await flights.run('a', async () => 'mended'), 'mended');
  });

  test('does not begin for a caller who has left already', async () => {
    const { start, started } = work();
    await assert.rejects(new Flights<string>().run('a', start, AbortSignal.abort()), cancelled);
    assert.equal(started(), 0);
  });
});
