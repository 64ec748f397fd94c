/**
 * Measures the calls of an object: each method becomes a step of the telemetry.
 * The object behaves as before; `database/observed.ts` and `blobs/observed.ts` say which calls are measured.
 */
import type { Step, Telemetry } from './telemetry.ts';

/**
 * Returns the object with each method call measured as the step that `stepOf` names.
 * @param excluded methods whose calls are not measured.
 */
export function instrument<T extends object>(
  target: T,
  telemetry: Telemetry,
  stepOf: (method: string) => Step,
  excluded: ReadonlySet<string>,
): T {
  const methods = new Map<string, unknown>();
  return new Proxy(target, {
    get(_target, name) {
      const cached = typeof name === 'string' ? methods.get(name) : undefined;
      if (cached !== undefined) return cached;
      // The target is the receiver, since its private fields are not visible through a proxy.
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const step = stepOf(name);
      const call = excluded.has(name)
        ? value.bind(target)
        : (...args: unknown[]) => telemetry.step(step, () => value.apply(target, args));
      methods.set(name, call);
      return call;
    },
  });
}
