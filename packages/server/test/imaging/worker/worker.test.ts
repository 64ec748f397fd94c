/**
 * What stands around a decoder, each by itself: that it would open nothing else, stop at what is wrong, and know
 * nothing, even if what stands before it were to fail.
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
import type { Walked } from '../../../src/imaging/formats/limits.ts';
import { Child, type ChildOptions } from '../../../src/imaging/pool/worker-process.ts';
import { openPicture } from '../../../src/imaging/worker/render.ts';
import * as pictures from '../../support/pictures.ts';

const OPTIONS: ChildOptions = { memoryLimitBytes: 1024 * 1024 * 1024, startDeadlineMs: 60_000 };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-worker-'));
});
after(() => rm(folder, { recursive: true }));

async function withChild(options: ChildOptions, use: (child: Child) => Promise<void>): Promise<void> {
  const child = new Child(options);
  try {
    await use(child);
  } finally {
    child.kill();
    await child.ended;
  }
}

describe('the decoder of a worker', () => {
  test('opens PNG, JPEG and WebP in memory, and nothing else: no other format, and no file by its path', async () => {
    const accepted = {
      png: await pictures.png(),
      jpeg: await pictures.jpeg(),
      webp: await pictures.webp(),
    };
    const files = { ...accepted, ...(await pictures.otherFormats()) };
    const paths = Object.keys(files).map((name) => join(folder, name));
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
    // Without the environment that child.ts gives: each of the two is to do for itself.
    const program = fileURLToPath(new URL('./prepared.ts', import.meta.url));
    const prepared = fork(program, [String(OPTIONS.memoryLimitBytes), ...paths], {
      execArgv: ['--conditions=vitrine-source'],
    });
    const told: { opened: string[] }[] = [];
    prepared.on('message', (message) => {
      if (typeof message === 'object' && 'opened' in message) told.push(message as { opened: string[] });
    });
    await once(prepared, 'exit');
    assert.deepEqual(
      told[0]?.opened.map((path) => basename(path)),
      Object.keys(accepted).map((name) => `${name} in memory`),
    );
  });

  test('has limits of its own, should the header walk ever be wrong about a picture', async () => {
    const facts = { width: 9, height: 9, frames: 1, orientation: 1, alpha: false, cmyk: false };
    const decoding = (bytes: Buffer, format: Walked['format']) =>
      openPicture({ format, bytes, facts }, {}).resize(9, 9).toBuffer();
    await assert.rejects(decoding(pictures.blackPng(10_001, 10_000), 'png'), /pixel limit/);
    const torn = await pictures.jpeg();
    await assert.rejects(decoding(torn.subarray(0, torn.length / 2), 'jpeg'), /premature end/);
  });
});

describe('a worker process', () => {
  test('knows nothing of the server, has little memory for objects, and gives way', {
    skip: process.platform !== 'linux',
  }, async () => {
    await withChild(OPTIONS, async (child) => {
      assert.equal(await child.ready, true);
      const pid = child.pid ?? assert.fail('no process');
      const list = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0').filter(Boolean);
      const environment = list('environ').filter((entry) => !entry.startsWith('NODE_CHANNEL_'));
      assert.deepEqual(environment.sort(), ['MALLOC_ARENA_MAX=2', 'VIPS_BLOCK_UNTRUSTED=1']);
      assert.ok(list('cmdline').includes('--max-old-space-size=128'));
      assert.equal(getPriority(pid), 10);
    });
  });

  test('is killed if it does not start in time', async () => {
    await withChild({ ...OPTIONS, startDeadlineMs: 1 }, async (child) => {
      assert.equal(await child.ready, false);
      assert.deepEqual(await child.ended, { how: 'signal SIGKILL', taken: false });
    });
  });

  test('tells a SIGKILL of others from its parent’s, and from signals that it may have caused itself', async () => {
    for (const [signal, taken] of [
      ['SIGKILL', true],
      ['SIGSEGV', false],
      ['SIGILL', false],
    ] as const) {
      await withChild(OPTIONS, async (child) => {
        process.kill(child.pid ?? assert.fail('no process'), signal);
        assert.deepEqual(await child.ended, { how: `signal ${signal}`, taken });
      });
    }
    await withChild(OPTIONS, async (child) => {
      child.kill();
      assert.deepEqual(await child.ended, { how: 'signal SIGKILL', taken: false });
    });
  });
});
