/**
 * Owns the open connections: how many there may be, how long a client may leave what it was sent, and what becomes of
 * them at a stop (node's own close waits for connections on which nothing was ever asked, and cuts off answers that
 * were handed over but are not sent yet). Refuses to know what is asked and answered.
 *
 * An answer that nobody takes costs memory for as long as its connection lives, and node waits for ever. Why there are
 * three rules against it, and these numbers, says docs/adr/0038.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { clientName } from '../shared/rate-limits.ts';

export interface ConnectionLimits {
  /** Connections at most. */
  readonly total: number;
  /** Connections of one address at most; 0: no limit, as behind a proxy, whose address is everybody's. */
  readonly perAddress: number;
  /** Milliseconds in which a client must take some of what it was sent. */
  readonly maxSilence: number;
  /** After this many milliseconds, a client must have taken what it was sent at the least rate on average. */
  readonly grace: number;
  /** Bytes per second. */
  readonly minRate: number;
  /** Bytes that may wait for clients to take them. Beyond it, the connections that have waited longest are closed. */
  readonly maxWaitingBytes: number;
  /** How often all this is looked at, in milliseconds. */
  readonly checkInterval: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  total: 10_000,
  perAddress: 1_000,
  // The system takes an answer in pieces of a megabyte and more: at 20 kB a second, that is a minute for each.
  maxSilence: 60_000,
  grace: 30_000,
  minRate: 8 * 1024,
  maxWaitingBytes: 128 * 1024 * 1024,
  checkInterval: 1_000,
};

/** How much longer than the limit the list of connections may be, so that those beyond it can be told. */
const SPARE = 1.1;
/** Milliseconds after which a connection that was refused is closed, whether or not its client has understood. */
const REFUSAL_TIME = 1_000;

/** Answers a connection that cannot be had, and ends it. `retryAfter`: seconds. */
export type Refuse = (socket: Socket, status: 429 | 503, text: string, retryAfter: number) => void;

/** What is known of a connection that has something to take. */
interface Behind {
  readonly since: number;
  /** Bytes that it had taken before. */
  readonly taken: number;
}

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #open = new Map<Socket, Behind | undefined>();
  /** Those on which something was asked. */
  readonly #asked = new WeakSet<Socket>();
  readonly #byAddress = new Map<string, number>();
  readonly #refuse: Refuse;
  readonly #checking: NodeJS.Timeout;
  #stopping = false;

  /** Takes its place before everything else that a server does with a connection. */
  constructor(server: Server, limits: ConnectionLimits, refuse: Refuse) {
    this.#limits = limits;
    this.#refuse = refuse;
    server.maxConnections = Math.ceil(limits.total * SPARE);
    // Also the time after which an idle connection is closed on which nothing was asked yet.
    server.timeout = limits.maxSilence;
    const accept = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      if (this.#admit(socket)) for (const listener of accept) listener.call(server, socket);
    });
    this.#checking = setInterval(() => this.#check(), limits.checkInterval);
    this.#checking.unref();
  }

  /** How many there are. */
  get open(): number {
    return this.#open.size;
  }

  /** To be called with every answer to be: while it is made its connection is idle, and still not to be closed. */
  answering(response: ServerResponse): void {
    if (response.socket) this.#asked.add(response.socket);
    response.on('timeout', closeIfBehind);
  }

  /** Looks at them no more. */
  close(): void {
    clearInterval(this.#checking);
  }

  /** From now on nobody is let in: the port is still open for as long as what was answered is on its way. */
  stop(): void {
    this.#stopping = true;
  }

  /** Ends connections on which nothing was asked, or not to its end; resolves when all that was answered on the others is sent. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#open.keys()].map((socket) => {
        if (!this.#asked.has(socket) && socket.writableLength === 0) socket.destroy();
        return socket.writableLength > 0 ? sent(socket) : undefined;
      }),
    );
  }

  #admit(socket: Socket): boolean {
    const { total, perAddress } = this.#limits;
    if (this.#stopping) return this.#turnAway(socket, 503, 'the server is stopping');
    const address = perAddress === 0 ? '' : clientName(socket.remoteAddress);
    const fromThere = this.#byAddress.get(address) ?? 0;
    if (this.#open.size >= total) return this.#turnAway(socket, 503, 'the server has too many connections');
    if (perAddress > 0 && fromThere >= perAddress) {
      return this.#turnAway(socket, 429, `one address may have ${perAddress} connections at most`);
    }
    this.#open.set(socket, undefined);
    this.#byAddress.set(address, fromThere + 1);
    socket.once('close', () => {
      this.#open.delete(socket);
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#byAddress.set(address, left);
      else this.#byAddress.delete(address);
    });
    return true;
  }

  #turnAway(socket: Socket, status: 429 | 503, text: string): false {
    socket.on('error', () => undefined);
    // Only when something was asked: clients take an answer that comes before for a broken connection, and open another.
    // What it says is read and forgotten: closed over it, the connection would be reset, and the answer lost.
    socket.once('data', () => this.#refuse(socket, status, text, 1));
    setTimeout(() => socket.destroy(), REFUSAL_TIME).unref();
    return false;
  }

  #check(): void {
    const { grace, minRate, maxWaitingBytes } = this.#limits;
    const now = performance.now();
    const waiting: { socket: Socket; since: number; bytes: number }[] = [];
    let total = 0;
    for (const [socket, before] of this.#open) {
      const bytes = socket.writableLength;
      if (bytes === 0) {
        if (before) this.#open.set(socket, undefined);
        continue;
      }
      const behind = before ?? { since: now, taken: socket.bytesWritten - bytes };
      if (!before) this.#open.set(socket, behind);
      // What waits is counted as taken: how much of one large piece is under way already cannot be known.
      const taken = socket.bytesWritten - behind.taken;
      if (now - behind.since > grace + (taken / minRate) * 1000) {
        socket.destroy();
        continue;
      }
      waiting.push({ socket, since: behind.since, bytes });
      total += bytes;
    }
    if (total <= maxWaitingBytes) return;
    waiting.sort((one, other) => one.since - other.since);
    for (const { socket, bytes } of waiting) {
      socket.destroy();
      total -= bytes;
      if (total <= maxWaitingBytes) return;
    }
  }
}

/** Nothing came and nothing went for a while: with something to take, that is the client's doing. */
function closeIfBehind(this: ServerResponse): void {
  const { socket } = this;
  if (socket && socket.writableLength > 0) socket.destroy();
}

function sent(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    // Nothing, but in its turn: 'drain' only comes after more than the socket likes to hold.
    socket.write('', () => resolve());
  });
}
