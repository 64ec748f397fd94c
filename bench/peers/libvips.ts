/**
 * A minimal resizer like imgproxy as a peer. Build it with `libvips.sh`.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { read } from '../http.ts';
import { findFreePort, startServer } from '../process.ts';
import type { StartResizer } from './resizer.ts';

export const startLibvips: StartResizer = async (folder) => {
  const binary = join(import.meta.dirname, 'bin/libvips-resizer');
  const built = await access(binary).then(
    () => true,
    () => false,
  );
  if (!built) return 'the Go and libvips resizer is not built (bench/peers/libvips.sh builds it)';
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const server = await startServer({
    command: binary,
    args: [],
    probe: `${url}/health`,
    env: { BIND: new URL(url).host, ROOT: folder },
  });
  return {
    name: 'Go + libvips',
    render: ({ original, width, height, format, quality }) =>
      read(
        `${url}/render?name=${original.name}&width=${width}&height=${height}&format=${format}&quality=${quality ?? ''}`,
      ),
    stop: () => server.stop(),
  };
};
