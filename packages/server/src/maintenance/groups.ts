/**
 * Groups the items of a long listing, so that one query or one batch of reads serves several of them.
 */

/** Groups of `size` items in their order; the last one may have fewer. */
export async function* inGroups<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const item of items) {
    group.push(item);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
