import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Categories, type Category, MAX_CATEGORIES } from '../../src/catalog/categories.ts';
import { parseCategories, readCategories } from '../../src/catalog/category-file.ts';

/** Food > Drinks > Tea, and Clothing. Children come before their parents. */
const SHOP = [
  { categoryID: 'tea', name: 'Tea', parentID: 'drinks' },
  { categoryID: 'drinks', name: 'Drinks', parentID: 'food' },
  { categoryID: 'food', name: 'Food' },
  { categoryID: 'clothing', name: 'Clothing', parentID: null },
];
const SHOP_CATEGORIES: readonly Category[] = [
  { categoryID: 'tea', name: 'Tea', fullName: 'Food > Drinks > Tea', level: 3, parentID: 'drinks' },
  { categoryID: 'drinks', name: 'Drinks', fullName: 'Food > Drinks', level: 2, parentID: 'food' },
  { categoryID: 'food', name: 'Food', fullName: 'Food', level: 1 },
  { categoryID: 'clothing', name: 'Clothing', fullName: 'Clothing', level: 1 },
];

const parse = (content: unknown) => parseCategories(JSON.stringify(content));
const problemsOf = (...list: unknown[]) => parse(list).problems;

describe('the file of product categories', () => {
  test('is a list, or an object with the list, in any order', () => {
    assert.deepEqual(parse(SHOP), { categories: SHOP_CATEGORIES, problems: [] });
    assert.deepEqual(parse({ categories: SHOP }), { categories: SHOP_CATEGORIES, problems: [] });
    const withMark = parseCategories(`\uFEFF${JSON.stringify(SHOP)}`);
    assert.deepEqual(withMark, { categories: SHOP_CATEGORIES, problems: [] });
    assert.deepEqual(parse([]), { categories: [], problems: [] });
  });

  test('may be the answer of another server', () => {
    assert.deepEqual(parse({ categories: SHOP_CATEGORIES }), { categories: SHOP_CATEGORIES, problems: [] });
  });

  test('may give full names, which begin the full names below them', () => {
    const [tea, drinks, food] = SHOP;
    const { categories } = parse([tea, { ...drinks, fullName: 'Food / Drinks' }, food]);
    assert.deepEqual(
      categories.map(({ fullName }) => fullName),
      ['Food / Drinks > Tea', 'Food / Drinks', 'Food'],
    );
  });

  test('is refused with every problem at once', () => {
    const problems = problemsOf(
      { categoryID: 'food', name: 'Food', level: 2 },
      { categoryID: 'food', name: 'Food again' },
      'drinks',
      { categoryID: 7, name: '' },
      { name: 'x'.repeat(201), parentId: 'food' },
      { categoryID: 'a\nb', name: 'A' },
      { categoryID: 'lost', name: 'Lost', parentID: 'nowhere' },
      { categoryID: 'below lost', name: 'Below', parentID: 'lost', level: 5 },
      { categoryID: 'drinks', name: 'Drinks', parentID: 'food', level: '2' },
      { categoryID: 'me', name: 'Me', parentID: 'me' },
      { categoryID: 'hen', name: 'Hen', parentID: 'egg' },
      { categoryID: 'egg', name: 'Egg', parentID: 'hen' },
      { categoryID: 'chick', name: 'Chick', parentID: 'egg', fullName: ' ' },
    );
    assert.deepEqual(problems, [
      'categories[1].categoryID repeats that of categories[0]: "food"',
      'categories[2] must be an object with categoryID and name',
      'categories[3].categoryID must be a string',
      'categories[3].name must not be blank',
      'categories[4] has the unknown field "parentId": use categoryID, name, fullName, level, parentID',
      'categories[4].categoryID is required',
      'categories[4].name must be at most 200 characters long, but it has 201',
      'categories[5].categoryID must be one line: it has a line break',
      'categories[12].fullName must not be blank',
      'categories[0].level must be 1, its depth in the tree, or be absent',
      'categories[6].parentID is "nowhere", which is no categoryID of the file',
      'categories[8].level must be 2, its depth in the tree, or be absent',
      'categories[9].parentID makes a circle: "me" is below "me"',
      'categories[10].parentID makes a circle: "hen" is below "egg" is below "hen"',
    ]);
  });

  test('must be JSON with a list', () => {
    assert.match(parseCategories('{"categories": [').problems.join(), /^it is not valid JSON: /);
    for (const content of [null, 'x', 7, {}, { categories: {} }]) {
      assert.deepEqual(parse(content).problems, [
        'it must be an array of categories, or an object with the array categories',
      ]);
    }
  });

  test('has at most 20 levels', () => {
    const chain = Array.from({ length: 21 }, (_, i) => ({
      categoryID: `${i}`,
      name: 'Deep',
      ...(i > 0 && { parentID: `${i - 1}` }),
    }));
    const { categories, problems } = parse(chain.slice(0, 20));
    assert.deepEqual([problems, categories.at(-1)?.level], [[], 20]);
    assert.deepEqual(problemsOf(...chain), ['categories[20] is more than 20 levels deep']);
    // A circle is as deep as one likes.
    const circle = chain.map((each, i) => (i === 0 ? { ...each, parentID: '20' } : each));
    assert.equal(problemsOf(...circle).length, 21);
  });

  test('has at most as many categories as a search may name', () => {
    const list = Array.from({ length: MAX_CATEGORIES + 1 }, (_, i) => ({ categoryID: `${i}`, name: 'x' }));
    assert.deepEqual(problemsOf(...list.slice(1)), []);
    assert.deepEqual(problemsOf(...list), ['it must have at most 20000 categories, but it has 20001']);
  });

  test('is named with the reason if it cannot be read', async () => {
    await assert.rejects(readCategories('/nowhere/categories.json'), {
      name: 'CategoryFileError',
      message:
        /^the file of product categories \/nowhere\/categories\.json has a problem:\n- it cannot be read: ENOENT/,
    });
  });
});

describe('the product categories', () => {
  test('have a subtree for each category: those that have it among their ancestors', () => {
    const tree = fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 30 }).map((steps) =>
      // Each category is below one of the ten before it, or at the top.
      steps.map((step, i) => ({
        categoryID: `${i}`,
        name: `Name ${i}`,
        ...(step > 0 && i - step >= 0 && { parentID: `${i - step}` }),
      })),
    );
    fc.assert(
      fc.property(tree, (list) => {
        const { categories, problems } = parse(list.toReversed());
        // A random tree may be too deep.
        fc.pre(problems.length === 0);
        const all = new Categories(categories);
        for (const { categoryID } of list) {
          const isBelow = (id: string | undefined): boolean =>
            id !== undefined && (id === categoryID || isBelow(all.find(id)?.parentID));
          const expected = list.map((each) => each.categoryID).filter(isBelow);
          assert.deepEqual([...all.subtreeOf(categoryID)].sort(), expected.sort());
        }
        assert.deepEqual(all.subtreeOf('unknown'), []);
      }),
    );
  });
});
