/**
 * The server as `main.ts` has it, but with workers that may hold less memory: `narrow.ts BYTES`. Run as a process of its
 * own by workers.test.ts.
 */
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';

const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const app = await createApp(config, log, undefined, undefined, { memoryLimitBytes: Number(process.argv[2]) });
const { url } = await app.listen();
log.info(`listening on ${url}`);
