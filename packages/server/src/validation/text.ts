/**
 * Which texts a record may contain, and how texts are compared without regard to case.
 */

export interface TextRules {
  /** The most Unicode code points. A line break counts as one. */
  readonly max: number;
  /** The allowed control characters. `none`: none, so the text has one line. `text`: newline and tab. */
  readonly controls: 'none' | 'text';
}

/** A valid text, or the reason why it is rejected: a sentence that begins with the name of the field. */
export type TextResult =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly reason: string };

// C0, DEL and C1. PostgreSQL also rejects NUL.
const CONTROLS = {
  none: { pattern: /[\u0000-\u001f\u007f-\u009f]/, except: '' },
  text: { pattern: /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, except: ' other than newline and tab' },
} as const;

/**
 * Checks a text from a client. Every text of several lines must pass here: the result has a newline for each
 * line break of another system (CRLF and CR). Forms of browsers always send CRLF.
 */
export function parseText(name: string, input: string, rules: TextRules): TextResult {
  const text = rules.controls === 'text' ? input.replace(/\r\n?/g, '\n') : input;
  const reason = textProblem(name, text, rules);
  return reason === undefined ? { ok: true, text } : { ok: false, reason };
}

/** Why a record may not contain the text, as a sentence that begins with `name`; undefined if it may. */
export function textProblem(name: string, text: string, rules: TextRules): string | undefined {
  if (!text.isWellFormed()) return `${name} must be valid Unicode: it holds a lone surrogate`;
  const { pattern, except } = CONTROLS[rules.controls];
  if (pattern.test(text)) {
    return rules.controls === 'none' && /[\r\n]/.test(text)
      ? `${name} must be one line: it has a line break`
      : `${name} must not hold control characters${except}`;
  }
  // A text has at most as many code points as UTF-16 units, so short texts need no count.
  const length = text.length <= rules.max ? text.length : [...text].length;
  if (length > rules.max) {
    return `${name} must be at most ${rules.max} characters long, but it has ${length}`;
  }
  return undefined;
}

/**
 * The form for comparisons without regard to case, in every script. Texts that differ only in case, or in the
 * composition of an accent, have the same form. It is stored next to the text, because databases differ in
 * case rules beyond ASCII. A change of this function needs a migration that folds the stored texts again.
 */
export function fold(text: string): string {
  // Upper case makes ß equal to SS, and the two small sigmas equal. It follows lower case, because upper case
  // does not change a capital ẞ. The final lower case is per character, because that of a word has two forms
  // of sigma.
  const upper = text.normalize('NFC').toLowerCase().toUpperCase();
  return Array.from(upper, (character) => character.toLowerCase())
    .join('')
    .normalize('NFC');
}

/**
 * Marks that search ignores: accents of Latin, Greek and Cyrillic, and the points of Hebrew and Arabic. Marks
 * of other scripts, such as vowels of Hindi and Thai or the voicing of kana, make other letters.
 */
const ACCENTS =
  /[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]|[\u1ab0-\u1aff]|[\u1dc0-\u1dff]|[\u20d0-\u20ff]|[\ufe20-\ufe2f]/g;

/** Letters that people type without their stroke or as two letters. Unicode does not decompose them. */
const PLAIN_LETTERS: ReadonlyMap<string, string> = new Map([
  ['æ', 'ae'],
  ['œ', 'oe'],
  ['ø', 'o'],
  ['đ', 'd'],
  ['ð', 'd'],
  ['ħ', 'h'],
  ['ł', 'l'],
  ['ŧ', 't'],
  ['þ', 'th'],
]);

const PLAIN_LETTER = new RegExp(`[${[...PLAIN_LETTERS.keys()].join('')}]`, 'g');

/**
 * The form for searches without regard to case, accents and compatibility forms: `istanbul` finds `İstanbul`,
 * `strasse` finds `Straße`, `creme` finds `Crème`, `fine` finds `ﬁne`. A part of a text has a part of its
 * form. Columns may store it, so a change of this function needs a migration that folds them again.
 */
export function foldForSearch(text: string): string {
  const plain = fold(text.normalize('NFKD')).normalize('NFKD').replace(ACCENTS, '');
  // Composed again, so that a part of a Korean syllable does not find the syllable.
  return plain.replace(PLAIN_LETTER, (letter) => PLAIN_LETTERS.get(letter) ?? letter).normalize('NFC');
}

/** The Levenshtein distance: the fewest insertions, deletions and substitutions that change `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const substitution = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(substitution, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
