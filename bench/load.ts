/**
 * Owns load by wrk: a C program, so that the generator costs little of the cores it shares with what it measures.
 * Refuses to know what is behind a URL.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './process.ts';

/** Latencies are in microseconds there. */
const SCRIPT = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(95)))
end
`;

export interface LoadOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoadResult {
  /** Per second. */
  readonly rate: number;
  /** Per answer, headers and all. */
  readonly bytes: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

/** True if wrk is installed. */
export async function hasWrk(): Promise<boolean> {
  // It has no switch that ends well; what counts is that there is something to run.
  return run('sh', ['-c', 'command -v wrk']).then(
    () => true,
    () => false,
  );
}

/** Keeps the connections busy for that long. Throws if one answer is an error or of status 400 and above. */
export async function load(
  folder: string,
  url: string,
  { connections, seconds, headers = {} }: LoadOptions,
): Promise<LoadResult> {
  const script = join(folder, 'wrk.lua');
  await writeFile(script, SCRIPT);
  const output = await run('wrk', [
    ...['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '-s', script],
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    url,
  ]);
  const numbers = /^RESULT (.+)$/m.exec(output)?.[1]?.split(' ').map(Number);
  const [requests = 0, duration = 0, bytes = 0, errors = 0, p50 = 0, p95 = 0] = numbers ?? [];
  if (!numbers || requests === 0 || errors > 0) throw new Error(`wrk on ${url} failed:\n${output}`);
  return {
    rate: requests / (duration / 1e6),
    bytes: bytes / requests,
    p50: p50 / 1_000,
    p95: p95 / 1_000,
  };
}
