/**
 * Owns the open connections at a stop. node's own close waits for connections on which nothing was ever asked, and cuts
 * off answers that were handed over but are not sent yet. Refuses to know what is asked and answered.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

export class Connections {
  readonly #open = new Set<Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
  }

  /** Ends connections that never carried a byte; resolves when all that was answered on the others is sent. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#open].map((socket) => {
        if (socket.bytesRead === 0) socket.destroy();
        return socket.writableLength > 0 ? sent(socket) : undefined;
      }),
    );
  }
}

function sent(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    // Nothing, but in its turn: 'drain' only comes after more than the socket likes to hold.
    socket.write('', () => resolve());
  });
}
