/**
 * Owns the reading of query strings by their schemas: strict where the framework's coercion is not (an empty, a
 * repeated, a signed or a hexadecimal number is refused), and with messages that name the parameter and its limits.
 */
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { SIZE_FORM, SIZE_PATTERN } from '../../imaging/size.ts';

interface PropertySchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

type Checked = { value: Record<string, unknown> } | { error: Error };

/**
 * A validator for the framework. Parameters that the schema does not know change nothing and are passed over.
 */
export function compileQuery(schema: TSchema) {
  const declared = (schema as { properties?: Record<string, PropertySchema> }).properties ?? {};
  const properties = Object.entries(declared).map(([name, property]) => ({
    name,
    property,
    validator: Compile(property as TSchema),
  }));
  return (query: Record<string, unknown>): Checked => {
    const value: Record<string, unknown> = {};
    for (const { name, property, validator } of properties) {
      const given = query[name];
      if (given === undefined) continue;
      if (typeof given !== 'string') return { error: new Error(`${name} must be given once`) };
      const converted = convert(given, property);
      if (!validator.Check(converted)) return { error: new Error(`${name} must be ${expected(property)}`) };
      value[name] = converted;
    }
    return { value };
  };
}

function convert(text: string, { type }: PropertySchema): unknown {
  // However many digits: what is larger than can be counted is as large as that.
  if (type === 'integer') return /^\d+$/.test(text) ? Math.min(Number(text), Number.MAX_SAFE_INTEGER) : text;
  if (type === 'number') return /^\d{1,6}(\.\d{1,6})?$/.test(text) ? Number(text) : text;
  return text;
}

function expected({ type, enum: values, minimum, maximum, pattern }: PropertySchema): string {
  if (values) return `one of ${values.join(', ')}`;
  if (type === 'integer' || type === 'number') {
    const kind = type === 'integer' ? 'a whole number' : 'a number';
    if (minimum === undefined) return kind;
    return maximum === undefined ? `${kind} from ${minimum}` : `${kind} from ${minimum} to ${maximum}`;
  }
  if (pattern === SIZE_PATTERN) return SIZE_FORM;
  return 'valid';
}
