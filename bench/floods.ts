/**
 * The floods of `npm run bench:overload`, each named after the behaviour of the clients.
 * They run in a process of their own, apart from the measurement.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { request, runClosedLoop, sendImage } from './http.ts';
import { enlarge, makeVariant } from './originals.ts';

/** The server to flood. */
export interface Target {
  readonly url: string;
  readonly authorization: string;
  /** The upload path. */
  readonly images: string;
  /** Public links of images. */
  readonly links: readonly string[];
  /** A JPEG. */
  readonly original: Buffer;
}

/** The number of requests by outcome, as the client sees it: a status, or the end of the connection. */
export type Outcomes = Record<string, number>;

const SECONDS = 12;

/** A flood ends by itself or after `SECONDS`. It awaits `begin` before its first byte. */
export const FLOODS: Readonly<
  Record<string, (target: Target, begin: () => Promise<void>) => Promise<Outcomes>>
> = {
  'more renders than the machine can do: 64 at a time, new sizes of ten images': async (target, begin) => {
    const outcomes: Outcomes = {};
    let size = 0;
    await begin();
    await repeatConcurrently(64, async () => {
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
    const large = await enlarge(target.original);
    let number = 0;
    await begin();
    await repeatConcurrently(64, async () => {
      number += 1;
      const url = `${target.url}${target.images}`;
      const { status } = await sendImage('POST', url, target.authorization, makeVariant(large, number));
      count(outcomes, status);
    });
    return outcomes;
  },

  '100 uploads at a time that are aborted after 50 kB': async (target, begin) => {
    const outcomes: Outcomes = {};
    const beginning = Buffer.concat([buildUploadHead(target, 5_000_000), Buffer.alloc(50_000)]);
    await begin();
    await repeatConcurrently(100, async () => {
      const socket = open(target);
      await new Promise<void>((resolve) => socket.write(beginning, () => resolve()));
      socket.resetAndDestroy();
      count(outcomes, 'aborted');
    });
    return outcomes;
  },

  '400 connections that drip headers and 120 uploads that drip bodies': async (target, begin) => {
    const outcomes: Outcomes = {};
    const head = buildUploadHead(target, 5_000_000);
    await begin();
    await runClosedLoop(Array.from({ length: 520 }), 520, async (_) => {
      const index = outcomes.begun ?? 0;
      count(outcomes, 'begun');
      const socket = open(target);
      let closed = false;
      socket.on('data', (chunk: Buffer) => count(outcomes, String(chunk).slice(9, 12)));
      socket.once('close', () => {
        closed = true;
      });
      socket.write(index < 400 ? 'GET /livez HTTP/1.1\r\nHost: a\r\n' : head);
      const until = performance.now() + SECONDS * 1_000;
      while (!closed && performance.now() < until) {
        await pause(1_000);
        if (!closed) socket.write(index < 400 ? 'A: b\r\n' : 'a');
      }
      if (!closed) count(outcomes, 'left open');
      socket.destroy();
    });
    return outcomes;
  },
};

/** Repeats a task for `SECONDS`, with `concurrency` tasks at a time. */
async function repeatConcurrently(concurrency: number, each: () => Promise<void>): Promise<void> {
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
  // The server may close or reset the connection. That is an outcome, not an error of the flood.
  socket.on('error', () => undefined);
  return socket;
}

/** Builds the head of an upload with this Content-Length, and the beginning of its form. */
function buildUploadHead({ images, authorization }: Target, length: number): Buffer {
  return Buffer.from(
    `POST ${images} HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nContent-Length: ${length}\r\n` +
      'Content-Type: multipart/form-data; boundary=b\r\n\r\n' +
      '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n' +
      'Content-Type: application/octet-stream\r\n\r\n',
  );
}
