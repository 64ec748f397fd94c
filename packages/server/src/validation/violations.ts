/**
 * Owns the collection of everything that is wrong with a request, in the shape of the request: fields by name,
 * elements of a list by their index. Refuses to know what is wrong and why.
 */

/** Where in a request something is: names of fields and indices of lists, from the outside to the inside. */
export type Path = readonly (string | number)[];

/** Reasons in the shape of the request: `{"images": {"1": {"imageID": "why"}}}`. */
export interface ViolationTree {
  readonly [key: string]: string | ViolationTree;
}

type GrowingTree = { [key: string]: string | GrowingTree };

export class Violations {
  readonly #tree: GrowingTree = {};
  #count = 0;

  /** Notes what is wrong at a place. The first reason for a place stays; names must be ours, never the client's. */
  add(path: Path, reason: string): void {
    let node = this.#tree;
    for (const key of path.slice(0, -1)) {
      const below = node[key] ?? {};
      // The whole of it was found wrong before, which says more than a part of it.
      if (typeof below === 'string') return;
      node[key] = below;
      node = below;
    }
    const last = path.at(-1);
    if (last === undefined || node[last] !== undefined) return;
    node[last] = reason;
    this.#count += 1;
  }

  /** True as soon as anything is wrong. */
  get any(): boolean {
    return this.#count > 0;
  }

  get tree(): ViolationTree {
    return this.#tree;
  }
}
