/**
 * Starts the server after a look at what runs it. Plain JavaScript that every Node can read: an older one would
 * otherwise stop at the first TypeScript file with a message that helps nobody.
 */

const needed = 24;
const [major = 0] = process.versions.node.split('.').map(Number);
if (major < needed) {
  process.stderr.write(
    `Vitrine needs Node ${needed} or newer, and this is Node ${process.versions.node}.\n` +
      'The project brings its own: run "npm ci" (without --ignore-scripts and --omit=dev), then "npm start".\n',
  );
  process.exit(1);
}
await import('./quick-start.mjs');
// In a checkout the sources run as they are; an installed package has only what was built from them.
await import('./src/main.ts').catch((error) => {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.url ?? '').endsWith('/src/main.ts'))
    throw error;
  return import('./dist/main.js');
});
