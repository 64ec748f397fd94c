/**
 * A process that worker.test.ts forks. It prepares sharp as a worker does, and tries to open each of its
 * arguments from memory and by path. It reports those that it could open.
 */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import '../../../src/imaging/worker/main.ts';

async function canOpen(input: Buffer | string): Promise<boolean> {
  try {
    await sharp(input, { failOn: 'warning' }).raw().toBuffer();
    return true;
  } catch {
    return false;
  }
}

const opened: string[] = [];
for (const path of process.argv.slice(3)) {
  if (await canOpen(await readFile(path))) opened.push(`${path} in memory`);
  if (await canOpen(path)) opened.push(path);
}
process.send?.({ opened }, () => process.exit());
