import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fold, textProblem } from '../../src/validation/text.ts';

describe('folding', () => {
  test('is the same for texts that differ in case only, in every script that has case', () => {
    for (const [one, other] of [
      ['Straße', 'STRASSE'],
      ['Straße', 'STRAẞE'],
      ['Σίσυφος', 'ΣΊΣΥΦΟΣ'],
      ['ёлка', 'ЁЛКА'],
      ['ﬁne', 'FINE'],
      ['Ⅷ', 'ⅷ'],
      ['𐐀', '𐐨'],
      ['Ꮳ', 'ꮳ'],
      ['é', 'E\u0301'],
    ] as const) {
      assert.equal(fold(one), fold(other), `${one} ${other}`);
    }
    assert.notEqual(fold('e'), fold('é'));
  });

  test('is the same for every single character in upper and in lower case', () => {
    for (let code = 0; code < 0x110000; code += 1) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const character = String.fromCodePoint(code);
      const [upper, lower] = [character.toUpperCase(), character.toLowerCase()];
      if (upper === character && lower === character) continue;
      const folded = fold(character);
      const all = [folded, folded, folded];
      assert.deepEqual([fold(folded), fold(upper), fold(lower)], all, `U+${code.toString(16)} ${character}`);
    }
  });

  test('changes nothing the second time, and finds a text in itself in upper and in lower case', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        assert.equal(fold(fold(text)), fold(text));
        assert.equal(fold(text.normalize('NFC').toUpperCase()), fold(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test('lets every part of a text be found in it', () => {
    const words = fc.array(fc.constantFrom('Straße ', 'ΟΔΟΣ', ' Crème', 'İ', 'ß', '%', '_', 'Å', '🍋', 'x'));
    fc.assert(
      fc.property(words, words, words, (before, middle, after) => {
        const whole = [...before, ...middle, ...after].join('');
        assert.ok(fold(whole).includes(fold(middle.join(''))));
      }),
    );
  });
});

describe('a text', () => {
  test('is refused beyond its length in code points, with its name, the limit and its length', () => {
    const rules = { max: 3, controls: 'none' } as const;
    assert.equal(textProblem('title', '🍋🍋🍋', rules), undefined);
    assert.equal(
      textProblem('title', 'four', rules),
      'title must be at most 3 characters long, but it has 4',
    );
  });

  test('is refused for control characters, but for those that its kind may have', () => {
    const kinds = { none: '', text: '\n\t', document: '\n\t\r' } as const;
    for (const [controls, allowed] of Object.entries(kinds)) {
      for (const code of [...Array(0x20).keys(), 0x7f, 0x80, 0x9f]) {
        const character = String.fromCharCode(code);
        const problem = textProblem('x', `a${character}b`, { max: 9, controls: controls as 'none' });
        assert.equal(problem === undefined, allowed.includes(character), `${controls} ${code}`);
      }
    }
  });

  test('is refused for a lone surrogate', () => {
    assert.match(textProblem('x', '\ud83c', { max: 9, controls: 'text' }) ?? '', /lone surrogate/);
  });
});
