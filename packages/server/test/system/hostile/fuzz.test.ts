/**
 * A part of the fuzz run, with every change of the code; `npm run fuzz` sends as many as one likes, and the checks all of
 * them. And that the run would notice what it is there for.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fuzz, fuzzCase, IMAGE_FORMATS, report } from './fuzz.ts';
import { assertUnharmed } from './judge.ts';
import { startProcess } from './process.ts';

const SEED = 20_261_124;

/** Mutations of each format; at most for so long, in milliseconds. */
const PART = 150;
const WITHIN = 90_000;

test('mutations of pictures are refused or delivered, and the server is none the worse for them', async (t) => {
  const keepIn = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  const server = await startProcess();
  t.after(() => server.close());
  const result = await fuzz(server, { seed: SEED, perFormat: PART, withinMs: WITHIN, keepIn });
  for (const line of report(result, server)) t.diagnostic(line);
  assert.deepEqual(result.faults, []);
  await rm(keepIn, { recursive: true });
  for (const format of IMAGE_FORMATS) {
    const { sent, accepted, refused, killed } = result.formats[format];
    // A run in which all of them go the same way would show nothing.
    assert.ok(sent > 0 && accepted > 0 && refused > 0, format);
    assert.equal(killed, 0, format);
  }
  await assertUnharmed(server);
});

test('a mutation is the same file whenever it is made, and others are others', async () => {
  for (const format of IMAGE_FORMATS) {
    const files = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => fuzzCase(SEED, format, number)));
    const again = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => fuzzCase(SEED, format, number)));
    assert.deepEqual(again, files);
    assert.ok(new Set(files.map((file) => file.toString('latin1'))).size > 3);
  }
});

test('a server that ends is a fault of the run, and the file is kept for a replay', async (t) => {
  const keepIn = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'));
  t.after(() => rm(keepIn, { recursive: true }));
  const server = await startProcess();
  t.after(() => server.close());
  const running = fuzz(server, {
    seed: SEED,
    perFormat: 1_000,
    keepIn,
    // Early in the run, while requests are on their way.
    onProgress: (sent) => sent === 20 && process.kill(server.pid, 'SIGKILL'),
    progressEvery: 20,
  });
  const { faults } = await running;
  assert.ok(
    faults.some((fault) => /serving process ended with .*SIGKILL/.test(fault)),
    faults.join('\n'),
  );
  const kept = await readdir(keepIn);
  const [name = ''] = kept;
  const [, format, number] = name.split('-');
  const wanted = IMAGE_FORMATS.find((known) => known === format) ?? assert.fail(name);
  assert.deepEqual(await readFile(join(keepIn, name)), await fuzzCase(SEED, wanted, Number(number)));
  assert.ok(faults.some((fault) => fault.includes(`--seed ${SEED} --case ${format}:${number}`)));
});
