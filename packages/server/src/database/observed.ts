/**
 * Measures the calls of a MetadataStore as steps of kind `database`, named `images.insert`, `keys.find` and
 * so on. A new method of a port is measured without a line here. The conformance suites run through it too.
 */
import { instrument } from '../telemetry/observed.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { MetadataStore } from './store.ts';

/** Calls at the start and the stop of a process. They are not measured. */
const LIFECYCLE = new Set(['migrate', 'listen', 'close']);
const NONE: ReadonlySet<string> = new Set();

/** The calls of `maintenance` are not measured, because they work on all records at once. */
export function observeMetadata(store: MetadataStore, telemetry: Telemetry): MetadataStore {
  const instrumented = <T extends object>(prefix: string, target: T, excluded = NONE): T =>
    instrument(target, telemetry, (method) => ({ kind: 'database', operation: prefix + method }), excluded);
  const parts: Partial<Record<string | symbol, unknown>> = {
    accounts: instrumented('accounts.', store.accounts),
    keys: instrumented('keys.', store.keys),
    tokens: instrumented('tokens.', store.tokens),
    audit: instrumented('audit.', store.audit),
    events: instrumented('events.', store.events),
    purges: instrumented('purges.', store.purges),
    forAccount: (...call: Parameters<MetadataStore['forAccount']>) =>
      instrumented('images.', store.forAccount(...call)),
    catalogOf: (...call: Parameters<MetadataStore['catalogOf']>) =>
      instrumented('catalog.', store.catalogOf(...call)),
  };
  const calls = instrumented('', store, LIFECYCLE);
  return new Proxy(store, { get: (_store, name) => parts[name] ?? Reflect.get(calls, name) });
}
