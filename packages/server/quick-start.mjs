/**
 * Makes the start of a process about a third faster. Import it before any other module.
 * The Node version must already be checked, because older versions lack these functions.
 */
import { enableCompileCache, registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

// Keep compiled code between starts. The folder is inside the package, not in a shared temporary folder:
// other users could write code there. If the folder is read-only, Node compiles again.
if (process.env.NODE_COMPILE_CACHE === undefined) {
  enableCompileCache(fileURLToPath(new URL('.compiled', import.meta.url)));
}

// Two libraries have 800 small modules. For each import, Node looks up the package and resolves symbolic
// links. Inside these packages and our own sources that is not needed: a relative path is the final path.
const plain = [
  { within: /\/node_modules\/(?:kysely|typebox)\//, specifier: /^\.{1,2}\/.*\.m?js$/, format: 'module' },
  { within: new URL('dist/', import.meta.url).href, specifier: /^\.{1,2}\/.*\.js$/, format: 'module' },
  {
    within: new URL('src/', import.meta.url).href,
    specifier: /^\.{1,2}\/.*\.ts$/,
    format: 'module-typescript',
  },
];

registerHooks({
  resolve(specifier, context, next) {
    const { parentURL = '', conditions } = context;
    if (specifier.startsWith('.') && conditions.includes('import')) {
      for (const { within, specifier: pattern, format } of plain) {
        const inside = typeof within === 'string' ? parentURL.startsWith(within) : within.test(parentURL);
        if (inside && pattern.test(specifier)) {
          return { url: new URL(specifier, parentURL).href, format, shortCircuit: true };
        }
      }
    }
    return next(specifier, context);
  },
});
