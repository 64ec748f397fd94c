import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Categories } from '../../src/catalog/categories.ts';
import { markdownProblem } from '../../src/catalog/markdown.ts';
import { imagesOf, parseProduct } from '../../src/catalog/product.ts';
import type { ViolationTree } from '../../src/validation/violations.ts';

type JSONValue = string | number | boolean | null | undefined | JSONValue[] | { [key: string]: JSONValue };
type Request = { [key: string]: JSONValue };

const PRICE = { currency: 'USD', valueDecimal: '4.99' };

const CATEGORIES = new Categories(
  ['food', 'drinks'].map((categoryID) => ({ categoryID, name: 'Any', fullName: 'Any', level: 1 })),
);

function request(changes: Request = {}): Request {
  return { title: 'Lemonade', basePrice: PRICE, ...changes };
}

function read(body: Request) {
  const rules = { description: markdownProblem, categories: CATEGORIES };
  const { content, references, violations } = parseProduct(body, rules);
  return { content, references, errors: violations.any ? violations.tree : undefined };
}

// The parts of a valid request of any size.
const name = fc.stringMatching(/^[a-zA-Zäöß🍋][a-zA-Z 🍋%_]{0,30}$/u);
const decimal = fc.stringMatching(/^(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$/);
const description = fc.option(fc.constantFrom('**bold**', 'a < b', '`<b>`'), { nil: undefined });
const images = fc.option(
  fc.array(
    fc.uuid().map((imageID) => ({ imageID })),
    { maxLength: 4 },
  ),
  { nil: undefined },
);
const option = fc.record({
  name,
  description,
  priceModifier: fc.option(
    fc.tuple(fc.constantFrom('', '-'), decimal).map(([sign, value]) => ({
      currency: 'USD',
      valueDecimal: sign + value,
    })),
    { nil: undefined },
  ),
  images,
});
const group = fc
  .record({ name, description, options: fc.array(option, { minLength: 1, maxLength: 4 }) })
  .chain((base) =>
    fc.tuple(fc.nat({ max: base.options.length }), fc.nat({ max: base.options.length })).map(([a, b]) => ({
      ...base,
      minSelect: Math.min(a, b),
      maxSelect: Math.max(a, b),
    })),
  );
const product = fc.record({
  title: name,
  description,
  basePrice: decimal.map((valueDecimal) => ({ currency: 'USD', valueDecimal })),
  isTaxable: fc.option(fc.boolean(), { nil: undefined }),
  categoryID: fc.option(fc.constantFrom('food', 'drinks'), { nil: undefined }),
  images,
  optionGroups: fc.option(fc.array(group, { maxLength: 4 }), { nil: undefined }),
});

describe('a product', () => {
  test('is parsed as written', () => {
    fc.assert(
      fc.property(product, (request) => {
        const { content, references, errors } = read(request as Request);
        assert.equal(errors, undefined);
        const ids = (list: { imageID: string }[] | undefined) => (list ?? []).map(({ imageID }) => imageID);
        const expected = JSON.parse(
          JSON.stringify({
            ...request,
            images: undefined,
            imageIDs: ids(request.images),
            optionGroups: (request.optionGroups ?? []).map((each) => ({
              ...each,
              options: each.options.map(({ images: shown, ...rest }) => ({ ...rest, imageIDs: ids(shown) })),
            })),
          }),
        );
        assert.deepEqual(JSON.parse(JSON.stringify(content)), expected);
        assert.deepEqual(new Set(references.map(({ imageID }) => imageID)), imagesOf(content));
      }),
      { numRuns: 300 },
    );
  });

  test('has a reference with the right path for each image', () => {
    fc.assert(
      fc.property(product, (request) => {
        for (const { imageID, path } of read(request as Request).references) {
          let value: unknown = request;
          for (const key of path) value = (value as Record<string | number, unknown>)[key];
          assert.equal(value, imageID);
        }
      }),
    );
  });

  /** Invalid values for each kind of field. */
  const faults: Record<string, readonly JSONValue[]> = {
    title: [undefined, null, '', ' ', 7, 'x'.repeat(201), 'two\nlines', 'a\u0000b', '\ud800'],
    name: [undefined, null, '', ' ', {}, 'x'.repeat(201), 'tab\there'],
    description: [7, '<b>', 'x'.repeat(5_001), 'a\u0007b', '\udfff', `${'> '.repeat(60)}<`],
    valueDecimal: [undefined, 4.99, '', '1e3', '1.0000000000', '01', '1 '],
    currency: [undefined, null, 'usd', 'DEM', 840],
    minSelect: [undefined, null, -1, 0.5, '1', 101],
    maxSelect: [undefined, null, -1, 1.5, '1', 101],
    imageID: [undefined, null, 7, 'no uuid', '', '../x'],
    isTaxable: ['true', 'yes', '', 0, 1, {}, []],
    categoryID: [7, true, {}, ['food'], 'Food', ' food', 'x'.repeat(5_000), '__proto__', 'a\u0000b'],
    images: ['x', 7, {}, true],
    options: ['x', 7, {}, [], undefined],
    optionGroups: ['x', 7, {}],
  };
  /** The place below a list for an error of the whole list. */
  const listErrorPath: Record<string, string[]> = {
    images: ['0', 'imageID'],
    options: ['0', 'name'],
    optionGroups: ['0', 'name'],
  };

  test('with one invalid field is refused with an error at exactly this field', () => {
    const triedFields = new Set<string>();
    fc.assert(
      fc.property(product, fc.nat(), fc.nat(), (request, place, kind) => {
        const places = placesOf(request).filter((path) => faults[path.at(-1) ?? ''] !== undefined);
        const path = places[place % places.length] ?? [];
        const field = path.at(-1) ?? '';
        const fault = faults[field]?.[kind % (faults[field]?.length ?? 1)];
        const { errors } = read(withFault(request, path, fault) as Request);
        triedFields.add(field);
        const expected = [...path, ...(listErrorPath[field] ?? [])].join('/');
        const paths = leavesOf(errors ?? {}).map(([at]) => at);
        // Without options, maxSelect exceeds their number as well.
        const also = field === 'options' ? [[...path.slice(0, -1), 'maxSelect'].join('/')] : [];
        assert.deepEqual(
          paths.filter((at) => !also.includes(at)),
          [expected],
          JSON.stringify(errors),
        );
      }),
      { numRuns: 3_000 },
    );
    assert.deepEqual(
      [...triedFields].sort(),
      Object.keys(faults).sort(),
      'the test tried every kind of invalid field',
    );
  });

  test('is refused with all errors at once, in the shape of the request', () => {
    const body = request({
      title: '',
      description: '<b>',
      basePrice: { currency: 'usd', valueDecimal: '-1' },
      images: [{ imageID: randomUUID() }, { imageID: 'x' }, randomUUID(), {}],
      optionGroups: [
        { name: 'Size', minSelect: 0, maxSelect: 1, options: [{ name: 'S' }] },
        {
          name: 'Colour',
          minSelect: 2,
          maxSelect: 1,
          options: [
            { name: 'Red', priceModifier: { currency: 'USD', valueDecimal: '1.' } },
            { name: '', images: [{ imageID: 'y' }] },
            'Blue',
          ],
        },
        'Taste',
      ],
      isTaxable: 'no',
      categoryID: 'c',
    });
    const errors = read(body).errors as Record<string, ViolationTree>;
    assert.deepEqual(
      leavesOf(errors).map(([path]) => path),
      [
        'title',
        'description',
        'basePrice/currency',
        'basePrice/valueDecimal',
        'images/1/imageID',
        'images/2/imageID',
        'images/3/imageID',
        'optionGroups/1/options/0/priceModifier/valueDecimal',
        'optionGroups/1/options/1/name',
        'optionGroups/1/options/1/images/0/imageID',
        'optionGroups/1/options/2/name',
        'optionGroups/1/minSelect',
        'optionGroups/2/name',
        'isTaxable',
        'categoryID',
      ].sort((a, b) => order(a, b)),
    );
  });

  test('has option groups with minSelect ≤ maxSelect ≤ the number of options', () => {
    for (let options = 1; options <= 3; options += 1)
      for (let minSelect = 0; minSelect <= 4; minSelect += 1)
        for (let maxSelect = 0; maxSelect <= 4; maxSelect += 1) {
          const list = Array.from({ length: options }, (_, i) => ({ name: `option ${i}` }));
          const { errors } = read(
            request({ optionGroups: [{ name: 'x', minSelect, maxSelect, options: list }] }),
          );
          const isValid = minSelect <= maxSelect && maxSelect <= options;
          assert.equal(errors === undefined, isValid, `${minSelect} ${maxSelect} ${options}`);
        }
  });

  test('has price modifiers in the currency of its base price', () => {
    const options = [{ name: 'x', priceModifier: { currency: 'EUR', valueDecimal: '1' } }];
    const { errors } = read(request({ optionGroups: [{ name: 'x', minSelect: 0, maxSelect: 1, options }] }));
    assert.deepEqual(leavesOf(errors ?? {}), [
      ['optionGroups/0/options/0/priceModifier/currency', 'currency must be USD, the currency of basePrice'],
    ]);
  });

  test('has lists within their limits, and the error names the first element beyond the limit', () => {
    const image = () => ({ imageID: randomUUID() });
    const times = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
    const options = (count: number) => times(count, () => ({ name: 'option' }));
    const sized = (count: number) => ({ name: 'x', minSelect: 0, maxSelect: 0, options: options(count) });
    const groupsWithImages = (count: number) => [
      { ...sized(1), options: [{ name: 'x', images: times(count, image) }] },
    ];
    for (const [body, most, beyond] of [
      [(n: number) => ({ images: times(n, image) }), 20, 'images/20/imageID'],
      [(n: number) => ({ optionGroups: times(n, () => sized(1)) }), 50, 'optionGroups/50/name'],
      [(n: number) => ({ optionGroups: [sized(n)] }), 100, 'optionGroups/0/options/100/name'],
      [
        (n: number) => ({ optionGroups: groupsWithImages(n) }),
        20,
        'optionGroups/0/options/0/images/20/imageID',
      ],
      [
        (n: number) => ({
          images: times(20, image),
          optionGroups: times(n - 20, () => groupsWithImages(1))
            .flat()
            .slice(0, 1)
            .map((each) => ({
              ...each,
              options: times(n - 20, () => ({ name: 'x', images: [image()] })),
            })),
        }),
        100,
        'optionGroups/0/options/80/images/0/imageID',
      ],
    ] as const) {
      assert.equal(read(request(body(most) as Request)).errors, undefined);
      const [error, ...others] = leavesOf(read(request(body(most + 1) as Request)).errors ?? {});
      assert.deepEqual([error?.[0], others], [beyond, []]);
      assert.match(error?.[1] ?? '', new RegExp(`at most ${most}`));
    }
  });

  test('has descriptions within a common limit, and the error names the description beyond it', () => {
    const described = (length: number) => {
      const options = [1, 2, 3].map(() => ({ name: 'x', description: 'x'.repeat(5_000) }));
      const group = { name: 'x', minSelect: 0, maxSelect: 1, description: 'x'.repeat(length), options };
      return request({ description: 'x'.repeat(5_000), optionGroups: [group] });
    };
    assert.equal(read(described(0)).errors, undefined);
    const [error, ...others] = leavesOf(read(described(1)).errors ?? {});
    assert.deepEqual([error?.[0], others], ['optionGroups/0/options/2/description', []]);
    assert.match(error?.[1] ?? '', /at most 20000 characters together/);
  });

  test('treats null and empty optional fields as absent, and ignores unknown fields', () => {
    const body = request({
      description: '',
      images: null,
      optionGroups: null,
      isTaxable: null,
      categoryID: '',
      productID: 'mine',
      disabledOn: 'never',
    });
    const { content, errors } = read(body);
    assert.equal(errors, undefined);
    assert.deepEqual(content, { title: 'Lemonade', basePrice: PRICE, imageIDs: [], optionGroups: [] });
  });

  test('says nothing about tax if the request does not', () => {
    assert.equal('isTaxable' in read(request()).content, false);
    for (const isTaxable of [true, false]) {
      assert.equal(read(request({ isTaxable })).content.isTaxable, isTaxable);
    }
  });

  test('gives the same reason for every unknown category', () => {
    for (const categoryID of ['Food', 'constructor', '\ud800']) {
      assert.deepEqual(read(request({ categoryID })).errors, {
        categoryID: 'there is no such product category',
      });
    }
  });

  test('refuses malformed image IDs with the same text as unknown ones', () => {
    const { errors } = read(request({ images: [{ imageID: 'x'.repeat(5_000) }, { imageID: "' or 1=1" }] }));
    const reasons = new Set(leavesOf(errors ?? {}).map(([, reason]) => reason));
    assert.deepEqual([...reasons], ['the account has no such image']);
  });

  test('accepts image IDs in upper case', () => {
    const imageID = randomUUID();
    assert.deepEqual(read(request({ images: [{ imageID: imageID.toUpperCase() }] })).content.imageIDs, [
      imageID,
    ]);
  });
});

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every error with its path, in the order of the paths. */
function leavesOf(tree: ViolationTree, path: string[] = []): [string, string][] {
  return Object.entries(tree)
    .flatMap(([key, value]): [string, string][] =>
      typeof value === 'string' ? [[[...path, key].join('/'), value]] : leavesOf(value, [...path, key]),
    )
    .sort(([a], [b]) => order(a, b));
}

/** The path of every field, at any depth. */
function placesOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [
    ...(path.length > 0 ? [path] : []),
    ...Object.entries(value).flatMap(([key, below]) =>
      below === undefined ? [] : placesOf(below, [...path, key]),
    ),
  ];
}

function withFault(value: unknown, [key, ...rest]: string[], fault: JSONValue): unknown {
  if (key === undefined) return fault;
  const below = withFault((value as Record<string, unknown>)[key], rest, fault);
  if (Array.isArray(value)) return value.with(Number(key), below);
  return { ...(value as object), [key]: below };
}
