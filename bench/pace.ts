/**
 * Sends requests at a steady pace and measures their latencies, while other work runs.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { read } from './http.ts';
import { run } from './process.ts';

/**
 * Sends one request every `interval` milliseconds, never two at a time, until the promise settles.
 * Returns the latencies in milliseconds.
 */
export async function measureLatencies(
  url: string,
  interval: number,
  until: Promise<unknown>,
): Promise<number[]> {
  const latencies: number[] = [];
  let settled = false;
  const end = () => {
    settled = true;
  };
  until.then(end, end);
  while (!settled) {
    const start = performance.now();
    await read(url);
    const latency = performance.now() - start;
    latencies.push(latency);
    await pause(Math.max(0, interval - latency));
  }
  return latencies;
}

/**
 * Gives this process real-time priority, so that its own waits for a core do not count as latency.
 * This needs root on Linux; without it those waits are included. Child processes get normal priority.
 * @returns a sentence for the output, which says whether the priority was raised
 */
export async function raisePriority(): Promise<string> {
  const raised = await run('chrt', ['--reset-on-fork', '--rr', '--pid', '1', String(process.pid)]).then(
    () => true,
    () => false,
  );
  return `the measuring process ${raised ? 'has real-time priority' : 'has normal priority: its waits for a core count as latency'}`;
}
