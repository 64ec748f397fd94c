/**
 * nginx as a static file server: one worker, sendfile, no access log, open files cached. It sends the same
 * headers as the measured server. Only the ETag is its own, because it compares only that one.
 */

import { mkdir, utimes, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findFreePort, type RunningServer, run, startServer } from '../process.ts';

/** Headers that nginx writes itself, or that differ in every response. */
const OWN_HEADERS = new Set([
  ...[
    'date',
    'connection',
    'keep-alive',
    'server',
    'content-length',
    'content-type',
    'etag',
    'last-modified',
  ],
  'x-request-id',
]);

export interface Nginx extends RunningServer {
  /** The URL of the file. */
  readonly link: string;
}

/** Serves one file with these headers. Returns the reason as a string if nginx is missing. */
export async function startNginx(
  parent: string,
  file: Uint8Array,
  headers: IncomingHttpHeaders,
): Promise<Nginx | string> {
  const installed = await run('sh', ['-c', 'PATH=$PATH:/usr/sbin command -v nginx']).catch(() => '');
  if (installed === '') return 'nginx is not installed (apt-get install nginx-light)';
  const folder = join(parent, 'nginx');
  await mkdir(join(folder, 'files'), { recursive: true });
  const path = join(folder, 'files', 'rendition');
  await writeFile(path, file);
  const modified = headers['last-modified'];
  if (modified !== undefined) await utimes(path, new Date(modified), new Date(modified));
  const port = await findFreePort();
  const config = join(folder, 'nginx.conf');
  await writeFile(config, configuration(folder, port, headers));
  const link = `http://127.0.0.1:${port}/rendition`;
  const server = await startServer({
    command: installed.trim(),
    args: ['-p', folder, '-c', config, '-e', join(folder, 'error.log')],
    env: {},
    probe: link,
  });
  return { ...server, link };
}

function configuration(folder: string, port: number, headers: IncomingHttpHeaders): string {
  const added = Object.entries(headers)
    .filter(([name]) => !OWN_HEADERS.has(name))
    .map(([name, value]) => `add_header ${name} ${JSON.stringify(String(value))};`);
  // A request ID in every response also costs time.
  if (headers['x-request-id'] !== undefined) added.push('add_header x-request-id $request_id;');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, 'temporary')};`,
  );
  return `
daemon off;
${process.getuid?.() === 0 ? `user ${userInfo().username};` : ''}
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')} error;
events { worker_connections 1024; }
http {
  ${temporary.join('\n  ')}
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 65;
  keepalive_requests 1000000000;
  open_file_cache max=1000;
  open_file_cache_valid 60s;
  default_type ${headers['content-type'] ?? 'application/octet-stream'};
  server {
    listen 127.0.0.1:${port};
    root ${join(folder, 'files')};
    ${added.join('\n    ')}
  }
}
`;
}
