/**
 * Owns what a description may be: Markdown without HTML. Whether there is any is asked of a real parser, because code
 * spans, autolinks and escapes look like HTML and are none. Refuses to render: descriptions are kept as they came.
 */
import MarkdownIt, { type Token } from 'markdown-it';

/** Quotes and lists must be less than this deep within each other; a list counts twice, for itself and for its item. */
export const MAX_NESTING = 50;

// The parsers do not look into what is deeper than this, so what reaches MAX_NESTING must be refused before.
const DEPTH_OF_PARSERS = 2 * MAX_NESTING;

let parsers: readonly { parse(text: string, env: object): Token[] }[] | undefined;

/**
 * Why the text is refused as a description, to follow the name of the field; undefined if it is not.
 * Takes up to 6 µs a character, if they are chosen to take long.
 */
export function markdownProblem(text: string): string | undefined {
  if (!text.includes('<')) return undefined;
  // Tables decide where a code span ends, so what is code to one reader can be HTML to another: both are asked.
  parsers ??= [
    new MarkdownIt('commonmark', { html: true, maxNesting: DEPTH_OF_PARSERS }),
    new MarkdownIt('default', { html: true, maxNesting: DEPTH_OF_PARSERS }),
  ];
  for (const parser of text.includes('|') ? parsers : parsers.slice(0, 1)) {
    const tokens = parser.parse(text, {});
    if (tokens.some(holdsHTML)) return 'must be Markdown without HTML';
    // The text within the innermost of them is one level deeper.
    if (tokens.some(({ level }) => level > MAX_NESTING)) {
      return `must nest quotes and lists less than ${MAX_NESTING} levels deep around a <`;
    }
  }
  return undefined;
}

function holdsHTML({ type, children }: Token): boolean {
  return type === 'html_block' || type === 'html_inline' || (children ?? []).some(holdsHTML);
}
