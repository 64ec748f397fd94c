/**
 * The open connections: their number, slow readers, and what a stop does with them. Node's own close waits
 * for connections without a request and cuts off answers that are not sent yet.
 *
 * An unread answer costs memory while its connection lives, and Node waits without a limit. docs/adr/0038
 * explains the three rules against it and their numbers.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { clientName } from '../shared/rate-limits.ts';

export interface ConnectionLimits {
  /** The most connections. */
  readonly total: number;
  /**
   * The most connections of one address. 0: no limit, as behind a proxy, where all clients have one address.
   */
  readonly perAddress: number;
  /** A connection is closed when its client reads nothing of an answer for this long, in milliseconds. */
  readonly maxSilence: number;
  /** Milliseconds after which the average rate of a reader must be at least `minRate`. */
  readonly grace: number;
  /** Bytes per second. */
  readonly minRate: number;
  /**
   * The most unread bytes of all connections. Beyond it, the connections that have waited longest are closed.
   */
  readonly maxWaitingBytes: number;
  /** The interval of the checks, in milliseconds. */
  readonly checkInterval: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  total: 10_000,
  perAddress: 1_000,
  // The kernel takes an answer in pieces of a megabyte and more. At 20 kB a second, each takes a minute.
  maxSilence: 60_000,
  grace: 30_000,
  minRate: 8 * 1024,
  maxWaitingBytes: 128 * 1024 * 1024,
  checkInterval: 1_000,
};

/** Accepts more connections than the limit, so that those beyond it get an answer. */
const ACCEPT_FACTOR = 1.1;
/** Milliseconds after which a rejected connection is closed. */
const REJECTION_TIME = 1_000;

/** Answers a rejected connection and closes it. `retryAfter`: seconds. */
export type RejectConnection = (socket: Socket, status: 429 | 503, error: string, retryAfter: number) => void;

/** When a client began to leave bytes unread. */
interface Backlog {
  readonly since: number;
  /** The bytes that the client had read before. */
  readonly read: number;
}

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #sockets = new Map<Socket, Backlog | undefined>();
  /** The connections with at least one complete request head. */
  readonly #withRequest = new WeakSet<Socket>();
  readonly #countByAddress = new Map<string, number>();
  readonly #rejectConnection: RejectConnection;
  readonly #timer: NodeJS.Timeout;
  #stopping = false;

  /** Moves the present listeners of the server behind the admission of connections. */
  constructor(server: Server, limits: ConnectionLimits, rejectConnection: RejectConnection) {
    this.#limits = limits;
    this.#rejectConnection = rejectConnection;
    server.maxConnections = Math.ceil(limits.total * ACCEPT_FACTOR);
    // This is also the timeout of an idle connection without a request.
    server.timeout = limits.maxSilence;
    const listeners = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      if (this.#admit(socket)) for (const listener of listeners) listener.call(server, socket);
    });
    this.#timer = setInterval(() => this.#check(), limits.checkInterval);
    this.#timer.unref();
  }

  /** Call for each response: its connection is idle while the answer is made, and must not be closed then. */
  trackResponse(response: ServerResponse): void {
    if (response.socket) this.#withRequest.add(response.socket);
    response.on('timeout', closeIfUnread);
  }

  /** Ends the periodic checks. */
  close(): void {
    clearInterval(this.#timer);
  }

  /** Rejects new connections from now on. The port stays open while the last answers are sent. */
  stop(): void {
    this.#stopping = true;
  }

  /** Closes connections without a complete request. Resolves when all answers of the others are sent. */
  async drain(): Promise<void> {
    await Promise.all(
      [...this.#sockets.keys()].map((socket) => {
        if (!this.#withRequest.has(socket) && socket.writableLength === 0) socket.destroy();
        return socket.writableLength > 0 ? flush(socket) : undefined;
      }),
    );
  }

  #admit(socket: Socket): boolean {
    const { total, perAddress } = this.#limits;
    if (this.#stopping) return this.#reject(socket, 503, 'the server is stopping');
    const address = perAddress === 0 ? '' : clientName(socket.remoteAddress);
    const count = this.#countByAddress.get(address) ?? 0;
    if (this.#sockets.size >= total) {
      return this.#reject(socket, 503, `the server has too many connections: limit ${total}`);
    }
    if (perAddress > 0 && count >= perAddress) {
      return this.#reject(socket, 429, `one address may have ${perAddress} connections at most`);
    }
    this.#sockets.set(socket, undefined);
    this.#countByAddress.set(address, count + 1);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      const left = (this.#countByAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#countByAddress.set(address, left);
      else this.#countByAddress.delete(address);
    });
    return true;
  }

  #reject(socket: Socket, status: 429 | 503, error: string): false {
    socket.on('error', () => undefined);
    // Answers only after the first bytes of a request. Clients take an earlier answer for a broken connection
    // and open another one. The request must be read: closing with unread data resets the connection and
    // loses the answer.
    socket.once('data', () => this.#rejectConnection(socket, status, error, 1));
    setTimeout(() => socket.destroy(), REJECTION_TIME).unref();
    return false;
  }

  #check(): void {
    const { grace, minRate, maxWaitingBytes } = this.#limits;
    const now = performance.now();
    const waiting: { socket: Socket; since: number; bytes: number }[] = [];
    let total = 0;
    for (const [socket, earlier] of this.#sockets) {
      const bytes = socket.writableLength;
      if (bytes === 0) {
        if (earlier) this.#sockets.set(socket, undefined);
        continue;
      }
      const backlog = earlier ?? { since: now, read: socket.bytesWritten - bytes };
      if (!earlier) this.#sockets.set(socket, backlog);
      // Counts waiting bytes as read, because the progress within one large piece is not visible.
      const read = socket.bytesWritten - backlog.read;
      if (now - backlog.since > grace + (read / minRate) * 1000) {
        socket.destroy();
        continue;
      }
      waiting.push({ socket, since: backlog.since, bytes });
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

/** Closes a silent connection that has unread bytes. Without any, the server is still making the answer. */
function closeIfUnread(this: ServerResponse): void {
  const { socket } = this;
  if (socket && socket.writableLength > 0) socket.destroy();
}

/** Resolves when everything written so far is sent, or when the connection closes. */
function flush(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    // An empty write completes in its turn. 'drain' is emitted only after writes above the high-water mark.
    socket.write('', () => resolve());
  });
}
