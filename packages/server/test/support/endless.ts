/** A client that never stops sending. */
import type { Socket } from 'node:net';

/** Sends zeros until the server closes the connection. Resolves with the number of bytes that were sent. */
export async function sendEndlessly(socket: Socket): Promise<number> {
  const closed = new Promise((resolve) => socket.once('close', resolve));
  // The server may also reset the connection.
  socket.on('error', () => undefined);
  const chunk = Buffer.alloc(1024 * 1024);
  const send = () => {
    while (socket.writable && socket.write(chunk));
  };
  socket.on('drain', send);
  send();
  await closed;
  return socket.bytesWritten - socket.writableLength;
}
