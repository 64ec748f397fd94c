import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAmount } from '../../src/catalog/amount.ts';
import { Violations } from '../../src/validation/violations.ts';

function read(value: unknown, rules: { signed: boolean; currency?: string } = { signed: true }) {
  const violations = new Violations();
  const amount = parseAmount(value, ['basePrice'], rules, violations);
  return violations.any ? { errors: violations.tree } : { amount };
}

const digits = (min: number, max: number) => fc.stringMatching(new RegExp(`^[0-9]{${min},${max}}$`));
const whole = fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9][0-9]{0,17}$/));
const decimal = fc
  .tuple(fc.constantFrom('', '-'), whole, fc.option(digits(1, 9), { nil: undefined }))
  .map(([sign, before, after]) => `${sign}${before}${after === undefined ? '' : `.${after}`}`);

describe('an amount', () => {
  test('keeps every decimal of up to 18 digits before the point and 9 after it exactly as written', () => {
    fc.assert(
      fc.property(decimal, (valueDecimal) => {
        const amount = { currency: 'USD', valueDecimal };
        assert.deepEqual(read(amount), { amount });
        // Also after a round trip through JSON.
        assert.deepEqual(JSON.parse(JSON.stringify(read(amount))), { amount });
      }),
      { numRuns: 2_000 },
    );
    const amount = { currency: 'USD', valueDecimal: '999999999999999999.999999999' };
    assert.deepEqual(read(amount), { amount });
    assert.notEqual(String(Number(amount.valueDecimal)), amount.valueDecimal);
  });

  test('refuses any text that is not such a decimal', () => {
    const grammar = /^-?(0|[1-9]\d*)(\.\d+)?$/;
    const near = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123456789.-+eE ,_\u0660x') }),
      fc.tuple(whole, digits(10, 12)).map((parts) => parts.join('.')),
      digits(19, 40).map((text) => `1${text}`),
      decimal.map((text) => ` ${text}`),
      decimal.map((text) => `0${text.replace('-', '')}`),
    );
    fc.assert(
      fc.property(near, (valueDecimal) => {
        const [before = '', after = ''] = valueDecimal.replace('-', '').split('.');
        fc.pre(!grammar.test(valueDecimal) || before.length > 18 || after.length > 9);
        const { errors } = read({ currency: 'USD', valueDecimal });
        assert.match(JSON.stringify(errors), /18 digits.*9 after/);
      }),
      { numRuns: 2_000 },
    );
  });

  test('refuses numbers, because they lose digits', () => {
    for (const valueDecimal of [12.5, 0, undefined, null, true, ['1'], { toString: () => '1' }]) {
      const errors = {
        basePrice: { valueDecimal: 'valueDecimal must be a string, so that no digit is lost' },
      };
      assert.deepEqual(read({ currency: 'USD', valueDecimal }), { errors });
    }
  });

  test('may be negative only if the rules allow it', () => {
    for (const valueDecimal of ['-1', '-0', '-0.000000001']) {
      assert.ok(read({ currency: 'USD', valueDecimal }).amount);
      const errors = { basePrice: { valueDecimal: 'valueDecimal must not be negative' } };
      assert.deepEqual(read({ currency: 'USD', valueDecimal }, { signed: false }), { errors });
    }
  });

  test('has a currency of ISO 4217 in capital letters, or exactly the required currency', () => {
    for (const currency of ['USD', 'EUR', 'JPY', 'KWD', 'CLF', 'XAU', 'XXX', 'XCG', 'ZWG', 'SLE']) {
      assert.ok(read({ currency, valueDecimal: '1' }).amount, currency);
    }
    for (const currency of ['usd', 'DEM', 'HRK', 'BTC', 'US', 'USDT', '', ' USD', 840, null, undefined]) {
      const { errors } = read({ currency, valueDecimal: '1' });
      assert.match(JSON.stringify(errors), /ISO 4217/, String(currency));
    }
    assert.deepEqual(read({ currency: 'EUR', valueDecimal: '1' }, { signed: true, currency: 'USD' }), {
      errors: { basePrice: { currency: 'currency must be USD, the currency of basePrice' } },
    });
  });

  test('must be an object', () => {
    for (const value of [undefined, null, '1 USD', 1, [], ['USD', '1']]) {
      const reason = 'basePrice must be an object with currency and valueDecimal';
      assert.deepEqual(read(value), { errors: { basePrice: { currency: reason, valueDecimal: reason } } });
    }
  });
});
