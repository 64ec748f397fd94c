#!/usr/bin/env node
/**
 * Checks the Node version, then runs the `vitrine` command. Like start.mjs it is plain JavaScript for every
 * Node.
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
// Keeps compiled code for the next start, as in start.mjs.
if (process.env.NODE_COMPILE_CACHE === undefined) {
  const { enableCompileCache } = await import('node:module');
  enableCompileCache(fileURLToPath(new URL('.compiled', import.meta.url)));
}
// A checkout runs the TypeScript sources. An installed package has only the compiled files.
const { existsSync } = await import('node:fs');
const inCheckout = existsSync(new URL('src/cli/main.ts', import.meta.url));
if (inCheckout && !import.meta.resolve('@vitrine/client').endsWith('.ts')) {
  process.stderr.write('In a checkout, "npm run vitrine -- …" takes the sources of the client as well.\n');
  process.exit(1);
}
await import(inCheckout ? './src/cli/main.ts' : './dist/cli/main.js');
