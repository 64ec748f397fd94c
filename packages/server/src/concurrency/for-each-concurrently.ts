/**
 * Runs work on many items, several at the same time.
 */

/**
 * Runs `work` for each item, for at most `limit` items at the same time, and starts them in order. After the
 * first failure it starts no other item, waits for the running ones, and throws that failure.
 */
export async function forEachConcurrently<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const runLane = async () => {
    try {
      while (failure === undefined) {
        const next = await iterator.next();
        // Another lane may have failed while this one waited for its item.
        if (next.done || failure !== undefined) return;
        await work(next.value);
      }
    } catch (error) {
      failure ??= { error };
    }
  };
  await Promise.all(Array.from({ length: limit }, runLane));
  await iterator.return?.();
  if (failure !== undefined) throw (failure as { error: unknown }).error;
}
