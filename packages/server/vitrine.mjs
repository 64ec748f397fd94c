#!/usr/bin/env node
/**
 * The `vitrine` command, after a look at what runs it: like start.mjs, plain JavaScript that every Node can read.
 */
import { fileURLToPath } from 'node:url';

const needed = 24;
const [major = 0] = process.versions.node.split('.').map(Number);
if (major < needed) {
  process.stderr.write(
    `Vitrine needs Node ${needed} or newer, and this is Node ${process.versions.node}.\n` +
      'In a checkout, "npm run vitrine -- …" takes the one that the project brings.\n',
  );
  process.exit(1);
}
// As in start.mjs: what was compiled once is kept, in a folder of our own.
if (process.env.NODE_COMPILE_CACHE === undefined) {
  const { enableCompileCache } = await import('node:module');
  enableCompileCache(fileURLToPath(new URL('.compiled', import.meta.url)));
}
// In a checkout the sources run as they are, the client's too; an installed package has only what was built from them.
const { existsSync } = await import('node:fs');
if (existsSync(new URL('src/cli/main.ts', import.meta.url))) {
  const { registerHooks } = await import('node:module');
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: [...context.conditions, 'vitrine-source'] }),
  });
}
await import('./src/cli/main.ts').catch((error) => {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.url ?? '').endsWith('/src/cli/main.ts'))
    throw error;
  return import('./dist/cli/main.js');
});
