/**
 * Collects the problems of a request in the shape of the request: fields by name, list elements by index.
 */
import { AppError } from '../errors.ts';

/** A place in a request: field names and list indices, from the outermost to the innermost. */
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
   * Adds a reason at a place. If the place has a reason already, that one stays.
   * @param path its names must come from code, never from a client.
   */
  add(path: Path, reason: string): void {
    let node = this.#tree;
    for (const key of path.slice(0, -1)) {
      const child = node[key] ?? {};
      // A reason for the whole value stays: it says more than a reason for a part.
      if (typeof child === 'string') return;
      node[key] = child;
      node = child;
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

/** The error for a record with violations: code `invalid-record`. The answer has the violations. */
export class InvalidRecordError extends AppError {
  readonly violations: ViolationTree;

  constructor(violations: Violations) {
    super('invalid-record', 'the request is not acceptable');
    this.violations = violations.tree;
  }
}
