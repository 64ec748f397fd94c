import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { lintText, readPhrases } from './lint.ts';

const phrases = readPhrases(['# A comment.', '', '\\bfrobnicate\\b => repair'].join('\n'));
const BANNED = 'Please frobnicate the cache.';
const LONG = `The server ${'answers and '.repeat(13)}waits.`;

/** The problems of a text as `LINE: TEXT`. */
function lint(path: string, ...lines: string[]): string[] {
  return lintText(path, lines.join('\n'), phrases).map(({ line, text }) => `${line}: ${text}`);
}

describe('a banned phrase is found with its line and advice', () => {
  const cases: Record<string, [path: string, line: number, lines: string[]]> = {
    'in a line comment': ['a.ts', 2, ['const a = 1;', `// ${BANNED}`]],
    'in a docstring': ['a.ts', 2, ['/**', ` * ${BANNED}`, ' */', 'const a = 1;']],
    'in the name of a test': ['a.test.ts', 1, [`test('please frobnicate the cache', () => {});`]],
    'in an error message': ['a.ts', 1, [`throw new Error(\`please frobnicate the cache \${name}\`);`]],
    'in Markdown': ['a.md', 3, ['# Title', '', BANNED]],
    'in a list of Markdown': ['a.md', 2, ['- One item.', `- ${BANNED}`]],
    'in a comment of a configuration file': ['a.yml', 2, ['name: a', `# ${BANNED}`]],
  };
  for (const [name, [path, line, lines]] of Object.entries(cases)) {
    test(name, () => {
      assert.deepEqual(lint(path, ...lines), [`${line}: "frobnicate": repair`]);
    });
  }

  test('across two lines of a comment', () => {
    const [phrase] = readPhrases('\\bgoes on\\b => continues');
    assert.ok(phrase);
    assert.deepEqual(
      lintText('a.ts', '// The server goes\n// on with its work.', [phrase]).map(({ line }) => line),
      [1],
    );
  });
});

describe('a sentence over 25 words is found', () => {
  const wrapped = LONG.replace(/(.{80}) /g, '$1\n').split('\n');
  const cases: Record<string, [path: string, lines: string[]]> = {
    'in a comment': ['a.ts', wrapped.map((line) => `// ${line}`)],
    'in the name of a test': ['a.test.ts', [`test('${LONG}', () => {});`]],
    'in Markdown': ['a.md', wrapped],
  };
  for (const [name, [path, lines]] of Object.entries(cases)) {
    test(name, () => {
      assert.match(
        lint(path, ...lines).join('\n'),
        /^1: a sentence of 29 words, at most 25: "The server .*"$/,
      );
    });
  }

  test('but two sentences of 14 words are not', () => {
    const sentence = `The server ${'answers and '.repeat(5)}finally waits.`;
    assert.deepEqual(lint('a.md', sentence, sentence), []);
  });

  test('and code between backticks counts as one word', () => {
    const code = `\`${'npm test '.repeat(9)}\``;
    assert.deepEqual(lint('a.md', `Run ${code}`, `and ${code}`, 'after each change.'), []);
  });
});

describe('a line over 110 columns is found', () => {
  const words = (count: number) => 'word. '.repeat(count).trim();

  test('in a comment and in Markdown', () => {
    assert.deepEqual(lint('a.ts', `// ${words(20)}`), ['1: 122 columns, at most 110']);
    assert.deepEqual(lint('a.md', words(20)), ['1: 119 columns, at most 110']);
  });

  test('but not in tables and links, which cannot be wrapped', () => {
    assert.deepEqual(
      lint('a.md', `| ${words(20)} |`, '|---|', `[a]: https://example.com/${'a'.repeat(100)}`),
      [],
    );
  });
});

test('code, names and short texts are not prose', () => {
  assert.deepEqual(lint('a.ts', `const frobnicate = 'frobnicate';`, 'frobnicate(frobnicate);'), []);
});

test('each banned phrase of the list is a valid expression with advice', () => {
  for (const { advice } of readPhrases(readFileSync(join(import.meta.dirname, 'phrases.txt'), 'utf8'))) {
    assert.notEqual(advice, '');
  }
});
