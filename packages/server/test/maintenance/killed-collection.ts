/**
 * A process that collects the garbage of a library and kills itself before a step: a call of its database or
 * of its blob store. Without a step it prints the number of steps.
 * Arguments: the place of the library as JSON, and the step, from 1.
 */
import { BlobStore } from '../../src/blobs/store.ts';
import { GarbageCollection } from '../../src/maintenance/collect.ts';
import { openDriver, openRecords, type Place } from './collected-library.ts';

const [, , json = '', killedAt] = process.argv;
const place = JSON.parse(json) as Place;
let steps = 0;

function step(): void {
  steps += 1;
  if (steps === Number(killedAt)) process.kill(process.pid, 'SIGKILL');
}

/** Counts the calls of all methods. */
function counted<T extends object>(target: T): T {
  return new Proxy(target, {
    get(_, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      return (...call: unknown[]) => {
        step();
        return value.apply(target, call);
      };
    },
  });
}

const records = await openRecords(place);
const driver = await openDriver(place);
await new GarbageCollection({
  records: counted(records.maintenance),
  blobs: new BlobStore(counted(driver)),
  now: () => new Date(),
  removalsAtOnce: 1,
}).run({ grace: 0 });
process.stdout.write(`${steps}\n`);
await driver.close();
await records.close();
