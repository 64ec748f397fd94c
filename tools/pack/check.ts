/**
 * The last step of `prepack` in each package. It fails if package.json promises a file that is missing or
 * empty. By itself, npm packs the files that it finds, and says nothing about the others.
 *
 * `node tools/pack/check.ts [FOLDER]`; default: the working folder, in which npm runs `prepack`
 */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What package.json says about its files. */
export interface Manifest {
  readonly name: string;
  readonly files?: readonly string[];
  readonly bin?: Readonly<Record<string, string>>;
  /** By subpath: a target, or targets by condition. */
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

/** The condition for a checkout. Its targets are not packed. */
const SOURCE_CONDITION = 'vitrine-source';

/** One line for each promise that the files do not keep. */
export function findProblems(manifest: Manifest, folder: string): string[] {
  const { name, files = [], bin = {}, exports = {} } = manifest;
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === 'string'
      ? target
      : Object.entries(target).flatMap(([condition, each]) => (condition === SOURCE_CONDITION ? [] : each)),
  );
  const promised = new Set(
    [...files, ...Object.values(bin), ...targets].map((path) => path.replace(/^\.\//, '')),
  );
  return [...promised].flatMap((path) => {
    const file = join(folder, path);
    if (!existsSync(file)) return `${name}: ${path} is missing`;
    const isFolder = statSync(file).isDirectory();
    const isEmpty = isFolder ? globSync('**/*.*', { cwd: file }).length === 0 : statSync(file).size === 0;
    if (isEmpty) return `${name}: ${path} is empty`;
    const isPacked =
      path === 'package.json' || files.some((each) => path === each || path.startsWith(`${each}/`));
    return isPacked ? [] : `${name}: ${path} is not in "files"`;
  });
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? '.');
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const problems = findProblems(manifest, folder);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  if (problems.length > 0) process.exitCode = 1;
}
