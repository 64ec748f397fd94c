/**
 * Checks the Node version, then starts the server. This file is plain JavaScript for every Node version.
 * An older Node would otherwise stop at the first TypeScript file with an unclear message.
 */
import { fileURLToPath } from 'node:url';

const needed = 24;
const [major = 0] = process.versions.node.split('.').map(Number);
if (major < needed) {
  process.stderr.write(
    `Vitrine needs Node ${needed} or newer, and this is Node ${process.versions.node}.\n` +
      'The project brings its own: run "npm ci" (without --ignore-scripts and --omit=dev), then "npm start".\n',
  );
  process.exit(1);
}
// Keeps compiled code for the next start. The folder is inside the package, so that other users cannot write
// to it. If this user cannot write to it either, each start compiles again.
if (process.env.NODE_COMPILE_CACHE === undefined) {
  const { enableCompileCache } = await import('node:module');
  enableCompileCache(fileURLToPath(new URL('.compiled', import.meta.url)));
}
// A checkout runs the TypeScript sources. An installed package has only the compiled files.
await import('./src/main.ts').catch((error) => {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.url ?? '').endsWith('/src/main.ts'))
    throw error;
  return import('./dist/main.js');
});
