/**
 * Owns what text a record may hold, and when two texts are alike although their case differs.
 * Refuses to know which records there are.
 */

export interface TextRules {
  /** At most this many Unicode code points. */
  readonly max: number;
  /** `none`: a single line. `text`: newline and tab as well. `document`: carriage return too, as editors write it. */
  readonly controls: 'none' | 'text' | 'document';
}

// C0, DEL and C1: they have no place in a name or a description, and PostgreSQL refuses NUL.
const CONTROLS = {
  none: { pattern: /[\u0000-\u001f\u007f-\u009f]/, but: '' },
  text: { pattern: /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, but: ' other than newline and tab' },
  document: {
    pattern: /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/,
    but: ' other than line breaks and tab',
  },
} as const;

/** Why a record may not hold the text, in a sentence that begins with `name`; undefined if it may. */
export function textProblem(name: string, text: string, rules: TextRules): string | undefined {
  if (!text.isWellFormed()) return `${name} must be valid Unicode: it holds a lone surrogate`;
  const { pattern, but } = CONTROLS[rules.controls];
  if (pattern.test(text)) return `${name} must not hold control characters${but}`;
  // A code point is at most two UTF-16 units, so short texts need no counting.
  const length = text.length <= rules.max ? text.length : [...text].length;
  if (length > rules.max) {
    return `${name} must be at most ${rules.max} characters long, but it has ${length}`;
  }
  return undefined;
}

/**
 * The form in which texts are compared when case does not count, in every script: two texts that differ in case
 * only, or in how an accent is composed, have the same one. It is stored beside the text, because the databases do
 * not agree on what case is beyond ASCII; whoever changes this must fold what is stored anew, in a migration.
 */
export function fold(text: string): string {
  // Upper case, so that ß meets SS and the two small sigmas meet; after lower case, because capital ẞ stays itself; and
  // in the end lower case character by character, because the lower case of a whole word would tell the sigmas apart.
  const upper = text.normalize('NFC').toLowerCase().toUpperCase();
  return Array.from(upper, (character) => character.toLowerCase())
    .join('')
    .normalize('NFC');
}
