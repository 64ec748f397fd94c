/**
 * The rule for descriptions: Markdown without HTML. A real parser finds the HTML, because code spans,
 * autolinks and escapes look like HTML and are not. Descriptions are stored as they are and never rendered
 * here.
 */
import MarkdownIt, { type Token } from 'markdown-it';

/**
 * Quotes and lists must nest fewer levels deep than this. A list counts as two levels: one for the list, one
 * for its item.
 */
export const MAX_NESTING = 50;

// The parsers do not look deeper than this. So a text that reaches MAX_NESTING must be refused.
const PARSER_DEPTH = 2 * MAX_NESTING;

let parsers: readonly { parse(text: string, env: object): Token[] }[] | undefined;

/**
 * Checks a description.
 * @returns the reason for a refusal, which continues a sentence that starts with the name of the field.
 * Undefined if the text is allowed. The time is at most about 6 µs per character, for texts that are made to
 * be slow.
 */
export function markdownProblem(text: string): string | undefined {
  if (!text.includes('<')) return undefined;
  // Tables decide where a code span ends. The same text can be code for one reader and HTML for another, so
  // both dialects are parsed.
  parsers ??= [
    new MarkdownIt('commonmark', { html: true, maxNesting: PARSER_DEPTH }),
    new MarkdownIt('default', { html: true, maxNesting: PARSER_DEPTH }),
  ];
  for (const parser of text.includes('|') ? parsers : parsers.slice(0, 1)) {
    const tokens = parser.parse(text, {});
    if (tokens.some(containsHTML)) return 'must be Markdown without HTML';
    // Text inside the innermost block is one level deeper than the block.
    if (tokens.some(({ level }) => level > MAX_NESTING)) {
      return `must nest quotes and lists less than ${MAX_NESTING} levels deep around a <`;
    }
  }
  return undefined;
}

function containsHTML({ type, children }: Token): boolean {
  return type === 'html_block' || type === 'html_inline' || (children ?? []).some(containsHTML);
}
