/**
 * Virtual environments of Python for tools and tests, with pinned packages. Python and pip use the settings
 * of the caller's environment, such as PIP_INDEX_URL.
 */
import { type SpawnOptions, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

const CACHE = join(import.meta.dirname, '../../node_modules/.cache');

/** An environment, or the reason to skip tests that need it. */
export type Availability =
  | { readonly python: string; readonly skip: false }
  | { readonly python: undefined; readonly skip: string };

/** Runs a command and returns its exit code. @throws Error if it cannot be started. */
export async function run(
  command: string,
  parameters: readonly string[],
  options: SpawnOptions = {},
): Promise<number> {
  const child = spawn(command, parameters, { stdio: 'inherit', ...options });
  return ((await once(child, 'exit'))[0] as number | null) ?? 1;
}

/**
 * Installs the packages of a file with hashes into a cache folder, unless they are there.
 * @param name names the folder.
 * @param requirements the path of the file.
 * @returns the path of the environment's Python.
 * @throws Error if Python, venv or a package is missing.
 */
export async function installPython(name: string, requirements: string): Promise<string> {
  const version = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const folder = join(CACHE, `${name}-${version}`);
  const python = join(folder, 'bin/python');
  if (existsSync(folder)) return python;
  await mkdir(CACHE, { recursive: true });
  const partial = `${folder}.${process.pid}`;
  const install = ['-m', 'pip', 'install', '--quiet', '--require-hashes', '--only-binary=:all:'];
  try {
    const succeeded =
      (await run('python3', ['-m', 'venv', partial])) === 0 &&
      (await run(join(partial, 'bin/python'), [...install, '-r', requirements])) === 0;
    if (!succeeded) throw new Error('python3 with venv and access to PyPI are required');
    await rename(partial, folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    // Another process was faster.
    if (existsSync(folder)) return python;
    throw new Error(`${name} could not be installed: ${(error as Error).message}`, { cause: error });
  }
  return python;
}

/** As installPython. @throws Error if the packages cannot be installed and CI=true. */
export async function findPython(name: string, requirements: string): Promise<Availability> {
  try {
    return { python: await installPython(name, requirements), skip: false };
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return { python: undefined, skip: (error as Error).message };
  }
}
