/**
 * A TCP proxy in front of a real PostgreSQL, which harms connections. It stands for a server or a network in
 * trouble, and for an address that moves to another server.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * What happens to the bytes of all connections:
 * - `silence`: connections are accepted, and nothing is forwarded in either direction
 * - `trickle`: answers come at one byte a second
 * - a number: answers come this many milliseconds late
 */
export type ConnectionFault = 'silence' | 'trickle' | number;

export interface TCPProxy {
  readonly port: number;
  /** The URL of the same database through the proxy. */
  through(url: string): string;
  /** The port that new connections go to. */
  target: number;
  fault: ConnectionFault | undefined;
  /** Sees all bytes of clients. If it returns true, their answer is lost: the connection stays silent. */
  losesAnswer: ((sent: Buffer) => boolean) | undefined;
  /** Sees all answers. If it returns true, this answer waits, and all later ones of its connection. */
  holdsAnswer: ((answer: Buffer) => boolean) | undefined;
  /** The number of connections whose answers wait. */
  held(): number;
  /** Sends the answers that wait. */
  release(): void;
  /** Silences the open connections, without a word to either side. New ones work. */
  silenceOpen(): void;
  /** Breaks the open connections. */
  reset(): void;
  /** Refuses connections, and breaks the open ones. */
  refuse(): Promise<void>;
  /** Accepts connections again, on the same port. */
  accept(): Promise<void>;
  /** Connections of clients: open now, the most at a time, and all so far. */
  connections(): { readonly now: number; readonly most: number; readonly total: number };
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  isSilent: boolean;
  /** Undefined: answers do not wait. */
  held: Buffer[] | undefined;
}

export async function startTCPProxy(target: number): Promise<TCPProxy> {
  const pairs = new Set<Pair>();
  let most = 0;
  let total = 0;

  const server = createServer((client) => {
    const upstream = connect(proxy.target, '127.0.0.1');
    const pair: Pair = { client, upstream, isSilent: false, held: undefined };
    pairs.add(pair);
    total += 1;
    most = Math.max(most, pairs.size);
    client.on('error', () => undefined);
    upstream.on('error', () => undefined);
    client.on('close', () => {
      pairs.delete(pair);
      upstream.destroy();
    });
    // A silent network hides the end of the server too.
    upstream.on('close', () => isSilent(pair) || client.destroy());
    client.on('data', (sent) => {
      if (isSilent(pair)) return;
      const isLost = proxy.losesAnswer?.(sent) === true;
      if (isLost) pair.isSilent = true;
      upstream.write(sent);
    });
    upstream.on('data', (answer) => {
      if (isSilent(pair)) return;
      if (proxy.holdsAnswer?.(answer)) pair.held ??= [];
      if (pair.held) pair.held.push(answer);
      else if (proxy.fault === 'trickle') trickle(answer, client);
      else if (typeof proxy.fault === 'number') setTimeout(() => client.write(answer), proxy.fault).unref();
      else client.write(answer);
    });
  });
  const isSilent = (pair: Pair) => pair.isSilent || proxy.fault === 'silence';
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const reset = () => {
    for (const { client } of pairs) client.resetAndDestroy();
  };
  const stopListening = async () => {
    if (!server.listening) return;
    server.close();
    reset();
    await once(server, 'close');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const proxy: TCPProxy = {
    port,
    through(url) {
      const address = new URL(url);
      address.port = String(port);
      return address.href;
    },
    target,
    fault: undefined,
    losesAnswer: undefined,
    holdsAnswer: undefined,
    held: () => [...pairs].filter(({ held }) => held !== undefined).length,
    release() {
      proxy.holdsAnswer = undefined;
      for (const pair of pairs) {
        for (const answer of pair.held ?? []) pair.client.write(answer);
        pair.held = undefined;
      }
    },
    silenceOpen() {
      for (const pair of pairs) pair.isSilent = true;
    },
    reset,
    refuse: stopListening,
    accept: () => listen(port),
    connections: () => ({ now: pairs.size, most, total }),
    close: stopListening,
  };
  return proxy;
}

/** Sends one byte now and one each second. */
function trickle(bytes: Buffer, client: Socket): void {
  let at = 0;
  const next = () => {
    if (at >= bytes.length || client.destroyed) return;
    client.write(bytes.subarray(at, ++at));
    setTimeout(next, 1_000).unref();
  };
  next();
}
