/**
 * Checks the prose of the repository: banned phrases, long sentences and long lines.
 * Run `npm run lint:prose`, or `npm run lint:prose -- PATH…` for some files or folders.
 *
 * The banned phrases are in phrases.txt. The rules for writing are in CONTRIBUTING.md.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type Passage, passagesOf } from './passages.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The most words in one sentence. */
const MAX_WORDS = 25;
/** The most columns in one line of a comment, of Markdown or of code without text. */
const MAX_COLUMNS = 110;

/** Files that a program writes, and texts that are quoted from elsewhere. */
const EXCLUDED =
  /^(docs\/openapi\.json|packages\/client\/src\/contract\.ts|bench\/results\/|tools\/prose\/phrases\.txt)|(^|\/)LICENSE$|package-lock\.json$|requirements\.txt$|\.svg$/;

const CHECKED = new Set([
  '.ts',
  '.tsx',
  '.mjs',
  '.js',
  '.md',
  '.html',
  '.css',
  '.sh',
  '.py',
  '.yml',
  '.yaml',
  '.go',
  '.toml',
]);

/** Scripts without an extension. Their comments begin with #. */
const SCRIPTS = /^(\.ci\/run|tools\/hooks\/[a-z-]+)$/;

interface Problem {
  readonly line: number;
  readonly text: string;
}

interface BannedPhrase {
  readonly pattern: RegExp;
  readonly advice: string;
}

const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });

export function readPhrases(text: string): BannedPhrase[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [pattern = '', advice = ''] = line.split(' => ');
      return { pattern: new RegExp(pattern, 'i'), advice };
    });
}

/** The problems of one file. `path` decides how the text is read. */
export function lintText(path: string, text: string, phrases: readonly BannedPhrase[]): Problem[] {
  const passages = passagesOf(path, text);
  return [
    ...passages.flatMap((passage) => [...bannedPhrases(passage, phrases), ...longSentences(passage)]),
    ...longLines(path, text),
  ].sort((one, other) => one.line - other.line);
}

function bannedPhrases({ line, text }: Passage, phrases: readonly BannedPhrase[]): Problem[] {
  return phrases.flatMap(({ pattern, advice }) => {
    const match = pattern.exec(text);
    return match ? [{ line, text: `"${match[0]}": ${advice}` }] : [];
  });
}

function longSentences({ line, text }: Passage): Problem[] {
  return sentencesOf(text).flatMap((sentence) => {
    const words = countWords(sentence);
    if (words <= MAX_WORDS) return [];
    return [
      { line, text: `a sentence of ${words} words, at most ${MAX_WORDS}: "${sentence.slice(0, 60)}…"` },
    ];
  });
}

/** The sentences of a passage. Code between backticks becomes one capitalised word, to begin a sentence. */
export function sentencesOf(text: string): string[] {
  const plain = text.replace(/`[^`]*`/g, 'Code');
  return [...sentences.segment(plain)].map(({ segment }) => segment.trim()).filter((part) => part !== '');
}

/** The words with a letter or a digit in them. */
export function countWords(sentence: string): number {
  return sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

function longLines(path: string, text: string): Problem[] {
  const isMarkdown = extname(path) === '.md';
  return text.split('\n').flatMap((line, index) => {
    if (line.length <= MAX_COLUMNS || mayBeLong(line, isMarkdown)) return [];
    return [{ line: index + 1, text: `${line.length} columns, at most ${MAX_COLUMNS}` }];
  });
}

/** Lines that cannot be wrapped: table rows, link targets, and code with text. The formatter wraps code. */
function mayBeLong(line: string, isMarkdown: boolean): boolean {
  if (/https?:\/\/\S{40,}/.test(line)) return true;
  if (isMarkdown) return /^\s*\|/.test(line) || /^\s*(\[[^\]]+\]:|\S+$)/.test(line);
  const isComment = /^\s*(\/\/|\/?\*|#)/.test(line);
  return !isComment && /['"`/|]/.test(line);
}

function listFiles(paths: readonly string[]): string[] {
  const options = { cwd: ROOT, encoding: 'utf8' } as const;
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...paths], options)
    .split('\n')
    .filter((file) => (CHECKED.has(extname(file)) || SCRIPTS.test(file)) && !EXCLUDED.test(file));
}

function main(paths: readonly string[]): void {
  const phrases = readPhrases(readFileSync(join(import.meta.dirname, 'phrases.txt'), 'utf8'));
  let count = 0;
  for (const file of listFiles(paths)) {
    for (const { line, text } of lintText(file, readFileSync(join(ROOT, file), 'utf8'), phrases)) {
      process.stdout.write(`${file}:${line}: ${text}\n`);
      count += 1;
    }
  }
  process.stdout.write(count === 0 ? 'prose: no problems\n' : `prose: ${count} problems\n`);
  process.exitCode = count === 0 ? 0 : 1;
}

if (import.meta.main) main(process.argv.slice(2));
