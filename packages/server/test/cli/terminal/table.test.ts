/**
 * Tables on terminals of different widths, and texts that could control a terminal.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import stringWidth from 'string-width';
import { formatJSON, sanitizeLine } from '../../../src/cli/terminal/output.ts';
import { hasColors } from '../../../src/cli/terminal/style.ts';
import { type Column, formatTable } from '../../../src/cli/terminal/table.ts';

interface Row {
  readonly id: string;
  readonly text?: string;
  readonly end: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ['ID', ({ id }) => id],
  ['TEXT', ({ text }) => text, 'long'],
  ['END', ({ end }) => end],
];

/** Texts in which code units, code points and columns differ. */
const TEXTS = [
  'plain',
  '日本語の写真',
  '한국어',
  'e\u0301te\u0301',
  '👨‍👩‍👧 family',
  '🇹🇷 flag',
  'ｆｕｌｌ',
  'שלום',
  'a\u200db',
];

const rows = (...texts: (string | undefined)[]): Row[] =>
  texts.map((text, index) => ({ id: `id-${index}`, ...(text !== undefined && { text }), end: 'x' }));
const format = (records: readonly Row[], columns?: number, env = { TERM: 'xterm', NO_COLOR: '1' }) =>
  formatTable({ env, stdoutIsTTY: columns !== undefined, stdoutColumns: columns }, records, COLUMNS, 'None.');
const linesOf = (table: string) => table.trimEnd().split('\n');

describe('a table', () => {
  test('aligns wide, combining and joined characters', async () => {
    for (const columns of [undefined, 200, 0]) {
      const lines = linesOf(await format(rows(...TEXTS, undefined), columns));
      const starts = lines.map((line) => stringWidth(line.slice(0, line.lastIndexOf('  '))));
      assert.equal(new Set(lines.map((line) => stringWidth(line.replace(/(END|x)$/, '')))).size, 1);
      assert.equal(lines.length, TEXTS.length + 2, String(starts));
    }
  });

  test('is cut to the width of the terminal with an ellipsis, and is still aligned', async () => {
    for (const columns of [24, 30, 41]) {
      const table = await format(rows(...TEXTS.map((text) => text.repeat(20)), 'short'), columns);
      const lines = linesOf(table);
      for (const line of lines) assert.ok(stringWidth(line) <= columns, `${columns}: ${line}`);
      const widths = lines.map((line) => stringWidth(line.replace(/(END|x)$/, '')));
      assert.deepEqual(new Set(widths).size, 1, table);
      assert.equal(table.match(/…/g)?.length, TEXTS.length);
      assert.match(table, /^id-0 {2}/m, 'the ID is not cut');
      // No half of a character is left.
      assert.equal(/[\ud800-\udbff](?![\udc00-\udfff])/.test(table), false);
    }
  });

  test('cuts other columns too if the terminal is very narrow', async () => {
    const records = [{ id: 'i'.repeat(36), text: 't'.repeat(50), end: 'e'.repeat(21) }];
    const [, line = ''] = linesOf(await format(records, 50));
    assert.equal(line, `${'i'.repeat(36)}  ${'t'.repeat(4)}…  ${'e'.repeat(4)}…`, 'the ID is cut last');
    const [, narrower = ''] = linesOf(await format(records, 40));
    assert.equal(narrower, `${'i'.repeat(27)}…  ${'t'.repeat(3)}…  ${'e'.repeat(3)}…`);
    for (const columns of [10, 1]) assert.ok((await format(records, columns)).includes('…'));
  });

  test('is not cut without a terminal', async () => {
    const table = await format(rows('long '.repeat(100)));
    assert.ok(table.includes('long '.repeat(99)));
    assert.equal(table.includes('…'), false);
  });

  test('has no control characters of stored texts', async () => {
    const text = 'a\u001b[31mb\u009b2Jc\u0007d\re\nf\u202eg\u2066h\u061ci\u2028j\u007fk';
    const table = await format(rows(text));
    assert.match(table, /a \[31mb 2Jc d e fghi j k/);
    assert.equal(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u2028\u2066\u202e]/.test(table), false);
    assert.equal(sanitizeLine(text).includes('\u001b'), false);
    const json = formatJSON({ text });
    assert.equal(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u2028\u2066\u202e]/.test(json), false);
    assert.deepEqual(JSON.parse(json), { text });
  });

  test('has a bold heading where there are colours', async () => {
    const env = { TERM: 'xterm' };
    assert.match(await format(rows('a'), 80, env as never), /^\u001b\[1mID .*\u001b\[22m\nid-0 {2}a/);
    assert.match(await format(rows('a'), undefined, env as never), /^ID /);
  });

  test('without records is its text', async () => {
    assert.equal(await format([]), 'None.\n');
  });
});

describe('colours', () => {
  test('follow the terminal, NO_COLOR, FORCE_COLOR and TERM', () => {
    const cases: [boolean, Record<string, string>, boolean][] = [
      [true, {}, true],
      [false, {}, false],
      [true, { TERM: 'dumb' }, false],
      [true, { NO_COLOR: '1' }, false],
      [true, { NO_COLOR: '' }, true],
      [false, { FORCE_COLOR: '1' }, true],
      [false, { FORCE_COLOR: '' }, true],
      [true, { FORCE_COLOR: '0' }, false],
      [false, { FORCE_COLOR: '1', NO_COLOR: '1', TERM: 'dumb' }, true],
    ];
    for (const [isTTY, env, expected] of cases) {
      assert.equal(hasColors(env, isTTY), expected, JSON.stringify([isTTY, env]));
    }
  });
});
