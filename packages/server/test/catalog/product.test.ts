import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { markdownProblem } from '../../src/catalog/markdown.ts';
import { imagesOf, parseProduct } from '../../src/catalog/product.ts';
import type { ViolationTree } from '../../src/validation/violations.ts';

type JSONValue = string | number | boolean | null | undefined | JSONValue[] | { [key: string]: JSONValue };
type Request = { [key: string]: JSONValue };

const PRICE = { currency: 'USD', valueDecimal: '4.99' };

function request(changes: Request = {}): Request {
  return { title: 'Lemonade', basePrice: PRICE, ...changes };
}

function read(body: Request) {
  const { content, references, violations } = parseProduct(body, markdownProblem);
  return { content, references, why: violations.any ? violations.tree : undefined };
}

/** A request that is good in every respect, of any size. */
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
  .chain((given) =>
    fc.tuple(fc.nat({ max: given.options.length }), fc.nat({ max: given.options.length })).map(([a, b]) => ({
      ...given,
      minSelect: Math.min(a, b),
      maxSelect: Math.max(a, b),
    })),
  );
const product = fc.record({
  title: name,
  description,
  basePrice: decimal.map((valueDecimal) => ({ currency: 'USD', valueDecimal })),
  images,
  optionGroups: fc.option(fc.array(group, { maxLength: 4 }), { nil: undefined }),
});

describe('a product', () => {
  test('is read as it was written, whatever it has', () => {
    fc.assert(
      fc.property(product, (given) => {
        const { content, references, why } = read(given as Request);
        assert.equal(why, undefined);
        const ids = (list: { imageID: string }[] | undefined) => (list ?? []).map(({ imageID }) => imageID);
        const expected = JSON.parse(
          JSON.stringify({
            ...given,
            images: undefined,
            imageIDs: ids(given.images),
            optionGroups: (given.optionGroups ?? []).map((each) => ({
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

  test('names each reference to an image by where the request has it', () => {
    fc.assert(
      fc.property(product, (given) => {
        for (const { imageID, path } of read(given as Request).references) {
          let found: unknown = given;
          for (const key of path) found = (found as Record<string | number, unknown>)[key];
          assert.equal(found, imageID);
        }
      }),
    );
  });

  /** What can be wrong with each kind of field. */
  const faults: Record<string, readonly JSONValue[]> = {
    title: [undefined, null, '', ' ', 7, 'x'.repeat(201), 'two\nlines', 'a\u0000b', '\ud800'],
    name: [undefined, null, '', ' ', {}, 'x'.repeat(201), 'tab\there'],
    description: [7, '<b>', 'x'.repeat(5_001), 'a\u0007b', '\udfff', `${'> '.repeat(60)}<`],
    valueDecimal: [undefined, 4.99, '', '1e3', '1.0000000000', '01', '1 '],
    currency: [undefined, null, 'usd', 'DEM', 840],
    minSelect: [undefined, null, -1, 0.5, '1', 101],
    maxSelect: [undefined, null, -1, 1.5, '1', 101],
    imageID: [undefined, null, 7, 'no uuid', '', '../x'],
    images: ['x', 7, {}, true],
    options: ['x', 7, {}, [], undefined],
    optionGroups: ['x', 7, {}],
  };
  /** Where the fault of a list as a whole is told. */
  const told: Record<string, string[]> = {
    images: ['0', 'imageID'],
    options: ['0', 'name'],
    optionGroups: ['0', 'name'],
  };

  test('with one fault in it, anywhere, is refused at that very place and nowhere else', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(product, fc.nat(), fc.nat(), (given, place, kind) => {
        const places = placesOf(given).filter((path) => faults[path.at(-1) ?? ''] !== undefined);
        const path = places[place % places.length] ?? [];
        const field = path.at(-1) ?? '';
        const fault = faults[field]?.[kind % (faults[field]?.length ?? 1)];
        const { why } = read(withFault(given, path, fault) as Request);
        seen.add(field);
        const expected = [...path, ...(told[field] ?? [])].join('/');
        const found = leavesOf(why ?? {}).map(([at]) => at);
        // A list that is not there has no number of options to choose from, either.
        const also = field === 'options' ? [[...path.slice(0, -1), 'maxSelect'].join('/')] : [];
        assert.deepEqual(
          found.filter((at) => !also.includes(at)),
          [expected],
          JSON.stringify(why),
        );
      }),
      { numRuns: 3_000 },
    );
    assert.deepEqual([...seen].sort(), Object.keys(faults).sort(), 'every kind of fault was tried');
  });

  test('is refused for every fault at once, in the shape of the request', () => {
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
      categoryID: 'c',
    });
    const why = read(body).why as Record<string, ViolationTree>;
    assert.deepEqual(
      leavesOf(why).map(([path]) => path),
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
        'categoryID',
      ].sort((a, b) => order(a, b)),
    );
  });

  test('has option groups with minSelect ≤ maxSelect ≤ the number of options', () => {
    for (let options = 1; options <= 3; options += 1)
      for (let minSelect = 0; minSelect <= 4; minSelect += 1)
        for (let maxSelect = 0; maxSelect <= 4; maxSelect += 1) {
          const list = Array.from({ length: options }, (_, i) => ({ name: `option ${i}` }));
          const { why } = read(
            request({ optionGroups: [{ name: 'x', minSelect, maxSelect, options: list }] }),
          );
          const good = minSelect <= maxSelect && maxSelect <= options;
          assert.equal(why === undefined, good, `${minSelect} ${maxSelect} ${options}`);
        }
  });

  test('has price modifiers in the currency of its price', () => {
    const options = [{ name: 'x', priceModifier: { currency: 'EUR', valueDecimal: '1' } }];
    const { why } = read(request({ optionGroups: [{ name: 'x', minSelect: 0, maxSelect: 1, options }] }));
    assert.deepEqual(leavesOf(why ?? {}), [
      ['optionGroups/0/options/0/priceModifier/currency', 'currency must be that of basePrice, USD'],
    ]);
  });

  test('has lists within their limits, and the first element beyond is named', () => {
    const image = () => ({ imageID: randomUUID() });
    const times = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
    const options = (count: number) => times(count, () => ({ name: 'option' }));
    const sized = (count: number) => ({ name: 'x', minSelect: 0, maxSelect: 0, options: options(count) });
    const shown = (count: number) => [{ ...sized(1), options: [{ name: 'x', images: times(count, image) }] }];
    for (const [body, most, beyond] of [
      [(n: number) => ({ images: times(n, image) }), 20, 'images/20/imageID'],
      [(n: number) => ({ optionGroups: times(n, () => sized(1)) }), 50, 'optionGroups/50/name'],
      [(n: number) => ({ optionGroups: [sized(n)] }), 100, 'optionGroups/0/options/100/name'],
      [(n: number) => ({ optionGroups: shown(n) }), 20, 'optionGroups/0/options/0/images/20/imageID'],
      [
        (n: number) => ({
          images: times(20, image),
          optionGroups: times(n - 20, () => shown(1))
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
      assert.equal(read(request(body(most) as Request)).why, undefined);
      const [found, ...others] = leavesOf(read(request(body(most + 1) as Request)).why ?? {});
      assert.deepEqual([found?.[0], others], [beyond, []]);
      assert.match(found?.[1] ?? '', new RegExp(`at most ${most}`));
    }
  });

  test('has descriptions within a limit together, and the one that goes beyond is named', () => {
    const described = (length: number) => {
      const options = [1, 2, 3].map(() => ({ name: 'x', description: 'x'.repeat(5_000) }));
      const group = { name: 'x', minSelect: 0, maxSelect: 1, description: 'x'.repeat(length), options };
      return request({ description: 'x'.repeat(5_000), optionGroups: [group] });
    };
    assert.equal(read(described(0)).why, undefined);
    const [found, ...others] = leavesOf(read(described(1)).why ?? {});
    assert.deepEqual([found?.[0], others], ['optionGroups/0/options/2/description', []]);
    assert.match(found?.[1] ?? '', /at most 20000 characters together/);
  });

  test('takes null and empty for absent where a field is optional, and passes unknown fields over', () => {
    const body = request({
      description: '',
      images: null,
      optionGroups: null,
      categoryID: '',
      productID: 'mine',
      disabledOn: 'never',
    });
    const { content, why } = read(body);
    assert.equal(why, undefined);
    assert.deepEqual(content, { title: 'Lemonade', basePrice: PRICE, imageIDs: [], optionGroups: [] });
  });

  test('tells nothing apart about imageIDs that are malformed: they are as unknown ones', () => {
    const { why } = read(request({ images: [{ imageID: 'x'.repeat(5_000) }, { imageID: "' or 1=1" }] }));
    const reasons = new Set(leavesOf(why ?? {}).map(([, reason]) => reason));
    assert.deepEqual([...reasons], ['the account has no such image']);
  });

  test('knows imageIDs in whatever case they are written', () => {
    const imageID = randomUUID();
    assert.deepEqual(read(request({ images: [{ imageID: imageID.toUpperCase() }] })).content.imageIDs, [
      imageID,
    ]);
  });
});

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every reason, with its path, in the order of the paths. */
function leavesOf(tree: ViolationTree, path: string[] = []): [string, string][] {
  return Object.entries(tree)
    .flatMap(([key, value]): [string, string][] =>
      typeof value === 'string' ? [[[...path, key].join('/'), value]] : leavesOf(value, [...path, key]),
    )
    .sort(([a], [b]) => order(a, b));
}

/** The path of every field that there is, however deep. */
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
