/** A TCP proxy in front of a real PostgreSQL, which can stop to forward, or hold answers back. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TCPProxy {
  /** The URL of the database through the proxy. */
  readonly url: string;
  /**
   * From now on, bytes of open and new connections go nowhere, as behind a firewall that lost its state.
   * Nothing is closed.
   */
  blackhole(): void;
  /** From now on, answers of the database are held back. */
  holdAnswers(): void;
  /** True if a held answer contains the text. */
  holds(text: string): boolean;
  releaseAnswers(): void;
  /** Forwards new connections again. Those that were open stay dead. */
  restore(): void;
  close(): Promise<void>;
}

/** @param target URL of a database at 127.0.0.1. */
export async function startTCPProxy(target: string): Promise<TCPProxy> {
  const { port } = new URL(target);
  const sockets = new Set<Socket>();
  let dead = new WeakSet<Socket>();
  let isBlackhole = false;
  let held: { readonly bytes: Buffer; readonly to: Socket }[] | undefined;

  const server = createServer((incoming) => {
    const outgoing = connect(Number(port), '127.0.0.1');
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(socket);
      if (isBlackhole) dead.add(socket);
      socket.on('data', (bytes) => {
        if (dead.has(socket)) return;
        if (held && socket === outgoing) held.push({ bytes, to: incoming });
        else other.write(bytes);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        if (!dead.has(socket)) other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    blackhole() {
      isBlackhole = true;
      dead = new WeakSet(sockets);
    },
    holdAnswers() {
      held = [];
    },
    holds: (text) => held?.some(({ bytes }) => bytes.includes(text)) ?? false,
    releaseAnswers() {
      for (const { bytes, to } of held ?? []) to.write(bytes);
      held = undefined;
    },
    restore() {
      isBlackhole = false;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
