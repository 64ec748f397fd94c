/**
 * Measures the calls of a BlobDriver as steps of kind `blob`. The conformance suite runs through it too.
 */
import { instrument } from '../telemetry/observed.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { BlobDriver } from './driver.ts';

/** The reader decides the duration of `list`, `close` runs once, and the others do no work. */
const EXCLUDED = new Set(['list', 'localPath', 'ensureAvailable', 'close']);

export function observeBlobs(driver: BlobDriver, telemetry: Telemetry): BlobDriver {
  return instrument(driver, telemetry, (operation) => ({ kind: 'blob', operation }), EXCLUDED);
}
