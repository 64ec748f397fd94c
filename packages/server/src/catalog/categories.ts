/**
 * The product categories: a tree that the operator gives in a file (category-file.ts). It is the same for all
 * accounts and does not change while the server runs.
 */

/**
 * The most categories. A list of products passes the categories of a subtree to the database, and SQLite
 * accepts 32 766 parameters in a statement.
 */
export const MAX_CATEGORIES = 20_000;

export interface Category {
  readonly categoryID: string;
  readonly name: string;
  /** The names from the top of the tree to this category. */
  readonly fullName: string;
  /** The depth in the tree. 1: at the top. */
  readonly level: number;
  /** Absent at the top. */
  readonly parentID?: string;
}

export class Categories {
  /** All categories, in the order of the file. */
  readonly list: readonly Category[];
  readonly #byID: ReadonlyMap<string, Category>;
  readonly #childrenByID: ReadonlyMap<string, readonly string[]>;

  /** @param list a valid tree: IDs are unique, and every parent is in the list. */
  constructor(list: readonly Category[]) {
    this.list = list;
    this.#byID = new Map(list.map((category) => [category.categoryID, category]));
    const children = new Map<string, string[]>();
    for (const { categoryID, parentID } of list) {
      if (parentID === undefined) continue;
      const siblings = children.get(parentID);
      if (siblings === undefined) children.set(parentID, [categoryID]);
      else siblings.push(categoryID);
    }
    this.#childrenByID = children;
  }

  find(categoryID: string): Category | undefined {
    return this.#byID.get(categoryID);
  }

  /** The IDs of a category and of all categories below it. Empty if there is no such category. */
  subtreeOf(categoryID: string): readonly string[] {
    if (!this.#byID.has(categoryID)) return [];
    const subtree = [categoryID];
    // The loop also visits the IDs that it appends.
    for (const id of subtree) subtree.push(...(this.#childrenByID.get(id) ?? []));
    return subtree;
  }
}

/** The categories of a server without a file. */
export const NO_CATEGORIES = new Categories([]);
