/**
 * The server as `main.ts` has it, but with limits that a test can wait for or reach: of the HTTP server, and of the workers.
 * Run as a process of its own: `limited.ts '{"headersTimeout": 200}' '{"memoryLimitBytes": 200000000}'`.
 */
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { SERVER_LIMITS, type ServerLimits } from '../../src/http/connection/server-limits.ts';
import type { PoolOptions } from '../../src/imaging/pool/pool.ts';
import { createLog } from '../../src/telemetry/log.ts';

const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const [limits = '{}', workers = '{}'] = process.argv.slice(2);
const given = JSON.parse(limits) as Partial<ServerLimits>;
const app = await createApp(
  config,
  log,
  undefined,
  {
    ...given,
    connections: { ...SERVER_LIMITS.connections, ...given.connections },
    pace: { ...SERVER_LIMITS.pace, ...given.pace },
  },
  JSON.parse(workers) as Pick<PoolOptions, 'memoryLimitBytes'>,
);
const { url } = await app.listen();
// In the words of main.ts, and at any level of the log.
process.stdout.write(`${JSON.stringify({ msg: `listening on ${url}` })}\n`);
process.on('SIGTERM', () => app.close().then(() => process.exit(0)));
