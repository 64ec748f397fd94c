/**
 * A MetadataStore and a BlobDriver whose calls are told. Owns which calls are, and by which names; a method that is new in
 * a port is told without a line here; maintenance is not, since it works on everything at once. Refuses to change anything about a call: the conformance suites run over these too.
 */
import type { BlobDriver } from '../blobs/store.ts';
import type { MetadataStore } from '../database/store.ts';
import type { Step, Telemetry } from './telemetry.ts';

/** What only happens at a start and at an end. */
const LIFECYCLE = ['migrate', 'close'];

/** The store, with each call measured as `database`, under the name of its part: `images.insert`, `keys.find`. */
export function observeMetadata(store: MetadataStore, telemetry: Telemetry): MetadataStore {
  const told = <T extends object>(part: string, target: T, untold: readonly string[] = []): T =>
    observed(
      target,
      telemetry,
      (method) => ({ kind: 'database', operation: part + method }),
      new Set(untold),
    );
  const parts: Partial<Record<string | symbol, unknown>> = {
    keys: told('keys.', store.keys),
    tokens: told('tokens.', store.tokens),
    audit: told('audit.', store.audit),
    forAccount: (...call: Parameters<MetadataStore['forAccount']>) =>
      told('images.', store.forAccount(...call)),
    catalogOf: (...call: Parameters<MetadataStore['catalogOf']>) =>
      told('catalog.', store.catalogOf(...call)),
  };
  const calls = told('', store, LIFECYCLE);
  return new Proxy(store, { get: (_store, name) => parts[name] ?? Reflect.get(calls, name) });
}

/** The driver, with each call but those of `list`, which goes on for as long as its reader, measured as `blob`. */
export function observeBlobs(driver: BlobDriver, telemetry: Telemetry): BlobDriver {
  const untold = new Set(['list', 'localPath', ...LIFECYCLE]);
  return observed(driver, telemetry, (operation) => ({ kind: 'blob', operation }), untold);
}

function observed<T extends object>(
  target: T,
  telemetry: Telemetry,
  stepOf: (method: string) => Step,
  untold: ReadonlySet<string>,
): T {
  const methods = new Map<string, unknown>();
  return new Proxy(target, {
    get(_target, name) {
      const known = typeof name === 'string' ? methods.get(name) : undefined;
      if (known !== undefined) return known;
      // With itself as receiver: its private fields are its own.
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const step = stepOf(name);
      const call = untold.has(name)
        ? value.bind(target)
        : (...args: unknown[]) => telemetry.step(step, () => value.apply(target, args));
      methods.set(name, call);
      return call;
    },
  });
}
