import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MAX_NESTING, markdownProblem } from '../../src/catalog/markdown.ts';
import { MAX_DESCRIPTION_LENGTH } from '../../src/validation/json.ts';

const HTML = 'must be Markdown without HTML';

describe('a description', () => {
  test('may be any Markdown, including text that looks like HTML', () => {
    for (const text of [
      '',
      '# Lemonade\n\n- **sweet**\n- _sour_\n\n1. ![lemon](https://example.com/l.png "A lemon")',
      'a < b, b > c, and 1<2>3; I <3 lemons',
      'written `<b>` or `` <script> ``',
      '```html\n<b>bold</b>\n```',
      '    <b>indented</b>',
      '<https://example.com/?a=b&c=d> and <me@example.com>',
      'escaped \\<b>, and as entities: &lt;b&gt; &amp; &copy;',
      '[a link](<with spaces>) and\n\n[x]: <target>',
      '| a | b |\n|---|---|\n| 1 | 2 |',
      'line\r\nbreaks\r\n',
      'an <unfinished tag',
    ]) {
      assert.equal(markdownProblem(text), undefined, JSON.stringify(text));
    }
  });

  test('must not contain HTML in any place', () => {
    for (const text of [
      '<b>bold</b>',
      '<script>alert(1)</script>',
      '<script',
      'a<br>b',
      '</p>',
      '<!-- hidden -->',
      '<?php ?>',
      '<!DOCTYPE html>',
      '<![CDATA[x]]>',
      '> <i>quoted</i>',
      '- <i>listed</i>',
      '**<i>emphasised</i>**',
      '[<b>](x)',
      '![<img src=x onerror=alert(1)>](x)',
      '# <a href="x">heading</a>',
      '| <b> |\n|---|\n| x |',
      // A code span in parsers without tables, HTML in parsers with tables.
      'a | b\n-|-\n`a | <b>` x',
      '`not closed <b>',
      '<IMG SRC=javascript:alert(1)>',
      '<x-y data-a = \'1\' b="2">',
      'text\n<div\n class="x">',
    ]) {
      assert.equal(markdownProblem(text), HTML, JSON.stringify(text));
    }
  });

  test('cannot hide HTML in deep nesting', () => {
    for (let depth = 1; depth < 300; depth += 7) {
      for (const [open, close] of [
        ['> ', ''],
        ['- ', ''],
        ['1. ', ''],
        ['![', '](x)'],
        ['[', ']'],
        ['**a ', ' a**'],
        ['*_', '_*'],
      ] as const) {
        const nested = `${open.repeat(depth)}<b>${close.repeat(depth)}`;
        assert.ok(markdownProblem(nested) !== undefined, nested);
      }
    }
    assert.equal(markdownProblem(`${'> '.repeat(MAX_NESTING - 1)}a < b`), undefined);
    assert.match(markdownProblem(`${'> '.repeat(MAX_NESTING)}a < b`) ?? '', /50 levels/);
  });

  test('may nest 2 000 levels deep if it does not contain <', () => {
    assert.equal(markdownProblem(`${'> '.repeat(2_000)}deep`), undefined);
  });

  test('never makes the parser throw', () => {
    const pieces = [
      '<',
      '[',
      '](',
      '*',
      '_',
      '> ',
      '- ',
      '`',
      '![',
      '<!--',
      '<a b="',
      '<?',
      '&',
      '\n',
      '|',
      'a',
      '\\',
    ];
    const unit = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(unit, (parts) => {
        const part = `${parts.join('')}<`;
        const problem = markdownProblem(part.repeat(Math.floor(MAX_DESCRIPTION_LENGTH / part.length)));
        assert.ok(problem === undefined || typeof problem === 'string');
      }),
      { numRuns: 300 },
    );
  });
});
