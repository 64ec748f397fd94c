/**
 * Generates JSON that nearly matches a schema: valid, with missing or additional parts, with wrong types, or
 * with hostile texts. Supports only the part of JSON Schema that docs/openapi.json uses.
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

/** A placeholder for an existing ID. The test replaces it before it sends the body. */
export const idPlaceholder = (name: string, index: number): string => `existing:${name}:${index}`;

/** Texts that often break databases, loggers, headers and parsers. */
export const HOSTILE_TEXTS = [
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

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom(...HOSTILE_TEXTS));

const anything = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 2, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom(null, -1, 0.5, 1e308, Number.MAX_SAFE_INTEGER + 2, true, [], {}) },
) as fc.Arbitrary<unknown>;

/**
 * Generates values that match the schema in twelve of thirteen cases, at each level of the value.
 * @param schemas the named schemas, for `$ref`
 * @param name of the property
 * @param depth the number of levels. Deeper values are arbitrary JSON.
 */
export function generateNearly(
  schema: Schema,
  schemas: Readonly<Record<string, Schema>>,
  name = '',
  depth = 6,
): fc.Arbitrary<unknown> {
  if (depth === 0) return anything;
  const matching = generateMatching(schema, schemas, name, depth);
  return fc.oneof({ weight: 12, arbitrary: matching }, { weight: 1, arbitrary: anything });
}

function generateMatching(
  schema: Schema,
  schemas: Readonly<Record<string, Schema>>,
  name: string,
  depth: number,
): fc.Arbitrary<unknown> {
  const generatePart = (part: Schema, partName = name) => generateNearly(part, schemas, partName, depth - 1);
  if (schema.$ref !== undefined) return generatePart(schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {});
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => generatePart(one)));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  switch (schema.type) {
    case 'object': {
      const parts = Object.entries(schema.properties ?? {}).map(([key, part]) => [
        key,
        generatePart(part, key),
      ]);
      const object = fc.record(Object.fromEntries(parts) as Record<string, fc.Arbitrary<unknown>>, {
        requiredKeys: [...(schema.required ?? [])],
      });
      return fc.oneof(
        { weight: 8, arbitrary: object },
        // With additional properties.
        {
          weight: 1,
          arbitrary: fc.tuple(object, fc.dictionary(text, anything)).map(([a, b]) => ({ ...b, ...a })),
        },
        // With missing properties.
        { weight: 1, arbitrary: fc.record(Object.fromEntries(parts), { requiredKeys: [] }) },
      );
    }
    case 'array':
      return fc.array(generatePart(schema.items ?? {}), { maxLength: 4 });
    case 'integer':
      return fc.integer({ min: (schema.minimum ?? 0) - 1, max: Math.min(schema.maximum ?? 1e6, 1e9) + 1 });
    case 'number':
      return fc.double({ min: (schema.minimum ?? -1) - 0.1, max: (schema.maximum ?? 1) + 0.1, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return generateText(schema, name);
    default:
      return anything;
  }
}

function generateText(schema: Schema, name: string): fc.Arbitrary<unknown> {
  const plausible = fc.constantFrom('USD', '9.99', '0.000000001', 'a', 'Cup', '*bold*');
  if (name === 'scopes') {
    const scopes = fc.constantFrom('/ping.read', '/accounts/{accountID}/images.read', '/accounts.read');
    return fc.oneof({ weight: 6, arbitrary: scopes }, { weight: 1, arbitrary: text });
  }
  // The property `accounts` is a list of account IDs.
  const idName = name === 'accounts' ? 'accountID' : name;
  const id = fc.nat({ max: 3 }).map((index) => idPlaceholder(idName, index));
  if (idName.endsWith('ID'))
    return fc.oneof({ weight: 4, arbitrary: id }, { weight: 1, arbitrary: fc.uuid() });
  if (schema.format === 'date-time')
    return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  return fc.oneof({ weight: 3, arbitrary: plausible }, { weight: 1, arbitrary: text });
}
