/**
 * Finds the prose in a file: paragraphs of Markdown, comments, test names and messages in code.
 * A passage is what stands together: a paragraph, a list item, a tag of a docstring.
 */
import { extname } from 'node:path';
import { parse } from '@babel/parser';
import MarkdownIt from 'markdown-it';

export interface Passage {
  /** The line on which it begins, from 1. */
  readonly line: number;
  readonly text: string;
}

/** A text in code with fewer words is a name or a key, not prose. */
const MIN_WORDS = 4;

export function passagesOf(path: string, text: string): Passage[] {
  switch (extname(path)) {
    case '.md':
      return markdownPassages(text);
    case '.ts':
    case '.tsx':
    case '.mjs':
    case '.js':
      return codePassages(text, extname(path) === '.tsx');
    case '.html':
      return pagePassages(text);
    default:
      return hashPassages(text);
  }
}

const markdown = new MarkdownIt();

function markdownPassages(text: string): Passage[] {
  const passages: Passage[] = [];
  let line = 1;
  for (const token of markdown.parse(text, {})) {
    if (token.map) line = token.map[0] + 1;
    if (token.type !== 'inline') continue;
    const parts = (token.children ?? []).map((child) => {
      if (child.type === 'code_inline') return '`code`';
      return child.type === 'softbreak' || child.type === 'hardbreak' ? ' ' : child.content;
    });
    passages.push({ line, text: parts.join('') });
  }
  return passages;
}

/** Strings, and the parts of template literals, as the parser labels them. */
const TEXT_TOKENS: readonly string[] = ['string', '...`', '...${'];

function codePassages(text: string, hasMarkup: boolean): Passage[] {
  const { comments, tokens } = parse(text, {
    sourceType: 'module',
    plugins: hasMarkup ? ['typescript', 'jsx'] : ['typescript'],
    errorRecovery: true,
    tokens: true,
  });
  const spoken = (tokens ?? []).flatMap((token): Passage[] => {
    if (!TEXT_TOKENS.includes(token.type.label) || typeof token.value !== 'string') return [];
    // The parts of a template keep their delimiters.
    const value = token.value.replace(/^[`}]|`$|\$\{$/g, '').trim();
    if (value.split(/\s+/).length < MIN_WORDS) return [];
    // Source text of tests, SQL and HTTP heads is not prose.
    if (/[{};=]|\|\||^\s*(select|insert|update|create)\b|\r|: \w+\/\d/i.test(value)) return [];
    // Each indented line of a usage text is an entry of a list.
    const first = token.loc.start.line;
    return value
      .split(/\n(?=\s)/)
      .map((text: string) => ({ line: first, text: text.replace(/\s+/g, ' ').trim() }));
  });
  return [...commentPassages(comments ?? []), ...spoken];
}

interface Comment {
  readonly type: string;
  readonly value: string;
  readonly loc?: { start: { line: number; column: number }; end: { line: number } } | null;
}

function commentPassages(comments: readonly Comment[]): Passage[] {
  const blocks: { line: number; end: number; column: number; lines: string[] }[] = [];
  for (const { type, value, loc } of comments) {
    if (!loc || /^\s*biome-ignore|^!/.test(value)) continue;
    const { line, column } = loc.start;
    if (type === 'CommentBlock') {
      const lines = value.split('\n').map((part) => part.replace(/^\s*\*? ?/, ''));
      blocks.push({ line, end: Number.NaN, column, lines });
      continue;
    }
    const last = blocks.at(-1);
    if (last?.end === line - 1 && last.column === column) {
      last.lines.push(value.trim());
      last.end = line;
    } else blocks.push({ line, end: line, column, lines: [value.trim()] });
  }
  return blocks.flatMap(({ line, lines }) => paragraphs(line, lines));
}

/** Empty lines, list items and tags begin a new passage. */
function paragraphs(first: number, lines: readonly string[]): Passage[] {
  const passages: { line: number; text: string }[] = [];
  let open = false;
  lines.forEach((raw, index) => {
    const text = raw.trim();
    const begins = /^([-*] |\d+\. |@\w+|\|)/.test(text);
    if (text === '') open = false;
    else if (open && !begins) {
      const last = passages.at(-1);
      if (last) last.text += ` ${text}`;
    } else {
      passages.push({
        line: first + index,
        text: text.replace(/^([-*] |\d+\. |@(param|property) \S+ |@\w+ )/, ''),
      });
      open = true;
    }
  });
  // A tag in the middle of a line ends the sentence before it.
  return passages.flatMap(({ line, text }) =>
    text.split(/ (?=@(?:throws|returns|param)\b)/).map((part) => ({ line, text: part })),
  );
}

/** All other files: comments that begin with #, // or *. Their other text is not read. */
function hashPassages(text: string): Passage[] {
  const lines = text.split('\n').map((line) => /^\s*(?:#|\/\/|\/?\*)\s?(.*)$/.exec(line)?.[1] ?? '');
  return paragraphs(1, lines);
}

/** Pages: the text between two tags is a passage. */
function pagePassages(text: string): Passage[] {
  return [...text.matchAll(/>([^<>]+)</g)].flatMap(({ 1: content = '', index }) => {
    const line = text.slice(0, index).split('\n').length;
    const passage = content.replace(/\s+/g, ' ').trim();
    return passage === '' ? [] : [{ line, text: passage }];
  });
}
