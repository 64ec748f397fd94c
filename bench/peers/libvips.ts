/**
 * The smallest possible resizer in imgproxy's manner. `libvips.sh` beside this file builds it.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { read } from '../http.ts';
import { freePort, startServer } from '../process.ts';
import type { StartResizer } from './resizer.ts';

export const startLibvips: StartResizer = async (folder) => {
  const binary = join(import.meta.dirname, 'bin/libvips-resizer');
  const built = await access(binary).then(
    () => true,
    () => false,
  );
  if (!built) return 'the Go and libvips resizer is not built (bench/peers/libvips.sh does)';
  const url = `http://127.0.0.1:${await freePort()}`;
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
