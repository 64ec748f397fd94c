/**
 * 300 photographs through `vitrine upload`, its start and its ledger included, against a bare loop of fetch that does as many at
 * once. Both send as many bytes of the same pictures, which the server has not seen.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { check, interleave, type Measure } from '../bench.ts';
import { numbered } from '../originals.ts';
import { startScript } from '../peers/script.ts';
import { run } from '../process.ts';
import { ACCOUNT, startVitrine } from '../vitrine.ts';

const COMMAND = resolve(import.meta.dirname, '../../packages/server/vitrine.mjs');
/** As the command does unless told. */
const PARALLEL = 4;
/** Six megapixels: what a telephone sends on, and enough rounds in a quarter of an hour. */
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

  /** A folder of photographs that nobody has seen. */
  const fresh = async () => {
    const folder = join(bench.folder, `photos-${number}`);
    await mkdir(folder);
    const files: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const path = join(folder, `${String(index).padStart(3, '0')}.jpg`);
      number += 1;
      await writeFile(path, Buffer.concat(numbered(photo, number)));
      files.push(path);
    }
    return { folder, files };
  };
  const home = join(bench.folder, 'home');
  const command = (...words: string[]) =>
    run('env', [
      `HOME=${home}`,
      'XDG_CONFIG_HOME=',
      process.execPath,
      '--conditions=vitrine-source',
      COMMAND,
      ...words,
    ]);

  try {
    bench.say(`cli: ${count} photographs of ${(photo.length / 1e6).toFixed(1)} MB, ${PARALLEL} at a time`);
    const [publicKey = '', secretKey = ''] = credentialsOf(vitrine.authorization);
    const key = ['--account', ACCOUNT, '--key', publicKey, '--secret', secretKey];
    await command('login', '--server', vitrine.url, ...key);
    const perSecond = (milliseconds: number) => (count * 1_000) / milliseconds;
    const { ours, theirs } = await interleave(
      rounds,
      {
        ours: async () => {
          const { folder } = await fresh();
          const begun = performance.now();
          const output = await command('upload', folder, '--parallel', String(PARALLEL));
          const spent = performance.now() - begun;
          check(output.includes(`${count} uploaded, 0 uploaded before, 0 duplicate, 0 failed`), output);
          await rm(folder, { recursive: true });
          return perSecond(spent);
        },
        theirs: async () => {
          const { folder, files } = await fresh();
          const url = `${vitrine.url}/accounts/${ACCOUNT}/images`;
          const { authorization } = vitrine;
          const spent = (await script.ask({ files, parallel: PARALLEL, url, authorization })) as number;
          await rm(folder, { recursive: true });
          return perSecond(spent);
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
        ...(bench.quick && { note: 'few photographs: the start of the command weighs more than it should' }),
      },
    ];
  } finally {
    await script.stop();
    await vitrine.stop();
  }
};

function credentialsOf(authorization: string): string[] {
  return Buffer.from(authorization.replace('Basic ', ''), 'base64').toString('utf8').split(':');
}
