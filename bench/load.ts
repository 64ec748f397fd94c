/**
 * Generates load with wrk. It is a C program, because it shares the cores with the measured server.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './process.ts';

/** wrk has latencies in microseconds. */
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
  /** Requests per second. */
  readonly rate: number;
  /** Bytes per response, headers included. */
  readonly bytes: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

/** True if wrk is installed. */
export async function hasWrk(): Promise<boolean> {
  // wrk exits with an error for every option that only prints, so look it up instead of running it.
  return run('sh', ['-c', 'command -v wrk']).then(
    () => true,
    () => false,
  );
}

/**
 * Sends requests on all connections for `seconds`.
 * Throws after a connection error or a status of 400 or above.
 */
export async function runLoad(
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
