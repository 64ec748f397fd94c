/**
 * imgproxy as a peer. It reads the same originals from the same folder. Build it with `imgproxy.sh`.
 */
import { availableParallelism } from 'node:os';
import { read } from '../http.ts';
import { findFreePort, run, startServer } from '../process.ts';
import { BROWSER_ACCEPT, type Job, type StartResizer } from './resizer.ts';

export const startImgproxy: StartResizer = async (folder) => {
  const binary = await run('sh', ['-c', 'command -v "$IMGPROXY" || command -v imgproxy']).catch(() => '');
  if (binary === '') return 'imgproxy is not installed (bench/peers/imgproxy.sh builds it)';
  const version = (await run(binary.trim(), ['version'])).trim();
  const workers = String(availableParallelism());
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const server = await startServer({
    command: binary.trim(),
    args: [],
    probe: `${url}/health`,
    env: {
      IMGPROXY_BIND: new URL(url).host,
      IMGPROXY_LOCAL_FILESYSTEM_ROOT: folder,
      IMGPROXY_WORKERS: workers,
      // The name of the same variable before version 3.
      IMGPROXY_CONCURRENCY: workers,
      IMGPROXY_MAX_SRC_RESOLUTION: '100',
      IMGPROXY_LOG_LEVEL: 'error',
    },
  });
  const pathOf = ({ original, width, height, quality }: Omit<Job, 'format'>) =>
    `${url}/insecure/rs:fill:${width}:${height}${quality === undefined ? '' : `/q:${quality}`}/plain/local:///${original.name}`;
  return {
    name: 'imgproxy',
    version,
    render: ({ format, ...job }) => read(`${pathOf(job)}@${format === 'jpeg' ? 'jpg' : format}`),
    renderForBrowser: (job) => read(pathOf(job), { accept: BROWSER_ACCEPT }),
    stop: () => server.stop(),
  };
};
