/** A real Varnish in front of several servers. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../../support/waiting.ts';

export interface Varnish {
  readonly url: string;
  /** The counter of varnishstat with this name. */
  counter(name: string): number;
  close(): Promise<void>;
}

/** The reason why Varnish cannot be tested here; false if it can. */
export const skip =
  spawnSync('varnishd', ['-V']).status === 0
    ? false
    : 'there is no varnishd: apt-get install varnish varnish-modules';

/**
 * Each request goes to the next server, so that a purged image is fetched from any of them. A purge drops the
 * image in all sizes and formats by its tag.
 */
const vcl = (ports: readonly number[]) => `vcl 4.1;
import directors;
import xkey;
${ports.map((port, i) => `backend node${i} { .host = "127.0.0.1"; .port = "${port}"; }`).join('\n')}
sub vcl_init {
  new nodes = directors.round_robin();
  ${ports.map((_, i) => `nodes.add_backend(node${i});`).join('\n  ')}
}
sub vcl_recv {
  set req.backend_hint = nodes.backend();
  if (req.method == "PURGE") {
    set req.http.x-purged = xkey.purge(regsub(req.url, "^/images/([^?]*).*$", "\\1"));
    return (synth(200, req.http.x-purged + " purged"));
  }
  unset req.http.Cookie;
}
sub vcl_backend_response {
  if (bereq.url ~ "^/images/") {
    set beresp.http.xkey = regsub(bereq.url, "^/images/([^?]*).*$", "\\1");
  }
}
`;

export async function startVarnish(
  nodes: readonly { readonly url: string }[],
  port: number,
): Promise<Varnish> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-varnish-'));
  const file = join(folder, 'default.vcl');
  await writeFile(file, vcl(nodes.map(({ url }) => Number(new URL(url).port))));
  const name = join(folder, 'work');
  const daemon: ChildProcess = spawn(
    'varnishd',
    ['-F', '-n', name, '-a', `127.0.0.1:${port}`, '-f', file, '-s', 'malloc,64m', '-j', 'none', '-T', 'none'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let stderr = '';
  daemon.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor('Varnish does not start', async () => {
    if (daemon.exitCode !== null) throw new Error(`varnishd ended with ${daemon.exitCode}: ${stderr}`);
    return fetch(`${url}/livez`).then(
      ({ ok }) => ok,
      () => false,
    );
  });
  return {
    url,
    counter(counter) {
      const { stdout } = spawnSync('varnishstat', ['-n', name, '-1', '-f', counter], { encoding: 'utf8' });
      return Number(/\s(\d+)\s/.exec(stdout)?.[1]);
    },
    async close() {
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
