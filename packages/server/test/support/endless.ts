/** A client that goes on sending whatever it is told. */
import type { Socket } from 'node:net';

/** Sends zeros for as long as the other end takes any; resolves with the bytes that went out, once the connection is closed. */
export async function sendEndlessly(socket: Socket): Promise<number> {
  const closed = new Promise((resolve) => socket.once('close', resolve));
  // In whichever way the connection ends.
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
