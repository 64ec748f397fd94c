/**
 * Builds the published server with rolldown: one file for each entry, and shared chunks. Kysely and typebox
 * are bundled, because Node spends a third of a start on their 800 modules (docs/adr/0044). The files of
 * Swagger UI are copied (docs/adr/0050).
 *
 * `node scripts/build.ts [FOLDER]`; default: `dist`
 */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { type Plugin, rolldown } from 'rolldown';

const SOURCE = join(import.meta.dirname, '../src');
const MODULES = join(import.meta.dirname, '../../../node_modules');
const BUNDLED = ['kysely', 'typebox'];
const SWAGGER_UI = join(MODULES, '@fastify/swagger-ui/static');
const SWAGGER_UI_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js'];

/** Programs, and workers that the server finds by their URL. They keep their paths. */
const ENTRIES = ['main', 'cli/main', 'database/sqlite/worker', 'imaging/worker/main'];

/**
 * A chunk has parts of several sources, so its own URL is not the one that a source expects.
 * This replaces `import.meta.url` with the URL that the source would have without a bundle.
 */
const keepURLs: Plugin = {
  name: 'keep-urls',
  transform(code, id) {
    if (!id.startsWith(SOURCE) || !code.includes('import.meta.url')) return;
    const path = relative(SOURCE, id).replaceAll(sep, '/').replace(/\.ts$/, '.js');
    return code.replaceAll('import.meta.url', `new URL('./${path}', import.meta.ROOT).href`);
  },
  renderChunk(code, { fileName }) {
    const root = relative(dirname(fileName), '.') || '.';
    return code.replaceAll('import.meta.ROOT', `new URL('${root}/', import.meta.url)`);
  },
};

const out = resolve(process.argv[2] ?? join(import.meta.dirname, '../dist'));
await rm(out, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(ENTRIES.map((name) => [name, join(SOURCE, `${name}.ts`)])),
  platform: 'node',
  external: (id) => !/^[./]/.test(id) && !BUNDLED.some((name) => id === name || id.startsWith(`${name}/`)),
  plugins: [keepURLs],
});
await bundle.write({
  dir: out,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name]-[hash].js',
});
await bundle.close();
await mkdir(join(out, 'swagger-ui'));
for (const file of SWAGGER_UI_FILES) await copyFile(join(SWAGGER_UI, file), join(out, 'swagger-ui', file));
const licenses = [...BUNDLED.map(readLicense), readLicense('@fastify/swagger-ui'), swaggerUILicense()];
await writeFile(join(out, 'LICENSES.txt'), (await Promise.all(licenses)).join('\n\n'));

/** The licence of a bundled package, which its copies must include. */
async function readLicense(name: string): Promise<string> {
  const folder = join(MODULES, name);
  const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) throw new Error(`${name} has no file with its licence`);
  return `${name}\n\n${await readFile(join(folder, file), 'utf8')}`;
}

/** The package with the files has only its own licence. Swagger UI has the same licence as Vitrine. */
async function swaggerUILicense(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../LICENSE'), 'utf8');
  return `swagger-ui\n\nCopyright 2020-2021 SmartBear Software Inc.\n\n${text}`;
}
