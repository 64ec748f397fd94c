/**
 * ipx from npm as a peer. It reads the same originals from the same folder.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { read } from '../http.ts';
import { findFreePort, startServer } from '../process.ts';
import type { StartResizer } from './resizer.ts';

export const startIpx: StartResizer = async (folder) => {
  let entry: string;
  try {
    entry = fileURLToPath(import.meta.resolve('ipx'));
  } catch {
    return 'ipx is not installed (npm install --no-save ipx)';
  }
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const { hostname, port } = new URL(url);
  const server = await startServer({
    command: process.execPath,
    // The entry point is dist/index.mjs.
    args: [
      join(dirname(entry), '../bin/ipx.mjs'),
      'serve',
      '--dir',
      folder,
      '--host',
      hostname,
      '--port',
      port,
    ],
    probe: `${url}/`,
    env: { NODE_ENV: 'production' },
  });
  return {
    name: 'ipx',
    render: ({ original, width, height, format, quality }) => {
      const modifiers = [`s_${width}x${height}`, 'fit_cover', `f_${format}`];
      if (quality !== undefined) modifiers.push(`q_${quality}`);
      return read(`${url}/${modifiers.join(',')}/${original.name}`);
    },
    stop: () => server.stop(),
  };
};
