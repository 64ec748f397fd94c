/**
 * Real blob drivers with single methods replaced. Tests use them instead of mocks.
 */
import type { BlobDriver } from '../../src/blobs/driver.ts';

/** The same driver without `localPath`, like a driver of a remote store. */
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

/** The same driver with some methods replaced. */
export function withChanges(driver: BlobDriver, changes: Partial<BlobDriver>): BlobDriver {
  return {
    ...withoutLocalPaths(driver),
    ...(driver.localPath && { localPath: driver.localPath.bind(driver) }),
    ...changes,
  };
}
