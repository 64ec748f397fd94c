/**
 * Owns the process that worker.test.ts forks: prepared as a worker is, by worker.ts itself, it tries to open the files
 * that it is named, whole in memory and by their path, and tells which of them it could. Refuses to know why.
 */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import '../../../src/imaging/worker/main.ts';

async function opens(input: Buffer | string): Promise<boolean> {
  try {
    await sharp(input, { failOn: 'warning' }).raw().toBuffer();
    return true;
  } catch {
    return false;
  }
}

const opened: string[] = [];
for (const path of process.argv.slice(3)) {
  if (await opens(await readFile(path))) opened.push(`${path} in memory`);
  if (await opens(path)) opened.push(path);
}
process.send?.({ opened }, () => process.exit());
