import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fold, foldForSearch, parseText, textProblem } from '../../src/validation/text.ts';

describe('folding', () => {
  test('gives the same form to texts that differ only in case, in every script with case', () => {
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

  test('gives the same form to each character in upper and in lower case', () => {
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

  test('does not change a folded text, and gives the same form to a text in upper case', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        assert.equal(fold(fold(text)), fold(text));
        assert.equal(fold(text.normalize('NFC').toUpperCase()), fold(text));
      }),
      { numRuns: 2_000 },
    );
  });

  test('keeps each part of a text as a part of the folded text', () => {
    const words = fc.array(fc.constantFrom('Straße ', 'ΟΔΟΣ', ' Crème', 'İ', 'ß', '%', '_', 'Å', '🍋', 'x'));
    fc.assert(
      fc.property(words, words, words, (before, middle, after) => {
        const whole = [...before, ...middle, ...after].join('');
        assert.ok(fold(whole).includes(fold(middle.join(''))));
      }),
    );
  });
});

describe('folding for a search', () => {
  test('finds a text by what people type for it', () => {
    for (const [text, typed] of [
      ['İstanbul', 'istanbul'],
      ['İstanbul', 'İSTANBUL'],
      ['ISTANBUL', 'ıstanbul'],
      ['Diyarbakır', 'diyarbakir'],
      ['DİYARBAKIR', 'diyarbakır'],
      ['Crème brûlée', 'creme brulee'],
      ['Cre\u0300me', 'crème'],
      ['creme', 'CRÈME'],
      ['Straße', 'strasse'],
      ['STRASSE', 'straße'],
      ['Größe', 'grosse'],
      ['Smörgåsbord', 'smorgasbord'],
      ['Øresund', 'oresund'],
      ['Łódź', 'lodz'],
      ['Đà Nẵng', 'da nang'],
      ['Ærø', 'aero'],
      ['Þórshöfn', 'thorshofn'],
      ['Œuvre', 'oeuvre'],
      ['Šťáva', 'stava'],
      ['Năm', 'nam'],
      ['Ёлка', 'елка'],
      ['Καφές', 'καφεσ'],
      ['ΣΊΣΥΦΟΣ', 'σισυφος'],
      ['ﬁne', 'FINE'],
      ['ＡＢＣ１２３', 'abc123'],
      ['x²', 'x2'],
      ['™', 'tm'],
      ['Ⅷ', 'viii'],
      ['ｶﾌｪ', 'カフェ'],
      ['a\u00a0b', 'a b'],
      ['שָׁלוֹם', 'שלום'],
      ['مُحَمَّد', 'محمد'],
      ['الإمارات', 'الامارات'],
      ['𝓢𝓪𝓵𝓮', 'sale'],
    ] as const) {
      assert.ok(foldForSearch(text).includes(foldForSearch(typed)), `${text} ${typed}`);
    }
  });

  test('does not find other letters', () => {
    for (const [text, typed] of [
      ['が', 'か'],
      ['かばん', 'がばん'],
      ['한글', '하'],
      ['कि', 'क ि'],
      ['กี', 'กา'],
      ['cafe', 'cafë s'],
    ] as const) {
      assert.ok(!foldForSearch(text).includes(foldForSearch(typed)), `${text} ${typed}`);
    }
  });

  test('gives one form to each character, its cases and its form', () => {
    for (let code = 0; code < 0x110000; code += 1) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const character = String.fromCodePoint(code);
      const forms = [character.toUpperCase(), character.toLowerCase(), character.normalize('NFKD')];
      if (forms.every((form) => form === character)) continue;
      const folded = foldForSearch(character);
      const [upper, lower] = [character.toUpperCase(), character.toLowerCase()].map(foldForSearch);
      const all = [folded, folded, folded];
      assert.deepEqual([foldForSearch(folded), upper, lower], all, `U+${code.toString(16)} ${character}`);
    }
  });

  test('does not change a folded text, and composition makes no difference', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const folded = foldForSearch(text);
        assert.equal(foldForSearch(folded), folded);
        for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) {
          assert.equal(foldForSearch(text.normalize(form)), folded, form);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('keeps each part of a text as a part of the folded text', () => {
    const word = fc.constantFrom(
      'Straße ',
      'ΟΔΟΣ',
      ' Crème',
      'İ',
      'ı',
      'ß',
      '%',
      '_',
      'Å',
      '🍋',
      'Æ',
      '한',
      'x',
    );
    const words = fc.array(word);
    fc.assert(
      fc.property(words, words, words, (before, middle, after) => {
        const whole = [...before, ...middle, ...after].join('');
        assert.ok(foldForSearch(whole).includes(foldForSearch(middle.join(''))));
      }),
    );
  });
});

describe('a text', () => {
  test('is rejected if it has too many code points, with its name, the limit and its length', () => {
    const rules = { max: 3, controls: 'none' } as const;
    assert.equal(textProblem('title', '🍋🍋🍋', rules), undefined);
    assert.equal(
      textProblem('title', 'four', rules),
      'title must be at most 3 characters long, but it has 4',
    );
  });

  test('is rejected if it has a control character that its rules do not allow', () => {
    const kinds = { none: '', text: '\n\t' } as const;
    for (const [controls, allowed] of Object.entries(kinds)) {
      for (const code of [...Array(0x20).keys(), 0x7f, 0x80, 0x9f]) {
        const character = String.fromCharCode(code);
        const problem = textProblem('x', `a${character}b`, { max: 9, controls: controls as 'none' });
        assert.equal(problem === undefined, allowed.includes(character), `${controls} ${code}`);
      }
    }
  });

  test('has a newline for each line break of another system', () => {
    const rules = { max: 20, controls: 'text' } as const;
    for (const [input, text] of [
      ['a\r\nb', 'a\nb'],
      ['a\rb', 'a\nb'],
      ['a\nb', 'a\nb'],
      ['\r\n\r\r\n', '\n\n\n'],
      ['a\n\rb', 'a\n\nb'],
      ['\ta\r', '\ta\n'],
    ] as const) {
      assert.deepEqual(parseText('x', input, rules), { ok: true, text });
    }
    // A line break counts as one character.
    assert.equal(parseText('x', '\r\n'.repeat(20), rules).ok, true);
    assert.equal(parseText('x', '\r\n'.repeat(21), rules).ok, false);
  });

  test('of one line is rejected if it has a line break of any system', () => {
    for (const input of ['a\nb', 'a\r\nb', 'a\rb']) {
      const reason = 'title must be one line: it has a line break';
      assert.deepEqual(parseText('title', input, { max: 9, controls: 'none' }), { ok: false, reason });
    }
  });

  test('is rejected if it has a lone surrogate', () => {
    assert.match(textProblem('x', '\ud83c', { max: 9, controls: 'text' }) ?? '', /lone surrogate/);
  });
});
