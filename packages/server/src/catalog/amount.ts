/**
 * An amount of money: a currency and an exact decimal. The decimal stays text and never becomes a
 * floating-point number.
 */
import { codes } from 'currency-codes';
import type { Path, Violations } from '../validation/violations.ts';

export interface Amount {
  /** An ISO 4217 code of three capital letters. */
  readonly currency: string;
  /**
   * A decimal number with at most 18 digits before the point and 9 after it, exactly as the client wrote it.
   */
  readonly valueDecimal: string;
}

// The Caribbean guilder (XCG) is newer than the edition of ISO 4217 in the package (June 2024).
const CURRENCIES: ReadonlySet<string> = new Set([...codes(), 'XCG']);

// The number grammar of JSON without exponents.
const DECIMAL = /^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?$/;

export interface AmountRules {
  /** True if the amount may be negative. */
  readonly signed: boolean;
  /** The required currency, if another amount fixes it. */
  readonly currency?: string | undefined;
}

/**
 * Reads an amount from untyped input. Problems go to `violations`, below `path`.
 * The result is usable only if there are no violations.
 */
export function parseAmount(value: unknown, path: Path, rules: AmountRules, violations: Violations): Amount {
  const field = String(path.at(-1));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const reason = `${field} must be an object with currency and valueDecimal`;
    violations.add([...path, 'currency'], reason);
    violations.add([...path, 'valueDecimal'], reason);
    return { currency: '', valueDecimal: '' };
  }
  const { currency, valueDecimal } = value as { currency?: unknown; valueDecimal?: unknown };
  const amount = { currency: '', valueDecimal: '' };

  if (typeof currency !== 'string' || !CURRENCIES.has(currency)) {
    violations.add(
      [...path, 'currency'],
      'currency must be an ISO 4217 code of three capital letters, such as USD',
    );
  } else {
    amount.currency = currency;
    if (rules.currency && currency !== rules.currency) {
      violations.add([...path, 'currency'], `currency must be ${rules.currency}, the currency of basePrice`);
    }
  }

  if (typeof valueDecimal !== 'string') {
    violations.add([...path, 'valueDecimal'], 'valueDecimal must be a string, so that no digit is lost');
  } else if (!DECIMAL.test(valueDecimal)) {
    violations.add(
      [...path, 'valueDecimal'],
      'valueDecimal must be a decimal number such as 12.987654321, with at most 18 digits before the point and 9 after it',
    );
  } else if (!rules.signed && valueDecimal.startsWith('-')) {
    violations.add([...path, 'valueDecimal'], 'valueDecimal must not be negative');
  } else {
    amount.valueDecimal = valueDecimal;
  }
  return amount;
}

/**
 * Reads the price modifier of an option. It has the currency of `basePrice` and may be negative.
 * Problems go to `violations`, as in `parseAmount`. Undefined if the input has no modifier.
 */
export function parsePriceModifier(
  value: unknown,
  path: Path,
  basePrice: Amount,
  violations: Violations,
): Amount | undefined {
  if (value === undefined || value === null) return undefined;
  return parseAmount(value, path, { signed: true, currency: basePrice.currency }, violations);
}
