/**
 * Makes up JSON that is nearly what a schema of the document asks for: whole, with a part missing, of another type, too
 * much, or with a text in it that has broken something somewhere before. Knows JSON Schema as far as docs/openapi.json uses it.
 */
import fc from 'fast-check';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** What stands for an ID of something that is there; whoever sends it puts in the ID. */
export const known = (name: string, index: number): string => `known:${name}:${index}`;

/** Texts that databases, loggers, headers and parsers have choked on. */
export const HOSTILE = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '\udfff\ud800',
  '\u202egnp.exe',
  '\r\nSet-Cookie: a=b',
  "'; drop table images; --",
  '%_\\%',
  '__proto__',
  'constructor',
  '../../etc/passwd',
  '<script>alert(1)</script>',
  '-1',
  '1e400',
  'NaN',
  '9007199254740993',
  '0.0000000001',
  'USD',
  '9.99',
  '2030-01-31T12:00:00Z',
  '+275760-09-13T00:00:00Z',
  'x'.repeat(3_000),
  '😀'.repeat(2_001),
] as const;

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom(...HOSTILE));

const anything = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 2, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom(null, -1, 0.5, 1e308, Number.MAX_SAFE_INTEGER + 2, true, [], {}) },
) as fc.Arbitrary<unknown>;

/**
 * @param schemas those that have a name.
 * @param depth how much deeper it goes before it makes do with anything.
 */
export function nearly(
  schema: Schema,
  schemas: Readonly<Record<string, Schema>>,
  name = '',
  depth = 6,
): fc.Arbitrary<unknown> {
  if (depth === 0) return anything;
  const good = asAsked(schema, schemas, name, depth);
  return fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: anything });
}

function asAsked(
  schema: Schema,
  schemas: Readonly<Record<string, Schema>>,
  name: string,
  depth: number,
): fc.Arbitrary<unknown> {
  const within = (part: Schema, called = name) => nearly(part, schemas, called, depth - 1);
  if (schema.$ref !== undefined) return within(schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {});
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => within(one)));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  switch (schema.type) {
    case 'object': {
      const parts = Object.entries(schema.properties ?? {}).map(([key, part]) => [key, within(part, key)]);
      // What is required is missing now and then as well.
      const some = fc.record(Object.fromEntries(parts) as Record<string, fc.Arbitrary<unknown>>, {
        requiredKeys: [...(schema.required ?? [])],
      });
      return fc.oneof(
        { weight: 8, arbitrary: some },
        {
          weight: 1,
          arbitrary: fc.tuple(some, fc.dictionary(text, anything)).map(([a, b]) => ({ ...b, ...a })),
        },
        { weight: 1, arbitrary: fc.record(Object.fromEntries(parts), { requiredKeys: [] }) },
      );
    }
    case 'array':
      return fc.array(within(schema.items ?? {}), { maxLength: 4 });
    case 'integer':
      return fc.integer({ min: (schema.minimum ?? 0) - 1, max: Math.min(schema.maximum ?? 1e6, 1e9) + 1 });
    case 'number':
      return fc.double({ min: (schema.minimum ?? -1) - 0.1, max: (schema.maximum ?? 1) + 0.1, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return textAsAsked(schema, name);
    default:
      return anything;
  }
}

function textAsAsked(schema: Schema, name: string): fc.Arbitrary<unknown> {
  const some = fc.constantFrom('USD', '9.99', '0.000000001', 'a', 'Cup', '*bold*');
  if (name === 'scopes') {
    const scopes = fc.constantFrom('/ping.read', '/accounts/{accountID}/images.read', '/accounts.read');
    return fc.oneof({ weight: 6, arbitrary: scopes }, { weight: 1, arbitrary: text });
  }
  // A list of accounts is one of their IDs.
  const called = name === 'accounts' ? 'accountID' : name;
  const index = fc.nat({ max: 3 }).map((number) => known(called, number));
  if (called.endsWith('ID'))
    return fc.oneof({ weight: 4, arbitrary: index }, { weight: 1, arbitrary: fc.uuid() });
  if (schema.format === 'date-time')
    return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  return fc.oneof({ weight: 3, arbitrary: some }, { weight: 1, arbitrary: text });
}
