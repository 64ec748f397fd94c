/**
 * Which texts a record may contain, and how texts are compared without regard to case.
 */

export interface TextRules {
  /** The most Unicode code points. */
  readonly max: number;
  /**
   * The allowed control characters. `none`: none. `text`: newline and tab. `document`: also carriage return.
   */
  readonly controls: 'none' | 'text' | 'document';
}

// C0, DEL and C1. PostgreSQL also rejects NUL.
const CONTROLS = {
  none: { pattern: /[\u0000-\u001f\u007f-\u009f]/, except: '' },
  text: { pattern: /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, except: ' other than newline and tab' },
  document: {
    pattern: /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/,
    except: ' other than line breaks and tab',
  },
} as const;

/** Why a record may not contain the text, as a sentence that begins with `name`; undefined if it may. */
export function textProblem(name: string, text: string, rules: TextRules): string | undefined {
  if (!text.isWellFormed()) return `${name} must be valid Unicode: it holds a lone surrogate`;
  const { pattern, except } = CONTROLS[rules.controls];
  if (pattern.test(text)) return `${name} must not hold control characters${except}`;
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
