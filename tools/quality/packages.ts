/**
 * Files out of pinned Python packages. For the data in them: none of their code runs.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../python/environment.ts';

const CACHE = join(import.meta.dirname, '../../node_modules/.cache');
const PIP = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--require-hashes', '--only-binary=:all:'];
const UNPACK = `import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[2])`;

/**
 * Downloads and unpacks the packages of a file with hashes, unless they are there. Returns the folder.
 * @throws Error if Python or a package is missing.
 */
export async function unpackPackages(requirements: string): Promise<string> {
  const version = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const folder = join(CACHE, `pictures-${version}`);
  if (existsSync(folder)) return folder;
  const partial = `${folder}.${process.pid}`;
  const wheels = join(partial, 'wheels');
  await mkdir(wheels, { recursive: true });
  const succeeded =
    (await run('python3', [...PIP, '-d', wheels, '-r', requirements])) === 0 &&
    (await run('python3', ['-c', UNPACK, wheels, partial])) === 0;
  await rm(succeeded ? wheels : partial, { recursive: true, force: true });
  if (!succeeded) throw new Error('the pictures need python3 with pip and access to PyPI');
  await rename(partial, folder);
  return folder;
}
