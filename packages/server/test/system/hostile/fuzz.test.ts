/**
 * A short fuzz run, and proof that the run detects faults. `npm run fuzz` makes longer runs.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { IMAGE_FORMATS } from '../../../src/image.ts';
import { assertHealthy } from './faults.ts';
import { formatReport, fuzz, makeCase } from './fuzz.ts';
import { startProcess } from './server-process.ts';

const SEED = 20_261_124;

/** Mutations of each format. */
const PER_FORMAT = 150;
const TIME_LIMIT_MS = 90_000;

test('mutated pictures are refused or delivered, and the server stays healthy', async (t) => {
  const keepIn = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  const server = await startProcess();
  t.after(() => server.close());
  const result = await fuzz(server, { seed: SEED, perFormat: PER_FORMAT, withinMs: TIME_LIMIT_MS, keepIn });
  for (const line of formatReport(result, server)) t.diagnostic(line);
  assert.deepEqual(result.faults, []);
  await rm(keepIn, { recursive: true });
  for (const format of IMAGE_FORMATS) {
    const { sent, accepted, refused, killed } = result.formats[format];
    // If all files had the same result, the run would prove nothing.
    assert.ok(sent > 0 && accepted > 0 && refused > 0, format);
    assert.equal(killed, 0, format);
  }
  await assertHealthy(server);
});

test('the same mutation always gives the same file, and different mutations give different files', async () => {
  for (const format of IMAGE_FORMATS) {
    const files = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => makeCase(SEED, format, number)));
    const again = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => makeCase(SEED, format, number)));
    assert.deepEqual(again, files);
    assert.ok(new Set(files.map((file) => file.toString('latin1'))).size > 3);
  }
});

test('the end of the server is a fault of the run, and the file is saved for a replay', async (t) => {
  const keepIn = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  t.after(() => rm(keepIn, { recursive: true }));
  const server = await startProcess();
  t.after(() => server.close());
  const running = fuzz(server, {
    seed: SEED,
    perFormat: 1_000,
    keepIn,
    // Early in the run, while requests are open.
    onProgress: (sent) => sent === 20 && process.kill(server.pid, 'SIGKILL'),
    progressEvery: 20,
  });
  const { faults } = await running;
  assert.ok(
    faults.some((fault) => /serving process ended with .*SIGKILL/.test(fault)),
    faults.join('\n'),
  );
  const [name = ''] = await readdir(keepIn);
  const [, format, number] = name.split('-');
  const imageFormat = IMAGE_FORMATS.find((each) => each === format) ?? assert.fail(name);
  assert.deepEqual(await readFile(join(keepIn, name)), await makeCase(SEED, imageFormat, Number(number)));
  assert.ok(faults.some((fault) => fault.includes(`--seed ${SEED} --case ${format}:${number}`)));
});
