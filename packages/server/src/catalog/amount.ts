/**
 * Owns what an Amount is: a currency and an exact decimal, kept as the text it was written as. Nothing here or
 * elsewhere turns it into a floating-point number.
 */
import { codes } from 'currency-codes';
import type { Path, Violations } from '../validation/violations.ts';

export interface Amount {
  /** An ISO 4217 code of three capital letters. */
  readonly currency: string;
  /** A decimal number of at most 18 digits before the point and 9 after it, exactly as the client wrote it. */
  readonly valueDecimal: string;
}

// The Caribbean guilder came after the edition of ISO 4217 in the package (June 2024).
const CURRENCIES: ReadonlySet<string> = new Set([...codes(), 'XCG']);

// The number grammar of JSON without exponents.
const DECIMAL = /^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?$/;

export interface AmountRules {
  /** True where the amount may be below zero. */
  readonly signed: boolean;
  /** The currency it must have, where another amount decides that. */
  readonly currency?: string | undefined;
}

/**
 * Reads an amount as a client sent it; what is wrong goes to `violations`, below `path`.
 * What it returns is of use only if nothing was.
 */
export function parseAmount(value: unknown, path: Path, rules: AmountRules, violations: Violations): Amount {
  const what = String(path.at(-1));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const reason = `${what} must be an object with currency and valueDecimal`;
    violations.add([...path, 'currency'], reason);
    violations.add([...path, 'valueDecimal'], reason);
    return { currency: '', valueDecimal: '' };
  }
  const { currency, valueDecimal } = value as { currency?: unknown; valueDecimal?: unknown };
  const amount = { currency: '', valueDecimal: '' };

  if (typeof currency !== 'string' || !CURRENCIES.has(currency)) {
    violations.add(
      [...path, 'currency'],
      'currency must be an ISO 4217 code of three capital letters, as USD',
    );
  } else {
    amount.currency = currency;
    if (rules.currency && currency !== rules.currency) {
      violations.add([...path, 'currency'], `currency must be that of basePrice, ${rules.currency}`);
    }
  }

  if (typeof valueDecimal !== 'string') {
    violations.add([...path, 'valueDecimal'], 'valueDecimal must be a string, so that no digit is lost');
  } else if (!DECIMAL.test(valueDecimal)) {
    violations.add(
      [...path, 'valueDecimal'],
      'valueDecimal must be a decimal number such as 12.987654321, of at most 18 digits before the point and 9 after it',
    );
  } else if (!rules.signed && valueDecimal.startsWith('-')) {
    violations.add([...path, 'valueDecimal'], 'valueDecimal must not be negative');
  } else {
    amount.valueDecimal = valueDecimal;
  }
  return amount;
}

/**
 * Reads what an option adds to a price, or takes from it: an amount in the currency of `basePrice`, below zero too;
 * undefined where there is none. Otherwise as `parseAmount`.
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
