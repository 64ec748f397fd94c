/**
 * The number of uploads at once: how it grows, how it shrinks, and what is sent again. The clock of these
 * tests is a variable.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  APIError,
  ConnectionError,
  type RetryConfig,
  type UploadOptions,
  type VitrineError,
} from '@vitrine/client';
import { UploadPace } from '../../../src/cli/remote/upload-pace.ts';

const tooSlow = () => new APIError({ status: 408, headers: new Headers(), body: '' });

/** An upload that the test ends. */
interface Attempt {
  readonly name: string;
  readonly options: UploadOptions;
  succeed(): Promise<void>;
  fail(error: Error): Promise<void>;
  /** Fails, and retries inside the same call, as the client does. */
  retry(error: APIError): Promise<void>;
}

describe('the pace of uploads', () => {
  let now: number;
  let messages: string[];
  let attempts: Attempt[];
  let results: Promise<unknown>[];
  let pace: UploadPace;

  const start = (max: number, ...names: string[]) => {
    const retries = { strategy: 'backoff' } as const;
    pace = new UploadPace({ max, retries, onSlow: (text) => messages.push(text), now: () => now });
    add(...names);
  };
  const add = (...names: string[]) => {
    for (const name of names) {
      const result = pace.run(name, (options) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const attempt: Attempt = {
          name,
          options,
          async succeed() {
            attempts.splice(attempts.indexOf(attempt), 1);
            resolve();
            await settle();
          },
          async fail(error) {
            attempts.splice(attempts.indexOf(attempt), 1);
            reject(error);
            await settle();
          },
          async retry(error) {
            attempts.splice(attempts.indexOf(attempt), 1);
            const config = options.retries as Extract<RetryConfig, { strategy: 'backoff' }>;
            Promise.resolve(config.onRetry?.(error as VitrineError, 0)).then(() => attempts.push(attempt));
            await settle();
          },
        };
        attempts.push(attempt);
        return promise;
      });
      results.push(result);
      result.catch(() => undefined);
    }
  };
  /** Lets all promises settle that are ready. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const running = () => attempts.map(({ name }) => name).sort();
  const find = (name: string) => attempts.find((attempt) => attempt.name === name) ?? assert.fail(name);

  beforeEach(() => {
    now = 0;
    messages = [];
    attempts = [];
    results = [];
  });

  test('begins with one upload, and adds one after each that ends soon, up to the limit', async () => {
    start(3, 'a', 'b', 'c', 'd', 'e', 'f', 'g');
    await settle();
    assert.deepEqual(running(), ['a']);
    now += 4_000;
    await find('a').succeed();
    assert.deepEqual(running(), ['b', 'c']);
    await find('b').succeed();
    assert.deepEqual(running(), ['c', 'd', 'e']);
    await find('c').succeed();
    assert.deepEqual(running(), ['d', 'e', 'f'], 'the limit is 3');
    for (const name of ['d', 'e', 'f', 'g']) await find(name).succeed();
    await Promise.all(results);
  });

  test('stays at one upload on a slow link, and returns to one when uploads begin to take long', async () => {
    start(4, 'a', 'b', 'c', 'd', 'e');
    await settle();
    now += 11_000;
    await find('a').succeed();
    assert.deepEqual(running(), ['b']);
    now += 1_000;
    await find('b').succeed();
    assert.deepEqual(running(), ['c', 'd']);
    now += 21_000;
    await find('c').succeed();
    assert.deepEqual(running(), ['d']);
    await find('d').succeed();
    await find('e').succeed();
    assert.deepEqual(messages, []);
  });

  test('halves once for uploads that the server stops together, and says so', async () => {
    start(4, 'a', 'b', 'c', 'd');
    for (const name of ['x', 'y', 'z']) add(name);
    await settle();
    // Short uploads raise the number to 4.
    for (const name of ['a', 'b', 'c']) await find(name).succeed();
    assert.deepEqual(running(), ['d', 'x', 'y', 'z']);
    for (const name of ['d', 'x', 'y', 'z']) await find(name).retry(tooSlow());
    assert.deepEqual(running(), ['d', 'x'], 'two at a time');
    assert.equal(
      messages[0],
      'the link is too slow: the server stopped waiting for d; sending it again, with 2 files at a time',
    );
    assert.equal(messages.length, 4);
    // The server would stop four uploads again.
    for (const name of ['d', 'x']) await find(name).succeed();
    assert.deepEqual([running(), pace.limit], [['y', 'z'], 2]);
    for (const name of ['y', 'z']) await find(name).retry(tooSlow());
    assert.deepEqual(running(), ['y']);
    assert.match(messages.at(-1) ?? '', /with one file at a time$/);
    await find('y').succeed();
    await find('z').succeed();
    await Promise.all(results);
  });

  test('sends a picture again after its retries, but not for ever', async () => {
    start(1, 'a');
    await settle();
    for (let call = 1; call <= 3; call += 1) await find('a').fail(tooSlow());
    assert.deepEqual(running(), ['a']);
    await find('a').fail(tooSlow());
    await assert.rejects(results[0] ?? assert.fail(), { status: 408 });
  });

  test('sends a picture again whose connection broke, unless nothing was sent', async () => {
    start(2, 'a', 'b');
    await settle();
    find('a').options.onProgress?.({ sent: 65_536 });
    await find('a').fail(new ConnectionError('reset'));
    assert.deepEqual(messages, [
      'the connection broke while a was sent; sending it again, with one file at a time',
    ]);
    assert.deepEqual(running(), ['b'], 'the waiting picture is first');
    await find('b').succeed();
    await find('a').fail(new ConnectionError('refused'));
    await assert.rejects(results[0] ?? assert.fail(), ConnectionError);
  });

  test('passes other errors on at once, and frees their turn', async () => {
    start(1, 'a', 'b');
    await settle();
    await find('a').fail(new APIError({ status: 422, headers: new Headers(), body: '' }));
    await assert.rejects(results[0] ?? assert.fail(), { status: 422 });
    assert.deepEqual([running(), messages], [['b'], []]);
    await find('b').retry(new APIError({ status: 503, headers: new Headers(), body: '' }));
    assert.deepEqual([running(), messages], [['b'], []], 'a busy server is no slow link');
    await find('b').succeed();
  });
});
