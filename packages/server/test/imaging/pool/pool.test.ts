import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isAppError } from '../../../src/errors.ts';
import type { Plan } from '../../../src/imaging/plan.ts';
import { createPool, type Pool, type PoolOptions } from '../../../src/imaging/pool/pool.ts';
import * as pictures from '../../support/pictures.ts';
import { isAlive } from '../../support/processes.ts';
import { until } from '../../support/waiting.ts';

const PLAN: Plan = {
  width: 100,
  height: 100,
  fit: 'cover',
  position: 'center',
  format: 'webp',
  quality: 80,
  animated: false,
  flatten: false,
  content: 'photo',
};

/** An AVIF of the largest size: it takes long enough to interrupt it, on every machine. */
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

/** Waits until the only worker of the pool is busy, and returns its process ID. */
async function busyWorker(pool: Pool, except?: number): Promise<number> {
  await until(() => pool.running() === 1 && pool.workerPids().some((pid) => pid !== except));
  return pool.workerPids()[0] ?? assert.fail('no worker');
}

const code = (expected: Parameters<typeof isAppError>[1]) => (error: unknown) => {
  assert.ok(isAppError(error, expected), String(error));
  return true;
};

describe('the pool', { timeout: 120_000 }, () => {
  test('retries a task once in a fresh worker when its worker is killed', async () => {
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

  test('rejects a task with unavailable when a second worker is killed, and runs the next task', async () => {
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

  test('runs the tasks that wait while a worker crashes', async () => {
    await withPool({}, async (pool) => {
      const first = pool.render(large, { ...SLOW, format: 'png' });
      const others = Array.from({ length: 5 }, () => pool.ingest(small));
      process.kill(await busyWorker(pool), 'SIGKILL');
      await Promise.all([first, ...others]);
    });
  });

  test('runs tasks after the end of an idle worker and of a starting worker', async () => {
    await withPool({}, async (pool) => {
      await pool.ingest(small);
      for (let round = 0; round < 3; round += 1) {
        const pid = pool.workerPids()[0] ?? assert.fail('no worker');
        process.kill(pid, 'SIGKILL');
        await until(() => pool.workerPids().length > 0 && !pool.workerPids().includes(pid));
        // The new worker is not ready yet.
        const starting = pool.workerPids()[0] ?? assert.fail('no worker');
        const ingest = pool.ingest(small);
        process.kill(starting, 'SIGKILL');
        assert.equal((await ingest).inspection.width, 320);
      }
    });
  });

  test('kills a task at its deadline: invalid-image at ingest, unavailable at render', async () => {
    await withPool({ deadlineMs: 5 }, async (pool) => {
      await assert.rejects(pool.ingest(large), (error) => {
        assert.ok(isAppError(error, 'invalid-image'), String(error));
        assert.match(error.fields?.image ?? '', /longer than 0.005 s/);
        return true;
      });
      await assert.rejects(pool.render(large, SLOW), code('unavailable'));
    });
  });

  test('does not count the wait in the queue in the deadline', async () => {
    await withPool({ deadlineMs: 30_000 }, async (pool) => {
      // The start of the worker takes longer than some of these tasks.
      await Promise.all(Array.from({ length: 20 }, () => pool.ingest(small)));
    });
  });

  test('ends a task that takes too much memory: invalid-image at ingest, unavailable at render', async () => {
    await withPool({ memoryLimitBytes: 40_000_000 }, async (pool) => {
      // An idle worker holds more memory, so its first memory check ends it.
      await assert.rejects(pool.ingest(large), (error) => {
        assert.ok(isAppError(error, 'invalid-image'), String(error));
        assert.match(error.fields?.image ?? '', /memory/);
        return true;
      });
      await assert.rejects(pool.render(large, SLOW), code('unavailable'));
    });
  });

  test('removes a waiting task when its signal fires, and lets a running task end', async () => {
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

  test('rejects a task when too many tasks wait', async () => {
    await withPool({ maxWaiting: 2 }, async (pool) => {
      const first = pool.ingest(small);
      const second = pool.ingest(small);
      await assert.rejects(pool.ingest(small), code('unavailable'));
      await Promise.all([first, second]);
      await pool.ingest(small);
    });
  });

  test('starts workers up to its size, and only when there are tasks for them', async () => {
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

  test('keeps one worker for small tasks while large tasks wait', async () => {
    await withPool({ size: 2, maxWaitMs: { render: 60_000 } }, async (pool) => {
      const first = pool.render(large, SLOW);
      await until(() => pool.running() === 1);
      // After this task one worker is idle and the other one busy.
      await pool.ingest(small, undefined, 10_000);
      const more = Array.from({ length: 2 }, () => pool.render(large, { ...SLOW, format: 'png' }));
      assert.deepEqual([pool.running(), pool.waiting()], [1, 2]);
      const thumbnail = pool.render(small, PLAN);
      assert.deepEqual([pool.running(), pool.waiting()], [2, 2]);
      await Promise.all([first, ...more, thumbnail]);
    });
  });

  test('keeps one worker for other originals while renditions of one original wait', async () => {
    await withPool({ size: 2, maxWaitMs: { render: 60_000 } }, async (pool) => {
      const first = pool.render(large, { ...SLOW, format: 'png' }, { original: 'one' });
      await until(() => pool.running() === 1);
      // After this task one worker is idle and the other one busy.
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

  test('with one worker, runs small tasks before a large one that waits', async () => {
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

  test('rejects a rendition that waits too long for a worker, and lets an upload wait', async () => {
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

  test('rejects all tasks with unavailable when it closes, and ends all workers', async () => {
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

  test('has workers that ignore SIGTERM and SIGINT, because the parent decides when they end', async () => {
    await withPool({}, async (pool) => {
      const rendering = pool.render(large, { ...SLOW, format: 'png' });
      const pid = await busyWorker(pool);
      process.kill(pid, 'SIGTERM');
      process.kill(pid, 'SIGINT');
      await rendering;
      assert.deepEqual(pool.workerPids(), [pid]);
    });
  });

  test('has workers that end when their parent is killed', async () => {
    const parent = fork(fileURLToPath(new URL('./pool-parent.ts', import.meta.url)), [
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
