import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Plan } from '../../../src/imaging/plan.ts';
import { ingestCost, LARGE_COST, renderCost } from '../../../src/imaging/pool/cost.ts';
import { type FreeWorker, isLarge, MAX_OVERTAKES, TaskQueue } from '../../../src/imaging/pool/queue.ts';

const FREE: FreeWorker = { fresh: false, large: true, saturatedOriginals: new Set() };

interface Named {
  readonly name: string;
  readonly cost: number;
  readonly retried: boolean;
  readonly original?: string;
}

const small = (name: string): Named => ({ name, cost: 10, retried: false });
const large = (name: string): Named => ({ name, cost: LARGE_COST + 1, retried: false });
const queue = (limits = {}) =>
  new TaskQueue<Named>({ maxWaiting: 100, maxCost: Number.POSITIVE_INFINITY, ...limits });

/** Takes all tasks for one worker, and returns their names in that order. */
function takeAll(waiting: TaskQueue<Named>, worker: FreeWorker = FREE): string[] {
  const names: string[] = [];
  for (let task = waiting.take(worker); task !== undefined; task = waiting.take(worker))
    names.push(task.name);
  return names;
}

const PLAN: Plan = {
  width: 400,
  height: 400,
  fit: 'cover',
  position: 'center',
  format: 'webp',
  quality: 80,
  animated: false,
  flatten: false,
  content: 'photo',
};

describe('the queue', () => {
  test('gives out small tasks before large ones, and tasks of one kind in their order of arrival', () => {
    const waiting = queue();
    for (const task of [large('A'), small('1'), large('B'), small('2')]) assert.ok(waiting.add(task));
    assert.equal(waiting.length, 4);
    assert.deepEqual(takeAll(waiting), ['1', '2', 'A', 'B']);
    assert.equal(waiting.length, 0);
  });

  test('gives out a large task after 8 small ones have overtaken it, and the next after 8 more', () => {
    const waiting = queue();
    waiting.add(large('A'));
    waiting.add(large('B'));
    for (let i = 0; i < 2 * MAX_OVERTAKES + 1; i += 1) waiting.add(small(String(i)));
    const names = takeAll(waiting);
    assert.equal(names.indexOf('A'), MAX_OVERTAKES);
    assert.equal(names.indexOf('B'), 2 * MAX_OVERTAKES + 1);
  });

  test('gives no large task to a worker that may not take one, and counts no overtakes then', () => {
    const waiting = queue();
    waiting.add(large('A'));
    for (let i = 0; i < MAX_OVERTAKES + 1; i += 1) waiting.add(small(String(i)));
    assert.ok(!takeAll(waiting, { ...FREE, large: false }).includes('A'));
    waiting.add(small('late'));
    assert.deepEqual(takeAll(waiting), ['late', 'A']);
  });

  test('gives a retried task to fresh workers only, before all other tasks', () => {
    const waiting = queue({ maxWaiting: 1 });
    waiting.add(small('1'));
    waiting.putBack({ ...small('crashed'), retried: true });
    assert.equal(waiting.length, 2);
    assert.deepEqual(takeAll(waiting), ['1']);
    assert.deepEqual(takeAll(waiting, { ...FREE, fresh: true, large: false }), ['crashed']);
  });

  test('gives a retried task to the next fresh worker, even against the other rules', () => {
    const waiting = queue();
    const restricted = { fresh: true, large: false, saturatedOriginals: new Set(['one']) };
    waiting.putBack({ ...large('crashed'), retried: true, original: 'one' });
    assert.deepEqual(takeAll(waiting, restricted), ['crashed']);
  });

  test('passes over tasks of saturated originals', () => {
    const waiting = queue();
    const of = (original: string, task: Named): Named => ({ ...task, original });
    for (const task of [of('one', small('1')), of('one', large('A')), of('other', small('2')), small('3')])
      waiting.add(task);
    const others = { ...FREE, saturatedOriginals: new Set(['one']) };
    assert.deepEqual(takeAll(waiting, others), ['2', '3']);
    waiting.add(of('other', large('B')));
    assert.deepEqual(
      takeAll(waiting, others),
      ['B'],
      'a blocked large task does not block another large task',
    );
    assert.deepEqual(takeAll(waiting), ['1', 'A']);
  });

  test('accepts tasks of one original for at most half of the places', () => {
    const waiting = queue({ maxWaiting: 4 });
    const of = (original: string, name: string): Named => ({ ...small(name), original });
    assert.deepEqual(
      [of('one', '1'), of('one', '2'), of('one', '3'), of('other', '4'), small('5'), small('6')].map((task) =>
        waiting.add(task),
      ),
      [true, true, false, true, true, false],
    );
  });

  test('limits the number of tasks and their cost, but accepts any task into an empty queue', () => {
    const few = queue({ maxWaiting: 2 });
    assert.deepEqual([few.add(small('1')), few.add(large('2')), few.add(small('3'))], [true, true, false]);
    const cheap = queue({ maxCost: 25 });
    assert.ok(cheap.add(large('alone')));
    assert.equal(cheap.add(small('1')), false);
    cheap.take(FREE);
    assert.deepEqual(
      [cheap.add(small('1')), cheap.add(small('2')), cheap.add(small('3'))],
      [true, true, false],
    );
  });

  test('removes one task, and drains all others', () => {
    const waiting = queue();
    const gone = large('gone');
    waiting.add(gone);
    waiting.add(small('1'));
    waiting.add(large('2'));
    waiting.remove(gone);
    waiting.remove(gone);
    assert.deepEqual(
      waiting.drain().map(({ name }) => name),
      ['1', '2'],
    );
    assert.equal(waiting.length, 0);
  });
});

describe('the cost of a task', () => {
  const isLargeCost = (cost: number) => isLarge({ cost, retried: false });
  const photo = { format: 'jpeg', width: 6_000, height: 4_000, frames: 1 } as const;

  test('is small for thumbnails from a rung, and large for tasks that take long', () => {
    for (const format of ['webp', 'jpeg', 'png', 'avif'] as const) {
      assert.equal(isLargeCost(renderCost({ ...PLAN, format })), false, format);
    }
    assert.equal(isLargeCost(renderCost({ ...PLAN, width: 2_048, height: 2_048, format: 'avif' })), true);
    assert.equal(isLargeCost(renderCost({ ...PLAN, width: 2_048, height: 1_365 }, photo)), true);
    assert.equal(isLargeCost(ingestCost(5_000_000)), true);
    assert.equal(isLargeCost(ingestCost(100_000)), false);
    assert.equal(isLargeCost(ingestCost()), true);
  });

  test('counts the frames of an animation, and 1 000 frames if their number is unknown', () => {
    const plan: Plan = { ...PLAN, animated: true };
    const source = { format: 'webp', width: 400, height: 400, frames: 50 } as const;
    assert.ok(renderCost(plan, source) > 40 * renderCost(PLAN, source));
    assert.ok(renderCost(plan) > renderCost(plan, source));
  });
});
