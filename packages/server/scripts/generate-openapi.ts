/**
 * Writes docs/openapi.json from the schemas and routes.
 * With `--check` it writes nothing and exits with 1 if the file differs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { describeAPI } from '../src/http/server.ts';

const target = new URL('../../../docs/openapi.json', import.meta.url);
const text = `${JSON.stringify(await describeAPI(), null, 2)}\n`;
if (process.argv.includes('--check')) {
  const committed = await readFile(target, 'utf8').catch(() => '');
  if (committed !== text) {
    process.stderr.write('docs/openapi.json is not up to date; run: npm run generate\n');
    process.exit(1);
  }
} else {
  await writeFile(target, text);
}
