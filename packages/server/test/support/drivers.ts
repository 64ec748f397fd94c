/**
 * Real drivers with something about them changed: never a mock, always somebody's whole behaviour but for one thing.
 */
import type { BlobDriver } from '../../src/blobs/driver.ts';

/** The same driver, as one whose blobs are not local files. */
export function withoutLocalPaths(driver: BlobDriver): BlobDriver {
  return {
    stagingFolder: driver.stagingFolder,
    put: (...args) => driver.put(...args),
    replace: (...args) => driver.replace(...args),
    open: (...args) => driver.open(...args),
    stat: (...args) => driver.stat(...args),
    delete: (...args) => driver.delete(...args),
    list: (...args) => driver.list(...args),
    check: (...args) => driver.check(...args),
    close: () => driver.close(),
  };
}

/** The same driver, but for what is changed. */
export function withChanges(driver: BlobDriver, changes: Partial<BlobDriver>): BlobDriver {
  return {
    ...withoutLocalPaths(driver),
    ...(driver.localPath && { localPath: driver.localPath.bind(driver) }),
    ...changes,
  };
}
