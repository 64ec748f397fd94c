/**
 * Clients that send headers or bodies slowly, or read answers slowly. The limits are the real ones with
 * smaller numbers.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
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
/** Starts a server, which `afterEach` closes. */
const start = async (limits: HTTPLimits, env: Record<string, string> = {}) => {
  server = await startProcess(env, limits);
};
/** Opens connections, which `afterEach` closes. */
const connect = (count: number) => {
  const connections = Array.from({ length: count }, () => server.connect());
  sockets.push(...connections);
  return connections;
};
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await server.close();
});

/** Sends a byte every 20 ms on each open socket until the answer arrives. */
async function sendSlowly<T>(clients: readonly Socket[], answer: Promise<T>): Promise<T> {
  const timer = setInterval(() => {
    for (const socket of clients) if (socket.writable) socket.write('a');
  }, 20);
  try {
    return await answer;
  } finally {
    clearInterval(timer);
  }
}

/** Counts answers by status. The status of a connection that closed without an answer is ''. */
function countStatuses(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? '';
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

describe('headers', () => {
  test('that arrive slowly on 500 connections get 408, and other requests are served meanwhile', async () => {
    await start({ headersTimeout: 400, checkInterval: 100 });
    const slow = connect(500);
    const answers = Promise.all(slow.map(receivedText));
    for (const socket of slow) socket.write('GET /livez HTTP/1.1\r\nHost: a\r\nX: ');
    // The request is answered while all 500 connections are open, before the first of them times out.
    await Promise.all(slow.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)));
    assert.equal((await server.fetch('/livez')).status, 200);
    assert.deepEqual(countStatuses(await sendSlowly(slow, answers)), { 408: 500 });
    assert.equal((await server.fetch('/ping')).status, 200);
  });

  test('that never arrive on 200 silent connections are closed without an answer', LINUX, async () => {
    await start({ headersTimeout: 400, checkInterval: 100 });
    const before = await server.openFiles();
    const answers = await Promise.all(connect(200).map(receivedText));
    assert.deepEqual(countStatuses(answers), { '': 200 });
    assert.ok(answers.every((answer) => answer === ''));
    await waitFor('sockets are closed', server.openFiles, (count) => count <= before + 2);
  });
});

/** The head with another content length, of the last request of its connection. */
function lastRequest(head: string, length: number): string {
  return head.replace('Content-Length: 0', `Content-Length: ${length}\r\nConnection: close`);
}

describe('bodies', () => {
  test('of 120 slow uploads get 408 and leave no unfinished files', LINUX, async () => {
    await start({ pace: { window: 3_000, minRate: 64 * 1024, maxSlow: 1_000, checkInterval: 100 } });
    const before = await server.openFiles();
    // Fewer than the 128 concurrent uploads of an account.
    const slow = connect(120);
    const answers = Promise.all(slow.map(receivedText));
    const { head, form } = uploadHead(1_000_000);
    for (const socket of slow) socket.write(Buffer.concat([Buffer.from(head), form, Buffer.alloc(1_000)]));
    // The first uploads arrive before any of them times out.
    await waitFor('uploads arrive', server.stagedFiles, (files) => files.length > 0);
    assert.deepEqual(countStatuses(await sendSlowly(slow, answers)), { 408: 120 });
    await waitFor('no unfinished upload is left', server.stagedFiles, (files) => files.length === 0);
    await waitFor('files are closed', server.openFiles, (count) => count <= before + 2);
    await server.addImage(await picture(1));
  });

  test('beyond the slow ones that an address may have get 429, and the others succeed', async () => {
    await start({ pace: { slowAfter: 1_000, maxSlow: 10, checkInterval: 100 } });
    const { head, form } = uploadHead(0);
    // The form has an image part of this length, and an end.
    const end = Buffer.from('\r\n--b--\r\n');
    const original = await picture(2);
    const length = form.length + original.length + end.length;
    const slow = connect(15);
    const refusals: string[] = [];
    const answers = slow.map(async (socket) => {
      const text = await receivedText(socket);
      if (text.startsWith('HTTP/1.1 429')) refusals.push(text);
      return text;
    });
    for (const socket of slow) {
      socket.write(Buffer.concat([Buffer.from(lastRequest(head, length)), form]));
    }
    await waitFor(
      'five are refused',
      async () => refusals.length,
      (count) => count >= 5,
    );
    for (const text of refusals) {
      assert.match(text, /\r\nretry-after: 10\r\n.*at most 10 slow request bodies/is);
    }
    for (const socket of slow) if (socket.writable) socket.write(Buffer.concat([original, end]));
    // The pictures are the same, so all but the first are duplicates.
    assert.deepEqual(countStatuses(await Promise.all(answers)), { 201: 1, 409: 9, 429: 5 });
  });

  test('that are silent for longer than idle connections may be are complete in the end', async () => {
    await start({ connections: { maxSilence: 200, checkInterval: 50 }, pace: { checkInterval: 50 } });
    const { head, form } = uploadHead(0);
    const rest = Buffer.concat([await picture(3), Buffer.from('\r\n--b--\r\n')]);
    const [socket, idle] = connect(2) as [Socket, Socket];
    const closed = receivedText(idle);
    socket.write(Buffer.concat([Buffer.from(lastRequest(head, form.length + rest.length)), form]));
    // The other connection has the same timeout, and it opened later.
    await closed;
    socket.write(rest);
    assert.match(await receivedText(socket), /^HTTP\/1\.1 201 /);
  });

  test('that stop in the middle get 408 while the connection stays open', async () => {
    await start({ pace: { maxSilence: 200, checkInterval: 50 } });
    const [socket] = connect(1) as [Socket];
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
  /** Adds an image with a rendition that does not fit into the buffers between server and client. */
  async function addLargeImage(): Promise<{ path: string; bytes: number }> {
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

  /** Requests a path on several connections and reads only the first bytes. */
  async function requestAndPause(path: string, count: number): Promise<Socket[]> {
    const clients = connect(count);
    await Promise.all(
      clients.map(async (socket) => {
        socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await once(socket, 'readable');
        socket.pause();
      }),
    );
    return clients;
  }

  /** Reads until the connection closes, or at least `limit` bytes. @returns the number of bytes */
  async function readBytes(socket: Socket, limit: number): Promise<number> {
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received >= limit) socket.destroy();
    });
    if (!socket.closed) await new Promise((resolve) => socket.resume().once('close', resolve));
    return received;
  }

  /** Clients do not see the end of a connection with an unread answer, so this counts files of the server. */
  const waitForClose = (before: number, remaining: number) =>
    waitFor('connections are closed', server.openFiles, (count) => count <= before + remaining);

  test('that 50 clients never read are ended, and their memory is freed', LINUX, async () => {
    await start({ connections: { maxSilence: 500, grace: 60_000 } });
    const { path } = await addLargeImage();
    const before = await server.openFiles();
    const memory = server.memory();
    await requestAndPause(path, 50);
    await waitForClose(before, 2);
    assert.ok(server.memory() < memory + 100_000_000);
    assert.equal((await server.fetch(path)).status, 200);
  });

  test('that are read slower than the minimum rate are ended', LINUX, async () => {
    // The clients read every 20 ms, so the connections are never silent.
    await start({ connections: { maxSilence: 60_000, grace: 300, minRate: 1e9, checkInterval: 50 } });
    const { path } = await addLargeImage();
    const before = await server.openFiles();
    const slow = await requestAndPause(path, 10);
    const reading = setInterval(() => {
      for (const socket of slow) socket.read(100);
    }, 20);
    await waitForClose(before, 2).finally(() => clearInterval(reading));
  });

  test(
    'that exceed the memory limit for unread answers are ended, the longest wait first',
    LINUX,
    async () => {
      await start({
        connections: { maxSilence: 60_000, grace: 60_000, maxWaitingBytes: 40_000_000, checkInterval: 50 },
      });
      const { path, bytes } = await addLargeImage();
      const before = await server.openFiles();
      const [first] = (await requestAndPause(path, 1)) as [Socket];
      const others = await requestAndPause(path, 30);
      // Each connection holds a part of its answer, more than half a megabyte of the limit of 40.
      await waitForClose(before, 10);
      const text = await receivedText(first.resume());
      assert.ok(text.length > 0 && text.length < 8_000_000, `${text.length} bytes of the first`);
      const received = await Promise.all(others.map((socket) => readBytes(socket, bytes)));
      assert.ok(Math.max(...received) >= bytes, 'some connections stay open');
      assert.equal((await server.fetch('/livez')).status, 200);
    },
  );

  test('that are read slowly but steadily arrive completely', async () => {
    const maxSilence = 3_000;
    await start({ connections: { maxSilence, grace: 3_000, minRate: 100_000, checkInterval: 50 } });
    const { path, bytes } = await addLargeImage();
    const [socket] = (await requestAndPause(path, 1)) as [Socket];
    const pause = 20;
    // The whole answer takes longer than `maxSilence`, but no pause does.
    assert.ok((bytes / socket.readableHighWaterMark) * pause > maxSilence);
    let received = 0;
    const reading = setInterval(() => {
      received += (socket.read() as Buffer | null)?.length ?? 0;
      if (received >= bytes) socket.destroy();
    }, pause);
    await once(socket, 'close').finally(() => clearInterval(reading));
    assert.ok(received >= bytes, `${received} of ${bytes}`);
  });

  test('that take longer to render than the silence limit are not ended', async () => {
    await start({ connections: { maxSilence: 100 } });
    const wide = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: 'teal' } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    const uploadStart = performance.now();
    await server.addImage(wide);
    assert.ok(performance.now() - uploadStart > 100, 'the upload took longer than the limit');
  });
});

test('idle connections of clients that disappeared after an answer are closed', LINUX, async () => {
  await start({}, { VITRINE_KEEP_ALIVE: '1' });
  const before = await server.openFiles();
  await Promise.all(
    connect(20).map(async (socket) => {
      socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(socket, 'data');
      // From now on the client neither reads nor closes.
      socket.pause();
    }),
  );
  await waitFor('connections are closed', server.openFiles, (count) => count <= before);
});

test('idle connections after an answer stay open for longer than those without a request', async () => {
  await start({ connections: { maxSilence: 200 } }, { VITRINE_KEEP_ALIVE: '600' });
  const [idle] = connect(1) as [Socket];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<Socket>();
  const requestOnce = async () => {
    const outgoing = request(`${server.url}/livez`, { agent });
    outgoing.on('socket', (socket) => sockets.add(socket));
    const [answer] = (await once(outgoing.end(), 'response')) as [IncomingMessage];
    await once(answer.resume(), 'end');
  };
  await requestOnce();
  // It opened later than the other connection, so that one has been idle for longer.
  const [later] = connect(1) as [Socket];
  await Promise.all([receivedText(idle), receivedText(later)]);
  await requestOnce();
  assert.equal(sockets.size, 1);
  agent.destroy();
});
