/**
 * SSIMULACRA2 of pairs of pictures, by the PyPI package of this name.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import sharp from 'sharp';
import { installPython } from '../python/environment.ts';

const HERE = import.meta.dirname;

export interface Scorer {
  /** 100: equal. 90: no difference to be seen. 70: good. 50: middling. Both files in any format of sharp. */
  readonly score: (reference: Buffer, distorted: Buffer) => Promise<number>;
  /** Seconds that the package took for all scores. */
  readonly seconds: () => number;
  readonly stop: () => Promise<void>;
}

/** Starts one Python process. It takes about two seconds for a megapixel, twice as long with transparency. */
export async function startScorer(): Promise<Scorer> {
  const python = await installPython('ssimulacra2', join(HERE, 'requirements.txt'));
  const folder = await mkdtemp(join(tmpdir(), 'quality-'));
  const child = spawn(python, [join(HERE, 'score.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const files = [join(folder, 'reference.png'), join(folder, 'distorted.png')] as const;
  let seconds = 0;
  return {
    seconds: () => seconds,
    // One pair at a time: the files have fixed names.
    score: async (reference, distorted) => {
      for (const [index, bytes] of [reference, distorted].entries()) {
        const png = await sharp(bytes).toColourspace('srgb').png({ compressionLevel: 1 }).toBuffer();
        await writeFile(files[index] as string, png);
      }
      child.stdin.write(`${files.join('\t')}\n`);
      const line = await lines.next();
      if (line.done === true) throw new Error('score.py ended: its error is above');
      const result = JSON.parse(line.value) as { score: number; seconds: number };
      seconds += result.seconds;
      return result.score;
    },
    stop: async () => {
      child.stdin.end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
