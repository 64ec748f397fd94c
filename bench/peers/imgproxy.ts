/**
 * imgproxy, reading the same originals from the same folder. `imgproxy.sh` beside this file says how to build it.
 */
import { availableParallelism } from 'node:os';
import { read } from '../http.ts';
import { freePort, run, startServer } from '../process.ts';
import type { StartResizer } from './resizer.ts';

export const startImgproxy: StartResizer = async (folder) => {
  const binary = await run('sh', ['-c', 'command -v "$IMGPROXY" || command -v imgproxy']).catch(() => '');
  if (binary === '') return 'imgproxy is not installed (bench/peers/imgproxy.sh builds it)';
  const url = `http://127.0.0.1:${await freePort()}`;
  const server = await startServer({
    command: binary.trim(),
    args: [],
    probe: `${url}/health`,
    env: {
      IMGPROXY_BIND: new URL(url).host,
      IMGPROXY_LOCAL_FILESYSTEM_ROOT: folder,
      IMGPROXY_WORKERS: String(availableParallelism()),
      IMGPROXY_MAX_SRC_RESOLUTION: '100',
      IMGPROXY_LOG_LEVEL: 'error',
    },
  });
  return {
    name: 'imgproxy',
    render: ({ original, width, height, format, quality }) => {
      const options = `rs:fill:${width}:${height}${quality === undefined ? '' : `/q:${quality}`}`;
      const extension = format === 'jpeg' ? 'jpg' : format;
      return read(`${url}/insecure/${options}/plain/local:///${original.name}@${extension}`);
    },
    stop: () => server.stop(),
  };
};
