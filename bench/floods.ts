/**
 * Owns the floods that `npm run bench:overload` lets loose on a server, each in words of what clients do. They run in a
 * process of their own. Refuses to know what becomes of the server.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { closedLoop, request, sendImage } from './http.ts';
import { enlarged, numbered } from './originals.ts';

/** What is flooded. */
export interface Target {
  readonly url: string;
  readonly authorization: string;
  /** The path under which images are uploaded. */
  readonly images: string;
  /** Links of images. */
  readonly links: readonly string[];
  /** A JPEG. */
  readonly original: Buffer;
}

/** What became of it, as a client sees it: how often each status was answered, or how often nothing was. */
export type Outcomes = Record<string, number>;

const SECONDS = 12;

/** Each runs until it is over or for `SECONDS`; `begin` is to be awaited ahead of the first byte. */
export const FLOODS: Readonly<
  Record<string, (target: Target, begin: () => Promise<void>) => Promise<Outcomes>>
> = {
  'more renders than the machine can do: 64 at a time, new sizes of ten images': async (target, begin) => {
    const outcomes: Outcomes = {};
    let size = 0;
    await begin();
    await during(64, async () => {
      size += 1;
      const link = target.links[size % target.links.length];
      const { status } = await request(
        'GET',
        `${link}?size=${300 + (size % 900)}x${300 + Math.floor(size / 900)}&format=webp`,
      );
      count(outcomes, status);
    });
    return outcomes;
  },

  '64 uploads of 16 MiB at a time': async (target, begin) => {
    const outcomes: Outcomes = {};
    const large = await enlarged(target.original);
    let number = 0;
    await begin();
    await during(64, async () => {
      number += 1;
      const url = `${target.url}${target.images}`;
      const { status } = await sendImage('POST', url, target.authorization, numbered(large, number));
      count(outcomes, status);
    });
    return outcomes;
  },

  '100 uploads at a time that are aborted after 50 kB': async (target, begin) => {
    const outcomes: Outcomes = {};
    const beginning = Buffer.concat([uploadHead(target, 5_000_000), Buffer.alloc(50_000)]);
    await begin();
    await during(100, async () => {
      const socket = open(target);
      await new Promise<void>((resolve) => socket.write(beginning, () => resolve()));
      socket.resetAndDestroy();
      count(outcomes, 'aborted');
    });
    return outcomes;
  },

  '400 connections that drip headers and 120 uploads that drip bodies': async (target, begin) => {
    const outcomes: Outcomes = {};
    const head = uploadHead(target, 5_000_000);
    await begin();
    await closedLoop(Array.from({ length: 520 }), 520, async (_) => {
      const index = outcomes.begun ?? 0;
      count(outcomes, 'begun');
      const socket = open(target);
      let ended = false;
      socket.on('data', (chunk: Buffer) => count(outcomes, String(chunk).slice(9, 12)));
      socket.once('close', () => {
        ended = true;
      });
      socket.write(index < 400 ? 'GET /livez HTTP/1.1\r\nHost: a\r\n' : head);
      const until = performance.now() + SECONDS * 1_000;
      while (!ended && performance.now() < until) {
        await pause(1_000);
        if (!ended) socket.write(index < 400 ? 'A: b\r\n' : 'a');
      }
      if (!ended) count(outcomes, 'left open');
      socket.destroy();
    });
    return outcomes;
  },
};

/** Does it again and again, so many at a time, for as long as a flood lasts. */
async function during(concurrency: number, each: () => Promise<void>): Promise<void> {
  const until = performance.now() + SECONDS * 1_000;
  const lane = async () => {
    while (performance.now() < until) await each();
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

function count(outcomes: Outcomes, what: string | number): void {
  outcomes[what] = (outcomes[what] ?? 0) + 1;
}

function open({ url }: Target): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  // What the server does to it is part of what is looked at.
  socket.on('error', () => undefined);
  return socket;
}

/** The head of an upload of so many bytes, and the beginning of its form. */
function uploadHead({ images, authorization }: Target, length: number): Buffer {
  return Buffer.from(
    `POST ${images} HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nContent-Length: ${length}\r\n` +
      'Content-Type: multipart/form-data; boundary=b\r\n\r\n' +
      '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n' +
      'Content-Type: application/octet-stream\r\n\r\n',
  );
}
