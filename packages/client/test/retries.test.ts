import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { APIError, ConnectionError, TimeoutError } from '../src/errors.ts';
import { parseRetryAfter, pause, startRetries } from '../src/retries.ts';

const refusal = (status: number, headers: Record<string, string> = {}) =>
  new APIError({ status, headers: new Headers(headers), body: '' });
const backoff = { initialInterval: 100, maxInterval: 1_000, exponent: 2, maxElapsedTime: 10_000 };
/** Random functions with the most and the least jitter. */
const highest = () => 1;
const lowest = () => 0;

describe('retries', () => {
  test('have growing pauses up to maxInterval', () => {
    const retries = startRetries({ strategy: 'backoff', backoff }, true, highest);
    const pauses = Array.from({ length: 6 }, () => retries.pauseAfter(refusal(503), 0));
    assert.deepEqual(pauses, [100, 200, 400, 800, 1_000, 1_000]);
  });

  test('have jitter: a pause is 50 to 100 % of its interval', () => {
    const pauses = [lowest, () => 0.5, highest].map((random) =>
      startRetries({ strategy: 'backoff', backoff }, true, random).pauseAfter(refusal(500), 0),
    );
    assert.deepEqual(pauses, [50, 75, 100]);
  });

  test('follow only transient statuses', () => {
    for (const status of [408, 429, 500, 502, 503, 504])
      assert.notEqual(start().pauseAfter(refusal(status), 0), undefined, String(status));
    for (const status of [400, 401, 403, 404, 409, 413, 422, 501, 507])
      assert.equal(start().pauseAfter(refusal(status), 0), undefined, String(status));
    assert.equal(start().pauseAfter(new TypeError('a mistake'), 0), undefined);
  });

  test('follow connection errors only with retryConnectionErrors', () => {
    const retries = startRetries({ strategy: 'backoff', backoff, retryConnectionErrors: true }, true);
    for (const error of [new ConnectionError('gone'), new TimeoutError(5)]) {
      assert.equal(start().pauseAfter(error, 0), undefined);
      assert.notEqual(retries.pauseAfter(error, 0), undefined);
    }
  });

  test('of a call that is not idempotent follow only a 429', () => {
    const retries = startRetries({ strategy: 'backoff', backoff, retryConnectionErrors: true }, false);
    assert.notEqual(retries.pauseAfter(refusal(429), 0), undefined);
    for (const error of [
      refusal(408),
      refusal(500),
      refusal(503),
      new ConnectionError('gone'),
      new TimeoutError(5),
    ])
      assert.equal(retries.pauseAfter(error, 0), undefined);
  });

  test('end when the next attempt would start after maxElapsedTime', () => {
    assert.equal(start(highest).pauseAfter(refusal(503), 9_900), 100);
    assert.equal(start(highest).pauseAfter(refusal(503), 9_901), undefined);
  });

  test('wait for Retry-After plus jitter, even beyond maxInterval', () => {
    const retryLater = refusal(503, { 'retry-after': '5' });
    assert.equal(start(lowest).pauseAfter(retryLater, 0), 5_000);
    assert.equal(start(highest).pauseAfter(retryLater, 0), 5_100);
    assert.equal(start().pauseAfter(refusal(503, { 'retry-after': '11' }), 0), undefined, 'not in time');
  });

  test('are off with strategy "none", and "backoff" has the defaults of the official SDK', () => {
    assert.equal(startRetries({ strategy: 'none' }, true).pauseAfter(refusal(503), 0), undefined);
    const defaults = startRetries({ strategy: 'backoff' }, true, highest);
    assert.deepEqual(
      [1, 2].map(() => defaults.pauseAfter(refusal(503), 0)),
      [500, 750],
    );
    assert.notEqual(defaults.pauseAfter(refusal(503), 3_598_000), undefined);
    assert.equal(defaults.pauseAfter(refusal(503), 3_600_000), undefined);
  });

  test('reject invalid numbers with the name of the option', () => {
    for (const [field, value] of [
      ['initialInterval', -1],
      ['maxInterval', Number.NaN],
      ['exponent', 0.5],
      ['maxElapsedTime', -1],
    ] as const) {
      assert.throws(() => startRetries({ strategy: 'backoff', backoff: { [field]: value } }, true), {
        name: 'RangeError',
        message: new RegExp(`retries\\.backoff\\.${field} must be a number of at least [01]`),
      });
    }
  });

  function start(random?: () => number) {
    return startRetries({ strategy: 'backoff', backoff }, true, random);
  }
});

describe('Retry-After', () => {
  const now = Date.parse('2026-11-24T08:00:00Z');
  for (const [value, expected] of [
    ['0', 0],
    ['120', 120_000],
    ['Tue, 24 Nov 2026 08:00:10 GMT', 10_000],
    ['Tue, 24 Nov 2026 07:59:00 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
    ['', undefined],
  ] as const) {
    test(`with "${value}" is ${expected === undefined ? 'ignored' : `${expected} ms`}`, () => {
      assert.equal(parseRetryAfter(new Headers({ 'retry-after': value }), now), expected);
    });
  }
});

describe('a pause', () => {
  test('rejects at once if its signal aborts before or during the pause', async () => {
    const reason = new Error('enough');
    await assert.rejects(pause(1e9, AbortSignal.abort(reason)), reason);
    const controller = new AbortController();
    const pausing = pause(1e9, controller.signal);
    controller.abort(reason);
    await assert.rejects(pausing, reason);
  });
});
