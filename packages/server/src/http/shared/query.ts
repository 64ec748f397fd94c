/**
 * Validates query strings against their schemas. It is stricter than the framework's coercion: numbers that
 * are empty, repeated, signed or hexadecimal are refused. Messages name the parameter and its limits.
 */
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { SIZE_FORM, SIZE_PATTERN } from '../../imaging/size.ts';

interface PropertySchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

type Result = { value: Record<string, unknown> } | { error: Error };

/** A validator for the framework. It ignores parameters that the schema does not have. */
export function compileQuery(schema: TSchema) {
  const propertySchemas = (schema as { properties?: Record<string, PropertySchema> }).properties ?? {};
  const properties = Object.entries(propertySchemas).map(([name, property]) => ({
    name,
    property,
    validator: Compile(property as TSchema),
  }));
  return (query: Record<string, unknown>): Result => {
    const value: Record<string, unknown> = {};
    for (const { name, property, validator } of properties) {
      const text = query[name];
      if (text === undefined) continue;
      if (typeof text !== 'string') return { error: new Error(`${name} must be given once`) };
      const converted = convert(text, property);
      if (!validator.Check(converted)) {
        return { error: new Error(`${name} must be ${describeForm(property)}`) };
      }
      value[name] = converted;
    }
    return { value };
  };
}

/**
 * The value in the type of the schema. A text of another form stays a text, which the validator then refuses.
 */
function convert(text: string, { type }: PropertySchema): unknown {
  // Any number of digits is accepted. Values beyond the safe integers become the largest one.
  if (type === 'integer') return /^\d+$/.test(text) ? Math.min(Number(text), Number.MAX_SAFE_INTEGER) : text;
  if (type === 'number') return /^\d+(\.\d+)?$/.test(text) ? toFiniteNumber(text) : text;
  return text;
}

/** The nearest number that a double can hold. It is 0 only for a decimal of zeros. */
function toFiniteNumber(decimal: string): number {
  const number = Math.min(Number(decimal), Number.MAX_VALUE);
  return number === 0 && /[1-9]/.test(decimal) ? Number.MIN_VALUE : number;
}

/** The expected form, in words that follow "must be". */
function describeForm(property: PropertySchema): string {
  const { type, enum: values, minimum, exclusiveMinimum, maximum, pattern } = property;
  if (values) return `one of ${values.join(', ')}`;
  if (exclusiveMinimum !== undefined) return `a decimal number above ${exclusiveMinimum}, such as 1.5`;
  if (type === 'integer' || type === 'number') {
    const kind = type === 'integer' ? 'a whole number' : 'a number';
    if (minimum === undefined) return kind;
    return maximum === undefined ? `${kind} from ${minimum}` : `${kind} from ${minimum} to ${maximum}`;
  }
  if (pattern === SIZE_PATTERN) return SIZE_FORM;
  return 'valid';
}
