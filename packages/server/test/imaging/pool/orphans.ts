/**
 * Owns the parent that pool.test.ts kills: a process of its own with a pool whose worker is at work. Tells the
 * worker's process id to whoever forked it. Refuses to know anything else.
 */
import type { Plan } from '../../../src/imaging/plan.ts';
import { createPool } from '../../../src/imaging/pool/pool.ts';

const [path, plan] = process.argv.slice(2);
const pool = createPool({ size: 1 });
pool.render(path ?? '', JSON.parse(plan ?? '') as Plan).catch(() => process.exit(1));
const watch = setInterval(() => {
  if (pool.running() === 0) return;
  clearInterval(watch);
  process.send?.(pool.workerPids()[0]);
}, 5);
