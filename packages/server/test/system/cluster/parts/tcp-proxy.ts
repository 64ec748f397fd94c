/**
 * A TCP proxy on a fixed port, whose target can change and whose network can be cut. Nodes keep one URL for
 * PostgreSQL while another server becomes the primary.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * - `open`: bytes pass
 * - `refused`: open connections are reset, and so are new ones
 * - `silent`: no byte passes and no connection closes, as behind a broken switch, until the state changes
 */
export type NetworkState = 'open' | 'refused' | 'silent';

export interface TCPProxy {
  readonly port: number;
  setState(state: NetworkState): void;
  /** Sends new connections to another port. Resets the open ones. */
  setTarget(port: number): void;
  close(): Promise<void>;
}

/** @param target the port at 127.0.0.1 to which connections go */
export async function startTCPProxy(port: number, target: number): Promise<TCPProxy> {
  let state: NetworkState = 'open';
  let currentTarget = target;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, accept);

  function track(socket: Socket): void {
    sockets.add(socket);
    socket.setNoDelay(true);
    // A reset connection needs no report: the other side sees it too.
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  }

  function accept(client: Socket): void {
    track(client);
    if (state === 'refused') {
      reset(client);
      return;
    }
    const upstream = connect({ port: currentTarget, host: '127.0.0.1', allowHalfOpen: true });
    track(upstream);
    forward(client, upstream);
    forward(upstream, client);
    if (state === 'silent') {
      client.pause();
      upstream.pause();
    }
  }

  /** Passes bytes and the end on, with back pressure. The fault of one side breaks the other side. */
  function forward(from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => {
      if (state !== 'silent') from.resume();
    });
    from.once('end', () => to.end());
    from.once('close', () => {
      if (!from.readableEnded || to.writableLength > 0) reset(to);
    });
  }

  function resetAll(): void {
    for (const socket of sockets) reset(socket);
  }

  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port,
    setState(next) {
      state = next;
      if (state === 'refused') resetAll();
      for (const socket of sockets) {
        if (state === 'silent') socket.pause();
        else socket.resume();
      }
    },
    setTarget(next) {
      currentTarget = next;
      resetAll();
    },
    async close() {
      server.close();
      resetAll();
      if (server.listening) await once(server, 'close');
    },
  };
}

/** After `end`, Node would keep the handle of a reset socket open for ever. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
