/**
 * The safety layers of a worker, each tested alone: blocked loaders, limits of the decoder, and a process
 * without the server's environment. Each must work even if the layers before it fail.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CheckedPicture } from '../../../src/imaging/formats/limits.ts';
import { type WorkerOptions, WorkerProcess } from '../../../src/imaging/pool/worker-process.ts';
import { openPicture } from '../../../src/imaging/worker/picture.ts';
import * as pictures from '../../support/pictures.ts';

const OPTIONS: WorkerOptions = { memoryLimitBytes: 1024 * 1024 * 1024, startDeadlineMs: 60_000 };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-worker-'));
});
after(() => rm(folder, { recursive: true }));

async function withWorker(
  options: WorkerOptions,
  use: (worker: WorkerProcess) => Promise<void>,
): Promise<void> {
  const worker = new WorkerProcess(options);
  try {
    await use(worker);
  } finally {
    worker.kill();
    await worker.ended;
  }
}

describe('the decoder of a worker', () => {
  test('opens PNG, JPEG and WebP in memory, but no other format and no file path', async () => {
    const accepted = {
      png: await pictures.png(),
      jpeg: await pictures.jpeg(),
      webp: await pictures.webp(),
    };
    const files = { ...accepted, ...(await pictures.otherFormats()) };
    const paths = Object.keys(files).map((name) => join(folder, name));
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
    // Without the environment of the pool: worker/main.ts must block the loaders by itself.
    const program = fileURLToPath(new URL('./open-files.ts', import.meta.url));
    const child = fork(program, [String(OPTIONS.memoryLimitBytes), ...paths], {
      execArgv: ['--conditions=vitrine-source'],
    });
    const messages: { opened: string[] }[] = [];
    child.on('message', (message) => {
      if (typeof message === 'object' && 'opened' in message) messages.push(message as { opened: string[] });
    });
    await once(child, 'exit');
    assert.deepEqual(
      messages[0]?.opened.map((path) => basename(path)),
      Object.keys(accepted).map((name) => `${name} in memory`),
    );
  });

  test('refuses too many pixels and damaged data, even if the header walk missed them', async () => {
    const facts = {
      width: 9,
      height: 9,
      frames: 1,
      orientation: 1,
      alpha: false,
      cmyk: false,
      ownColour: false,
    };
    const decode = (bytes: Buffer, format: CheckedPicture['format']) =>
      openPicture({ format, bytes, facts }, {}).resize(9, 9).toBuffer();
    await assert.rejects(decode(pictures.blackPng(10_001, 10_000), 'png'), /pixel limit/);
    const complete = await pictures.jpeg();
    await assert.rejects(decode(complete.subarray(0, complete.length / 2), 'jpeg'), /premature end/);
  });
});

describe('a worker process', () => {
  test('has no environment of the server, a small heap and a low priority', {
    skip: process.platform !== 'linux',
  }, async () => {
    await withWorker(OPTIONS, async (worker) => {
      assert.equal(await worker.ready, true);
      const pid = worker.pid ?? assert.fail('no process');
      const list = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0').filter(Boolean);
      const environment = list('environ').filter((entry) => !entry.startsWith('NODE_CHANNEL_'));
      assert.deepEqual(environment.sort(), ['MALLOC_ARENA_MAX=2', 'VIPS_BLOCK_UNTRUSTED=1']);
      assert.ok(list('cmdline').includes('--max-old-space-size=128'));
      assert.equal(getPriority(pid), 10);
    });
  });

  test('is killed if it is not ready before the start deadline', async () => {
    await withWorker({ ...OPTIONS, startDeadlineMs: 1 }, async (worker) => {
      assert.equal(await worker.ready, false);
      assert.deepEqual(await worker.ended, { how: 'signal SIGKILL', killedExternally: false });
    });
  });

  test('reports an external SIGKILL, but not other signals and not a SIGKILL of its parent', async () => {
    for (const [signal, killedExternally] of [
      ['SIGKILL', true],
      ['SIGSEGV', false],
      ['SIGILL', false],
    ] as const) {
      await withWorker(OPTIONS, async (worker) => {
        process.kill(worker.pid ?? assert.fail('no process'), signal);
        assert.deepEqual(await worker.ended, { how: `signal ${signal}`, killedExternally });
      });
    }
    await withWorker(OPTIONS, async (worker) => {
      worker.kill();
      assert.deepEqual(await worker.ended, { how: 'signal SIGKILL', killedExternally: false });
    });
  });
});
