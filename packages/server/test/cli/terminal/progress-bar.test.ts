/**
 * The lines that report progress where there is no terminal. Tests with a terminal are in
 * admin/maintenance.test.ts and remote/upload.test.ts.
 */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import type { CommandContext } from '../../../src/cli/terminal/context.ts';
import { type ProgressOptions, startProgress } from '../../../src/cli/terminal/progress-bar.ts';

/** The lines of a run with this number of items. @param amount the part of the size for each item. */
async function runItems(options: ProgressOptions, items: number, amount = 0): Promise<string[]> {
  const lines: string[] = [];
  const context: CommandContext = {
    env: {},
    stdout: (text) => lines.push(String(text)),
    stderr: assert.fail,
    stdin: process.stdin,
    terminal: Object.assign(new PassThrough(), { isTTY: false }) as unknown as NodeJS.WriteStream,
    stdoutIsTTY: false,
  };
  const progress = await startProgress(context, options);
  for (let item = 1; item <= items; item += 1) {
    if (amount > 0) progress.setAmount(item * amount);
    progress.countItem();
  }
  progress.print('something\n');
  progress.end();
  return lines;
}

describe('progress without a terminal', () => {
  test('prints a line for each thousand items', async () => {
    assert.deepEqual(await runItems({ what: 'originals', total: 2_500, json: false }, 2_500), [
      '1000 of 2500 originals\n',
      '2000 of 2500 originals\n',
      'something\n',
    ]);
  });

  test('raises the total when there are more items than expected', async () => {
    const [, second] = await runItems({ what: 'rungs', total: 1_500, json: false }, 2_000);
    assert.equal(second, '2000 of 2000 rungs\n');
  });

  test('prints a percentage when the number of items is unknown', async () => {
    assert.deepEqual(await runItems({ what: 'originals', size: 8_000, json: false }, 1_999, 4), [
      '1000 originals, 50 %\n',
      'something\n',
    ]);
  });

  test('prints no progress lines in JSON mode', async () => {
    const lines = await runItems({ what: 'originals', total: 1_000, json: true }, 1_000);
    assert.deepEqual(lines, ['something\n']);
  });
});
