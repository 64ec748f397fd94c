/**
 * Clients that take their time: over their headers, their bodies, and what they are sent. The limits are the real ones
 * with smaller numbers; nothing here is counted in seconds but what they say.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import type { HTTPLimits, ServerProcess } from '../../support/server-process.ts';
import { waitFor } from '../../support/waiting.ts';
import { receivedText, startProcess, uploadHead } from './process.ts';

const LINUX = { skip: process.platform !== 'linux' };

let server: ServerProcess;
let sockets: Socket[] = [];
const start = async (limits: HTTPLimits, env: Record<string, string> = {}) => {
  server = await startProcess(env, limits);
};
const open = (count: number) => {
  const opened = Array.from({ length: count }, () => server.connect());
  sockets.push(...opened);
  return opened;
};
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await server.close();
});

/** Sends a byte on each of the sockets that are open, again and again, until the answer is there. */
async function drip<T>(over: Socket[], answer: Promise<T>): Promise<T> {
  const timer = setInterval(() => {
    for (const socket of over) if (socket.writable) socket.write('a');
  }, 20);
  try {
    return await answer;
  } finally {
    clearInterval(timer);
  }
}

/** How many answers there were of each status; connections that were closed without one are ''. */
function counted(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? '';
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

describe('headers', () => {
  test('that drip on 500 connections end in 408 on all of them, and others are served meanwhile', async () => {
    await start({ headersTimeout: 400, checkInterval: 100 });
    const slow = open(500);
    const answers = Promise.all(slow.map(receivedText));
    for (const socket of slow) socket.write('GET /livez HTTP/1.1\r\nHost: a\r\nX: ');
    // Asked while the 500 hold their connections, and answered before the first of them is given up.
    await Promise.all(slow.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)));
    assert.equal((await server.fetch('/livez')).status, 200);
    assert.deepEqual(counted(await drip(slow, answers)), { 408: 500 });
    assert.equal((await server.fetch('/ping')).status, 200);
  });

  test('that never come on 200 connections end in 408, without a byte of the client', LINUX, async () => {
    await start({ headersTimeout: 400, checkInterval: 100 });
    const before = await server.openFiles();
    const answers = await Promise.all(open(200).map(receivedText));
    assert.deepEqual(counted(answers), { 408: 200 });
    await waitFor('sockets are freed', server.openFiles, (files) => Number(files) <= before + 2);
  });
});

describe('bodies', () => {
  test('of 120 uploads that drip end in 408, and leave no file on its way in', LINUX, async () => {
    await start({ pace: { grace: 3_000, minRate: 64 * 1024, checkInterval: 100 } });
    const before = await server.openFiles();
    // Fewer than one account may send at once.
    const slow = open(120);
    const answers = Promise.all(slow.map(receivedText));
    const { head, form } = uploadHead(1_000_000);
    for (const socket of slow) socket.write(Buffer.concat([Buffer.from(head), form, Buffer.alloc(1_000)]));
    // They are really on their way, before any is given up.
    await waitFor(
      'files arrive',
      async () => (await server.stagedFiles()).length,
      (count) => Number(count) > 0,
    );
    assert.deepEqual(counted(await drip(slow, answers)), { 408: 120 });
    await waitFor('nothing is left', server.stagedFiles, (files) => (files as string[]).length === 0);
    await waitFor('files are closed', server.openFiles, (files) => Number(files) <= before + 2);
    await server.addImage(await picture(1));
  });

  test('that stop in the middle end in 408, though their connection stays', async () => {
    await start({ pace: { maxSilence: 200, checkInterval: 50 } });
    const [socket] = open(1) as [Socket];
    const { head, form } = uploadHead(1_000_000);
    socket.write(Buffer.concat([Buffer.from(head), form, Buffer.alloc(100_000)]));
    assert.match(
      await receivedText(socket),
      /^HTTP\/1\.1 408 .*\{"error":"no byte of the request body came/s,
    );
    assert.deepEqual(await server.stagedFiles(), []);
  });
});

describe('answers', () => {
  /** A link whose answer is larger than all that lies between server and client can hold. */
  async function large(): Promise<{ path: string; bytes: number }> {
    const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
    const original = await sharp({
      create: { width: 2048, height: 2048, channels: 3, background: 'white', noise },
    })
      .jpeg({ quality: 80 })
      .toBuffer();
    const { link } = await server.addImage(original);
    const path = `${new URL(link).pathname}?size=2048x2048&format=png`;
    const bytes = Number((await server.fetch(path, { method: 'HEAD' })).headers.get('content-length'));
    assert.ok(bytes > 8_000_000, `${bytes} bytes`);
    return { path, bytes };
  }

  /** Asks for it, and reads the first bytes only. */
  async function ask(path: string, count: number): Promise<Socket[]> {
    const asking = open(count);
    await Promise.all(
      asking.map(async (socket) => {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await once(socket, 'readable');
        socket.pause();
      }),
    );
    return asking;
  }

  /** How many bytes come, until there are so many, or no more. */
  async function upTo(socket: Socket, enough: number): Promise<number> {
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received >= enough) socket.destroy();
    });
    if (!socket.closed) await new Promise((resolve) => socket.resume().once('close', resolve));
    return received;
  }

  /** Whether the server has ended the connections, which their unread answers hide from the clients. */
  const sockets = (base: number, most: number) =>
    waitFor('connections are closed', server.openFiles, (files) => Number(files) <= base + most);

  test(
    'that are never read end their connections: 50 of them, and no more memory after than before',
    LINUX,
    async () => {
      await start({ connections: { maxSilence: 500, grace: 60_000 } });
      const { path } = await large();
      const files = await server.openFiles();
      const memory = await server.memory();
      await ask(path, 50);
      await sockets(files, 2);
      assert.ok((await server.memory()) < memory + 100_000_000);
      assert.equal((await server.fetch(path)).status, 200);
    },
  );

  test(
    'that are read a little now and then end once they are slower than the least rate',
    LINUX,
    async () => {
      // However little is read, the connection is never silent.
      await start({ connections: { maxSilence: 60_000, grace: 300, minRate: 1e9, checkInterval: 50 } });
      const { path } = await large();
      const files = await server.openFiles();
      const slow = await ask(path, 10);
      const reading = setInterval(() => {
        for (const socket of slow) socket.read(100);
      }, 20);
      await sockets(files, 2).finally(() => clearInterval(reading));
    },
  );

  test(
    'that wait in memory are bounded together: those that have waited longest go first',
    LINUX,
    async () => {
      await start({
        connections: { maxSilence: 60_000, grace: 60_000, maxWaitingBytes: 40_000_000, checkInterval: 50 },
      });
      const { path, bytes } = await large();
      const files = await server.openFiles();
      const [first] = (await ask(path, 1)) as [Socket];
      const later = await ask(path, 30);
      // Each holds more than half a megabyte of the 40, and less than what it asked for.
      await sockets(files, 10);
      const text = await receivedText(first.resume());
      assert.ok(text.length > 0 && text.length < 8_000_000, `${text.length} bytes of the first`);
      const received = await Promise.all(later.map((socket) => upTo(socket, bytes)));
      assert.ok(Math.max(...received) >= bytes, 'not all of them');
      assert.equal((await server.fetch('/livez')).status, 200);
    },
  );

  test('that are read slowly, but steadily, come whole', async () => {
    const maxSilence = 3_000;
    await start({ connections: { maxSilence, grace: 3_000, minRate: 100_000, checkInterval: 50 } });
    const { path, bytes } = await large();
    const [socket] = (await ask(path, 1)) as [Socket];
    const pause = 20;
    // Slow enough to take longer than that in all, and without being silent for more than a part of it.
    assert.ok((bytes / socket.readableHighWaterMark) * pause > maxSilence);
    let received = 0;
    const reading = setInterval(() => {
      received += (socket.read() as Buffer | null)?.length ?? 0;
      if (received >= bytes) socket.destroy();
    }, pause);
    await once(socket, 'close').finally(() => clearInterval(reading));
    assert.ok(received >= bytes, `${received} of ${bytes}`);
  });

  test('that take longer to make than a client may be silent are not cut off', async () => {
    await start({ connections: { maxSilence: 100 } });
    const wide = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: 'teal' } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    const begun = performance.now();
    await server.addImage(wide);
    assert.ok(performance.now() - begun > 100, 'it took longer than that');
  });
});

test('connections whose clients are gone without a word after an answer are closed', LINUX, async () => {
  await start({ keepAliveTimeout: 1_000 });
  const files = await server.openFiles();
  await Promise.all(
    open(20).map(async (socket) => {
      socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(socket, 'data');
      // It neither reads nor closes any more.
      socket.pause();
    }),
  );
  await waitFor('connections are closed', server.openFiles, (open) => Number(open) <= files);
});
