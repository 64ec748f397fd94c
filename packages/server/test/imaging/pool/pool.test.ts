import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAppError } from '../../../src/errors.ts';
import type { Plan } from '../../../src/imaging/plan.ts';
import { createPool, type Pool, type PoolOptions } from '../../../src/imaging/pool/pool.ts';
import * as pictures from '../../support/pictures.ts';
import { isAlive } from '../../support/processes.ts';

const PLAN: Plan = {
  width: 100,
  height: 100,
  fit: 'cover',
  position: 'center',
  format: 'webp',
  quality: 80,
  animated: false,
  flatten: false,
};

/** Takes long enough to be interrupted, on any machine: an AVIF of the largest size. */
const SLOW: Plan = { ...PLAN, width: 2_048, height: 2_048, format: 'avif', quality: 100 };

let folder: string;
let small: string;
let large: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-pool-'));
  small = join(folder, 'small');
  large = join(folder, 'large');
  await writeFile(small, await pictures.jpeg());
  await writeFile(large, await pictures.jpeg({ width: 3_000, height: 3_000 }));
});

after(() => rm(folder, { recursive: true }));

async function withPool(options: PoolOptions, use: (pool: Pool) => Promise<void>): Promise<void> {
  const pool = createPool({ size: 1, deadlineMs: 60_000, maxWaitMs: { render: 60_000 }, ...options });
  try {
    await use(pool);
  } finally {
    await pool.close();
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Waits until a worker has a task, and says which worker it is (of a pool of one). */
async function busyWorker(pool: Pool, not?: number): Promise<number> {
  await until(() => pool.running() === 1 && pool.workerPids().some((pid) => pid !== not));
  return pool.workerPids()[0] ?? assert.fail('no worker');
}

const code = (expected: Parameters<typeof isAppError>[1]) => (error: unknown) => {
  assert.ok(isAppError(error, expected), String(error));
  return true;
};

describe('the pool', { timeout: 120_000 }, () => {
  test('tries a task once more in a fresh worker when its worker is killed', async () => {
    for (const signal of ['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const) {
      const warnings: string[] = [];
      await withPool({ log: { warn: (_, message) => warnings.push(message) } }, async (pool) => {
        const rendering = pool.render(large, { ...SLOW, format: 'png' });
        const pid = await busyWorker(pool);
        process.kill(pid, signal);
        assert.equal((await rendering).width, 2_048);
        assert.notEqual(pool.workerPids()[0], pid);
        assert.equal(warnings.length, 1);
      });
    }
  });

  test('gives up as unavailable when a second worker is killed, and serves the next task', async () => {
    await withPool({}, async (pool) => {
      const rendering = assert.rejects(pool.render(large, SLOW), (error) => {
        assert.ok(isAppError(error, 'unavailable'));
        assert.equal(error.retryAfter, 1);
        return true;
      });
      const first = await busyWorker(pool);
      process.kill(first, 'SIGKILL');
      process.kill(await busyWorker(pool, first), 'SIGKILL');
      await rendering;
      assert.equal((await pool.ingest(small)).inspection.width, 320);
    });
  });

  test('does not lose the tasks that wait behind a crash', async () => {
    await withPool({}, async (pool) => {
      const first = pool.render(large, { ...SLOW, format: 'png' });
      const others = Array.from({ length: 5 }, () => pool.ingest(small));
      process.kill(await busyWorker(pool), 'SIGKILL');
      await Promise.all([first, ...others]);
    });
  });

  test('survives the end of an idle worker and of one that starts', async () => {
    await withPool({}, async (pool) => {
      await pool.ingest(small);
      for (let round = 0; round < 3; round += 1) {
        const pid = pool.workerPids()[0] ?? assert.fail('no worker');
        process.kill(pid, 'SIGKILL');
        await until(() => pool.workerPids().length > 0 && !pool.workerPids().includes(pid));
        // The new one is only starting.
        const starting = pool.workerPids()[0] ?? assert.fail('no worker');
        const inspecting = pool.ingest(small);
        process.kill(starting, 'SIGKILL');
        assert.equal((await inspecting).inspection.width, 320);
      }
    });
  });

  test('kills a task at its deadline: an invalid picture at ingest, unavailable at render', async () => {
    await withPool({ deadlineMs: 5 }, async (pool) => {
      await assert.rejects(pool.ingest(large), (error) => {
        assert.ok(isAppError(error, 'invalid-image'), String(error));
        assert.match(error.fields?.image ?? '', /longer than 0.005 s/);
        return true;
      });
      await assert.rejects(pool.render(large, SLOW), code('unavailable'));
    });
  });

  test('does not count the wait in the queue towards the deadline', async () => {
    await withPool({ deadlineMs: 30_000 }, async (pool) => {
      // The start of the worker alone takes longer than some of these tasks.
      await Promise.all(Array.from({ length: 20 }, () => pool.ingest(small)));
    });
  });

  test('ends a task that takes too much memory: an invalid picture at ingest, unavailable at render', async () => {
    await withPool({ memoryLimitBytes: 40_000_000 }, async (pool) => {
      // Any worker holds more than that, so the first look at it ends it.
      await assert.rejects(pool.ingest(large), (error) => {
        assert.ok(isAppError(error, 'invalid-image'), String(error));
        assert.match(error.fields?.image ?? '', /memory/);
        return true;
      });
      await assert.rejects(pool.render(large, SLOW), code('unavailable'));
    });
  });

  test('takes a waiting task out of the queue when its signal fires, and leaves a running one to end', async () => {
    await withPool({}, async (pool) => {
      await assert.rejects(pool.ingest(small, AbortSignal.abort()), code('cancelled'));
      const running = new AbortController();
      const waiting = new AbortController();
      const first = assert.rejects(
        pool.render(large, { ...SLOW, format: 'png' }, { signal: running.signal }),
        code('cancelled'),
      );
      const second = assert.rejects(pool.ingest(small, waiting.signal), code('cancelled'));
      const pid = await busyWorker(pool);
      assert.equal(pool.waiting(), 1);
      waiting.abort();
      await second;
      assert.equal(pool.waiting(), 0);
      running.abort();
      await first;
      await pool.ingest(small);
      assert.deepEqual(pool.workerPids(), [pid]);
    });
  });

  test('refuses a task when too many wait', async () => {
    await withPool({ maxWaiting: 2 }, async (pool) => {
      const first = pool.ingest(small);
      const second = pool.ingest(small);
      await assert.rejects(pool.ingest(small), code('unavailable'));
      await Promise.all([first, second]);
      await pool.ingest(small);
    });
  });

  test('runs as many workers as it may, and only when there is work for them', async () => {
    await withPool({ size: 2 }, async (pool) => {
      await pool.ingest(small);
      assert.equal(pool.workerPids().length, 1);
      const first = pool.render(large, SLOW);
      await until(() => pool.running() === 1);
      const results = Promise.all(Array.from({ length: 4 }, () => pool.ingest(small, undefined, 10_000)));
      await until(() => pool.running() === 2);
      assert.equal(pool.workerPids().length, 2);
      await results;
      await first;
    });
  });

  test('keeps a worker for small tasks, however many large ones wait', async () => {
    await withPool({ size: 2, maxWaitMs: { render: 60_000 } }, async (pool) => {
      const first = pool.render(large, SLOW);
      await until(() => pool.running() === 1);
      // Once this is through there is an idle worker beside the busy one.
      await pool.ingest(small, undefined, 10_000);
      const more = Array.from({ length: 2 }, () => pool.render(large, { ...SLOW, format: 'png' }));
      assert.deepEqual([pool.running(), pool.waiting()], [1, 2]);
      const thumbnail = pool.render(small, PLAN);
      assert.deepEqual([pool.running(), pool.waiting()], [2, 2]);
      await Promise.all([first, ...more, thumbnail]);
    });
  });

  test('keeps a worker for other pictures, however many sizes of one are asked for', async () => {
    await withPool({ size: 2, maxWaitMs: { render: 60_000 } }, async (pool) => {
      const first = pool.render(large, { ...SLOW, format: 'png' }, { original: 'one' });
      await until(() => pool.running() === 1);
      // Once this is through there is an idle worker beside the busy one.
      await pool.ingest(small, undefined, 10_000);
      const more = [
        pool.render(small, PLAN, { original: 'one' }),
        pool.render(small, PLAN, { original: 'one' }),
      ];
      assert.deepEqual([pool.running(), pool.waiting()], [1, 2]);
      const other = pool.render(small, PLAN, { original: 'other' });
      assert.deepEqual([pool.running(), pool.waiting()], [2, 2]);
      await Promise.all([first, ...more, other]);
    });
  });

  test('with one worker, lets small tasks pass a large one that waits', async () => {
    await withPool({}, async (pool) => {
      const order: string[] = [];
      const first = pool.render(large, { ...SLOW, format: 'png' });
      await until(() => pool.running() === 1);
      const second = pool.render(large, { ...SLOW, format: 'webp' }).then(() => order.push('large'));
      const third = pool.render(small, PLAN).then(() => order.push('small'));
      await Promise.all([first, second, third]);
      assert.deepEqual(order, ['small', 'large']);
    });
  });

  test('refuses a rendition that waits too long for a worker, and lets an upload wait', async () => {
    await withPool({ maxWaitMs: { render: 1 } }, async (pool) => {
      const warm = await pool.ingest(small);
      assert.equal(warm.inspection.width, 320);
      const running = pool.ingest(large);
      const upload = pool.ingest(small);
      await assert.rejects(pool.render(small, PLAN), (error) => {
        assert.ok(isAppError(error, 'unavailable'));
        assert.equal(error.retryAfter, 1);
        return true;
      });
      await Promise.all([running, upload]);
      assert.equal(pool.waiting(), 0);
    });
  });

  test('rejects all its tasks as unavailable when it closes, and leaves no process behind', async () => {
    const pool = createPool({ size: 1, deadlineMs: 60_000 });
    const running = assert.rejects(pool.render(large, SLOW), code('unavailable'));
    const waiting = assert.rejects(pool.ingest(small), code('unavailable'));
    const pid = await busyWorker(pool);
    await pool.close();
    await Promise.all([running, waiting]);
    assert.equal(isAlive(pid), false);
    await assert.rejects(pool.ingest(small), code('unavailable'));
    await pool.close();
  });

  test('leaves signals of a terminal to the parent: a worker works on', async () => {
    await withPool({}, async (pool) => {
      const rendering = pool.render(large, { ...SLOW, format: 'png' });
      const pid = await busyWorker(pool);
      process.kill(pid, 'SIGTERM');
      process.kill(pid, 'SIGINT');
      await rendering;
      assert.deepEqual(pool.workerPids(), [pid]);
    });
  });

  test('loses its workers with its parent, even one that is killed while they work', async () => {
    const parent = fork(fileURLToPath(new URL('./orphans.ts', import.meta.url)), [
      large,
      JSON.stringify(SLOW),
    ]);
    const [pid] = (await once(parent, 'message')) as [number];
    assert.equal(isAlive(pid), true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await until(() => !isAlive(pid));
  });
});
