/**
 * Collects everything that is wrong with a request, in the shape of the request: fields by name, list elements by
 * index.
 */
import { AppError } from '../errors.ts';

/** A place in a request: field names and list indices, from the outside to the inside. */
export type Path = readonly (string | number)[];

/** Reasons in the shape of the request: `{"images": {"1": {"imageID": "why"}}}`. */
export interface ViolationTree {
  readonly [key: string]: string | ViolationTree;
}

type GrowingTree = { [key: string]: string | GrowingTree };

export class Violations {
  readonly #tree: GrowingTree = {};
  #count = 0;

  /**
   * Adds the reason for a place. The first reason for a place stays.
   * @param path names from our own code, never names that a client sent.
   */
  add(path: Path, reason: string): void {
    let node = this.#tree;
    for (const key of path.slice(0, -1)) {
      const below = node[key] ?? {};
      // A reason for the whole value says more than a reason for a part of it.
      if (typeof below === 'string') return;
      node[key] = below;
      node = below;
    }
    const last = path.at(-1);
    if (last === undefined || node[last] !== undefined) return;
    node[last] = reason;
    this.#count += 1;
  }

  /** True if there is at least one violation. */
  get any(): boolean {
    return this.#count > 0;
  }

  get tree(): ViolationTree {
    return this.#tree;
  }
}

/** A request that breaks the rules of a record: code `invalid-record`, answered with the violations. */
export class InvalidRecordError extends AppError {
  readonly violations: ViolationTree;

  constructor(violations: Violations) {
    super('invalid-record', 'the request is not acceptable');
    this.violations = violations.tree;
  }
}
