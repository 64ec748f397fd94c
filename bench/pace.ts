/**
 * Owns requests at a steady pace beside whatever else goes on, and what each of them waited for. Refuses to know why.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { read } from './http.ts';
import { run } from './process.ts';

/** Latencies in milliseconds of requests that begin `every` so many milliseconds, one after the other, until it is settled. */
export async function latencies(url: string, every: number, until: Promise<unknown>): Promise<number[]> {
  const values: number[] = [];
  let over = false;
  const end = () => {
    over = true;
  };
  until.then(end, end);
  while (!over) {
    const begun = performance.now();
    await read(url);
    const latency = performance.now() - begun;
    values.push(latency);
    await pause(Math.max(0, every - latency));
  }
  return values;
}

/**
 * What a client waits for is measured, and not how long the measuring process waits for a core: that is no part of any
 * client elsewhere. Where it may not (it takes root, and Linux), its own waits are counted too. Children begin anew.
 */
export async function goAhead(): Promise<string> {
  const ahead = await run('chrt', ['--reset-on-fork', '--rr', '--pid', '1', String(process.pid)]).then(
    () => true,
    () => false,
  );
  return `the measuring process ${ahead ? 'goes ahead of all others' : 'shares the cores'}`;
}
