/**
 * A server process with low limits, and raw HTTP for clients that misbehave.
 */
import type { Socket } from 'node:net';
import { ACCOUNT, AUTHORIZATION } from '../../support/client.ts';
import { picture } from '../../support/sample.ts';
import { type HTTPLimits, type ServerProcess, startServerProcess } from '../../support/server-process.ts';

export const IMAGES = `/accounts/${ACCOUNT}/images`;

/** Starts a server that has already ingested an image, so that its workers and their pipes exist. */
export async function startProcess(
  env: Record<string, string> = {},
  limits: HTTPLimits = {},
): Promise<ServerProcess> {
  const server = await startServerProcess({ limits, env: { VITRINE_LOG_LEVEL: 'error', ...env } });
  // Shows errors of the server in the output of the test.
  server.child.stderr.pipe(process.stderr);
  await server.addImage(await picture(0)).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  return server;
}

/** All bytes that the server sent on a connection, once it is closed. */
export async function receivedText(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return Buffer.concat(chunks).toString('latin1');
}

/** The head of an upload with this content length, and the beginning of its form. */
export function uploadHead(length: number): { head: string; form: Buffer } {
  const form = Buffer.from(
    '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n' +
      'Content-Type: application/octet-stream\r\n\r\n',
  );
  const head =
    `POST ${IMAGES} HTTP/1.1\r\nHost: a\r\nAuthorization: ${AUTHORIZATION}\r\n` +
    `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: ${length}\r\n\r\n`;
  return { head, form };
}
