/**
 * Packages that are loaded on demand: OpenTelemetry only with a registered SDK, prom-client at the first
 * scrape.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const SERVER = JSON.stringify(join(import.meta.dirname, '../support/server.ts'));

/**
 * Starts a server, sends a request and then scrapes the metrics. Prints which packages are loaded after each
 * step.
 */
const PROGRAM = `
  const { registerHooks } = await import('node:module');
  const loaded = new Set();
  registerHooks({
    load(url, context, next) {
      for (const name of ['@opentelemetry/api', 'prom-client'])
        if (url.includes('/node_modules/' + name + '/')) loaded.add(name);
      return next(url, context);
    },
  });
  const { startServer } = await import(${SERVER});
  const server = await startServer();
  if ((await server.fetch('/ping')).status !== 200) throw new Error('the request failed');
  const before = [...loaded];
  if (!(await (await fetch(server.url + '/metrics')).text()).includes('vitrine_build_info')) throw new Error('no metrics');
  console.log(JSON.stringify({ before, after: [...loaded].includes('prom-client') }));
  await server.close();
`;

test('neither OpenTelemetry nor prom-client is loaded before it is needed', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--conditions=vitrine-source',
    '--input-type=module',
    '--eval',
    PROGRAM,
  ]);
  assert.deepEqual(JSON.parse(stdout), { before: [], after: true });
});
