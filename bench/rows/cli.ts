/**
 * Measures 300 uploads with `vitrine upload`, including its start and upload history, against a bare fetch
 * loop with the same concurrency. Both send new files of the same pictures.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { check, interleave, type Measure } from '../bench.ts';
import { makeVariant } from '../originals.ts';
import { startScript } from '../peers/script.ts';
import { run } from '../process.ts';
import { ACCOUNT, startVitrine } from '../vitrine.ts';

const COMMAND = resolve(import.meta.dirname, '../../packages/server/vitrine.mjs');
/** The default of the command. */
const PARALLEL = 4;
/** Six megapixels, like a telephone's picture: several rounds take a quarter of an hour. */
const PHOTO = { width: 3_000, height: 2_000 };

export const measureCli: Measure = async (bench) => {
  const original = bench.originals.find(({ format }) => format === 'jpeg');
  check(original !== undefined, 'no original');
  const photo = await sharp(original.bytes).resize(PHOTO).jpeg({ quality: 88 }).toBuffer();
  const count = bench.quick ? 24 : 300;
  const rounds = bench.quick ? 2 : Math.min(3, bench.rounds);
  const vitrine = await startVitrine({ parent: bench.folder });
  const script = startScript('fetch-loop.ts');
  let number = 0;

  /** Makes a folder of new photographs. */
  const makePhotos = async () => {
    const folder = join(bench.folder, `photos-${number}`);
    await mkdir(folder);
    const files: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const path = join(folder, `${String(index).padStart(3, '0')}.jpg`);
      number += 1;
      await writeFile(path, Buffer.concat(makeVariant(photo, number)));
      files.push(path);
    }
    return { folder, files };
  };
  const home = join(bench.folder, 'home');
  const runCommand = (...args: string[]) =>
    run('env', [
      `HOME=${home}`,
      'XDG_CONFIG_HOME=',
      process.execPath,
      '--conditions=vitrine-source',
      COMMAND,
      ...args,
    ]);

  try {
    bench.log(`cli: ${count} photographs of ${(photo.length / 1e6).toFixed(1)} MB, ${PARALLEL} at a time`);
    const [publicKey = '', secretKey = ''] = readCredentials(vitrine.authorization);
    const key = ['--account', ACCOUNT, '--key', publicKey, '--secret', secretKey];
    await runCommand('login', '--server', vitrine.url, ...key);
    const perSecond = (milliseconds: number) => (count * 1_000) / milliseconds;
    const { ours, theirs } = await interleave(
      rounds,
      {
        ours: async () => {
          const { folder } = await makePhotos();
          const start = performance.now();
          const output = await runCommand('upload', folder, '--parallel', String(PARALLEL));
          const milliseconds = performance.now() - start;
          check(output.includes(`${count} uploaded, 0 uploaded before, 0 duplicate, 0 failed`), output);
          await rm(folder, { recursive: true });
          return perSecond(milliseconds);
        },
        theirs: async () => {
          const { folder, files } = await makePhotos();
          const url = `${vitrine.url}/accounts/${ACCOUNT}/images`;
          const { authorization } = vitrine;
          const milliseconds = await script.ask({ files, parallel: PARALLEL, url, authorization });
          await rm(folder, { recursive: true });
          return perSecond(milliseconds as number);
        },
      },
      { warmUp: bench.quick },
    );
    return [
      {
        work: `${count} photographs through "vitrine upload", ${PARALLEL} at a time`,
        reference: 'a bare loop of fetch',
        unit: '/s',
        compare: 'ratio',
        ours,
        theirs,
        target: { atLeast: 0.9 },
        ...(bench.quick && { note: 'few photographs, so the start of the command counts too much' }),
      },
    ];
  } finally {
    await script.stop();
    await vitrine.stop();
  }
};

function readCredentials(authorization: string): string[] {
  return Buffer.from(authorization.replace('Basic ', ''), 'base64').toString('utf8').split(':');
}
