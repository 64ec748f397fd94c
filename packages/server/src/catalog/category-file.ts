/**
 * The format of the file with the product categories: a list whose elements name their parents. The answer of
 * `GET /product-categories` has this format too, so an operator can copy the categories of another server.
 */
import { readFile } from 'node:fs/promises';
import { asObject, type JSONObject, MAX_NAME_LENGTH } from '../validation/json.ts';
import { textProblem } from '../validation/text.ts';
import { Categories, type Category, MAX_CATEGORIES } from './categories.ts';

/** The longest ID, in Unicode code points. */
const MAX_ID_LENGTH = 100;
/** The longest full name, in Unicode code points. */
const MAX_FULL_NAME_LENGTH = 2_000;
/** The most levels of the tree. */
const MAX_LEVELS = 20;
/** Stands between the names in a full name that the file does not give. */
const SEPARATOR = ' > ';

const FIELDS = ['categoryID', 'name', 'fullName', 'level', 'parentID'];

/** The file cannot be used. `problems` has one line for each problem. */
export class CategoryFileError extends Error {
  override readonly name = 'CategoryFileError';
  readonly problems: readonly string[];

  constructor(path: string, problems: readonly string[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`the file of product categories ${path} has ${count}:\n- ${problems.join('\n- ')}`);
    this.problems = problems;
  }
}

/** @throws CategoryFileError with all problems, or with the reason why the file cannot be read. */
export async function readCategories(path: string): Promise<Categories> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new CategoryFileError(path, [`it cannot be read: ${(error as Error).message}`]);
  }
  const { categories, problems } = parseCategories(text);
  if (problems.length > 0) throw new CategoryFileError(path, problems);
  return new Categories(categories);
}

/** The categories of the file's text. They are usable only if there are no problems. */
export function parseCategories(text: string): { categories: Category[]; problems: string[] } {
  let content: unknown;
  try {
    // Editors of some systems write a byte order mark.
    content = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return { categories: [], problems: [`it is not valid JSON: ${(error as Error).message}`] };
  }
  const list = Array.isArray(content) ? content : asObject(content)?.categories;
  if (!Array.isArray(list)) {
    const problem = 'it must be an array of categories, or an object with the array categories';
    return { categories: [], problems: [problem] };
  }
  if (list.length > MAX_CATEGORIES) {
    const problem = `it must have at most ${MAX_CATEGORIES} categories, but it has ${list.length}`;
    return { categories: [], problems: [problem] };
  }
  const parser = new CategoryParser();
  const categories = parser.parse(list);
  return { categories, problems: parser.problems };
}

/** An element of the file, before its place in the tree is known. */
interface Entry {
  /** The place of the element, for messages. */
  readonly place: string;
  readonly categoryID: string;
  readonly name: string;
  readonly fullName: string | undefined;
  readonly level: unknown;
  readonly parentID: string | undefined;
}

class CategoryParser {
  readonly problems: string[] = [];
  readonly #entries = new Map<string, Entry>();
  /** The IDs that are part of a reported circle. */
  readonly #circular = new Set<string>();

  parse(list: readonly unknown[]): Category[] {
    for (const [index, element] of list.entries()) this.#addEntry(element, `categories[${index}]`);
    return [...this.#entries.values()].flatMap((entry) => {
      const ancestors = this.#ancestorsOf(entry);
      return ancestors === undefined ? [] : [this.#categoryOf(entry, ancestors)];
    });
  }

  #addEntry(element: unknown, place: string): void {
    const object = asObject(element);
    if (object === undefined) {
      this.problems.push(`${place} must be an object with categoryID and name`);
      return;
    }
    for (const field of Object.keys(object)) {
      if (FIELDS.includes(field)) continue;
      this.problems.push(`${place} has the unknown field ${JSON.stringify(field)}: use ${FIELDS.join(', ')}`);
    }
    const categoryID = this.#readText(object, 'categoryID', place, MAX_ID_LENGTH);
    const name = this.#readText(object, 'name', place, MAX_NAME_LENGTH);
    const fullName = this.#readOptionalText(object, 'fullName', place, MAX_FULL_NAME_LENGTH);
    const parentID = this.#readOptionalText(object, 'parentID', place, MAX_ID_LENGTH);
    if (categoryID === undefined) return;
    const twin = this.#entries.get(categoryID);
    if (twin !== undefined) {
      this.problems.push(`${place}.categoryID repeats that of ${twin.place}: ${JSON.stringify(categoryID)}`);
      return;
    }
    const { level } = object;
    this.#entries.set(categoryID, { place, categoryID, name: name ?? '', fullName, level, parentID });
  }

  #readText(object: JSONObject, field: string, place: string, max: number): string | undefined {
    const value = object[field];
    const name = `${place}.${field}`;
    if (typeof value !== 'string') {
      this.problems.push(`${name} ${value === undefined ? 'is required' : 'must be a string'}`);
      return undefined;
    }
    const problem =
      textProblem(name, value, { max, controls: 'none' }) ??
      (value.trim() === '' ? `${name} must not be blank` : undefined);
    if (problem === undefined) return value;
    this.problems.push(problem);
    return undefined;
  }

  #readOptionalText(object: JSONObject, field: string, place: string, max: number): string | undefined {
    const value = object[field];
    return value === undefined || value === null ? undefined : this.#readText(object, field, place, max);
  }

  /**
   * The parent, its parent and so on. Undefined if they do not lead to the top. Reports a missing parent at
   * its children, and each circle once.
   */
  #ancestorsOf(entry: Entry): Entry[] | undefined {
    const ancestors: Entry[] = [];
    const path = new Set([entry.categoryID]);
    for (let child = entry; child.parentID !== undefined; ) {
      const parent = this.#entries.get(child.parentID);
      if (parent === undefined) {
        if (child === entry) {
          const id = JSON.stringify(entry.parentID);
          this.problems.push(`${entry.place}.parentID is ${id}, which is no categoryID of the file`);
        }
        return undefined;
      }
      if (path.has(parent.categoryID)) {
        this.#reportCircle(parent);
        return undefined;
      }
      path.add(parent.categoryID);
      ancestors.push(parent);
      if (ancestors.length >= MAX_LEVELS) {
        this.problems.push(`${entry.place} is more than ${MAX_LEVELS} levels deep`);
        return undefined;
      }
      child = parent;
    }
    return ancestors;
  }

  #reportCircle(start: Entry): void {
    if (this.#circular.has(start.categoryID)) return;
    const members: string[] = [];
    let member: Entry | undefined = start;
    do {
      members.push(JSON.stringify(member.categoryID));
      this.#circular.add(member.categoryID);
      member = this.#entries.get(member.parentID ?? '');
    } while (member !== undefined && member !== start);
    this.problems.push(
      `${start.place}.parentID makes a circle: ${[...members, members[0]].join(' is below ')}`,
    );
  }

  #categoryOf(entry: Entry, ancestors: readonly Entry[]): Category {
    const { place, categoryID, name, parentID } = entry;
    const level = ancestors.length + 1;
    if (entry.level !== undefined && entry.level !== level) {
      this.problems.push(`${place}.level must be ${level}, its depth in the tree, or be absent`);
    }
    return {
      categoryID,
      name,
      fullName: fullNameOf([entry, ...ancestors]),
      level,
      ...(parentID !== undefined && { parentID }),
    };
  }
}

/** The full name of the file, or the names from the nearest ancestor with a full name to this entry. */
function fullNameOf([entry, ...ancestors]: readonly Entry[]): string {
  if (entry === undefined) return '';
  const { fullName, name } = entry;
  if (fullName !== undefined) return fullName;
  return ancestors.length === 0 ? name : `${fullNameOf(ancestors)}${SEPARATOR}${name}`;
}
