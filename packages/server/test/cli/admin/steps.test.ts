/** How far a run is, where there is no terminal: a line for every thousand steps. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import type { Surroundings } from '../../../src/cli/admin/session.ts';
import { type StepsOptions, startSteps } from '../../../src/cli/admin/steps.ts';

/** What a run of so many steps writes, each of which is so much of the size. */
async function linesOf(options: StepsOptions, steps: number, amount = 0): Promise<string[]> {
  const lines: string[] = [];
  const surroundings: Surroundings = {
    env: {},
    write: (text) => lines.push(text),
    complain: assert.fail,
    input: process.stdin,
    screen: Object.assign(new PassThrough(), { isTTY: false }) as unknown as NodeJS.WriteStream,
    isTerminal: false,
  };
  const run = await startSteps(surroundings, options);
  for (let step = 1; step <= steps; step += 1) {
    if (amount > 0) run.reach(step * amount);
    run.step();
  }
  run.tell('something\n');
  run.end();
  return lines;
}

describe('without a terminal', () => {
  test('a run tells of every thousand steps', async () => {
    assert.deepEqual(await linesOf({ what: 'originals', total: 2_500, json: false }, 2_500), [
      '1000 of 2500 originals\n',
      '2000 of 2500 originals\n',
      'something\n',
    ]);
  });

  test('a run with more steps than were known does not say so of fewer', async () => {
    const [, second] = await linesOf({ what: 'rungs', total: 1_500, json: false }, 2_000);
    assert.equal(second, '2000 of 2000 rungs\n');
  });

  test('a run of which the steps are not known tells its share', async () => {
    assert.deepEqual(await linesOf({ what: 'originals', size: 8_000, json: false }, 1_999, 4), [
      '1000 originals, 50 %\n',
      'something\n',
    ]);
  });

  test('a run that prints JSON says nothing of itself', async () => {
    const lines = await linesOf({ what: 'originals', total: 1_000, json: true }, 1_000);
    assert.deepEqual(lines, ['something\n']);
  });
});
