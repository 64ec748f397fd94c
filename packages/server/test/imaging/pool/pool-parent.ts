/**
 * A process with a pool and one busy worker. pool.test.ts forks it, receives the process ID of the worker,
 * and kills this process.
 */
import type { Plan } from '../../../src/imaging/plan.ts';
import { createPool } from '../../../src/imaging/pool/pool.ts';

const [path, plan] = process.argv.slice(2);
const pool = createPool({ size: 1 });
pool.render(path ?? '', JSON.parse(plan ?? '') as Plan).catch(() => process.exit(1));
const timer = setInterval(() => {
  if (pool.running() === 0) return;
  clearInterval(timer);
  process.send?.(pool.workerPids()[0]);
}, 5);
