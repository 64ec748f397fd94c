/**
 * Starts the server like main.ts, with limits that a test can reach. Both parameters are JSON:
 * `limited-server.ts '{"headersTimeout": 200}' '{"memoryLimitBytes": 200000000}'`.
 */
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { SERVER_LIMITS } from '../../src/http/connection/server-limits.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { HTTPLimits, WorkerLimits } from './server-process.ts';

const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const [http = '{}', workers = '{}'] = process.argv.slice(2);
const limits = JSON.parse(http) as HTTPLimits;
const app = await createApp(
  config,
  log,
  undefined,
  {
    ...limits,
    connections: { ...SERVER_LIMITS.connections, ...limits.connections },
    pace: { ...SERVER_LIMITS.pace, ...limits.pace },
  },
  JSON.parse(workers) as WorkerLimits,
);
const { url } = await app.listen();
// The message of main.ts, at any log level.
process.stdout.write(`${JSON.stringify({ msg: `listening on ${url}` })}\n`);
process.on('SIGTERM', () => app.close().then(() => process.exit(0)));
