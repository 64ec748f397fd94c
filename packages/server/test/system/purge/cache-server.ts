/** A real HTTP server in the place of a cache: it records the purges that it gets. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CacheServer {
  /** A value for VITRINE_PURGE_URL. */
  readonly purgeURL: string;
  readonly port: number;
  /** The public IDs of all purges so far, with the time of `performance.now()`. */
  readonly purges: readonly { readonly publicID: string; readonly at: number }[];
  close(): Promise<void>;
}

/**
 * @param answer the status of the answer to a purge; `hang`: none.
 * @param port 0: a free one.
 */
export async function startCache(
  answer: (publicID: string) => number | 'hang' | Promise<number> = () => 200,
  port = 0,
): Promise<CacheServer> {
  const purges: { publicID: string; at: number }[] = [];
  const server = createServer(async (request, response) => {
    const [, publicID = ''] = /^\/purge\/([^/?]+)\?all$/.exec(request.url ?? '') ?? [];
    if (request.method !== 'PURGE' || publicID === '') {
      response.writeHead(405).end();
      return;
    }
    purges.push({ publicID, at: performance.now() });
    const status = await answer(publicID);
    if (status !== 'hang') response.writeHead(status).end('purged');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  return {
    purgeURL: `http://127.0.0.1:${address.port}/purge/{publicID}?all`,
    port: address.port,
    purges,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
