/**
 * The function of docs/caching.md that reduces Accept, as a CDN runs it. The proxies of `ops/` do the same
 * with patterns.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCUMENT = join(import.meta.dirname, '../../../../../docs/caching.md');

interface ViewerRequest {
  headers: Record<string, { value: string }>;
}

const [, code = ''] = /^ *```js\n([\s\S]*?)^ *```$/m.exec(readFileSync(DOCUMENT, 'utf8')) ?? [];
const handler = new Function(`${code}\nreturn handler;`)() as (event: {
  request: ViewerRequest;
}) => ViewerRequest;

/** The header that a node gets. @param accept undefined: the client sends none */
export function reduceAccept(accept: string | undefined): string | undefined {
  const headers: ViewerRequest['headers'] = accept === undefined ? {} : { accept: { value: accept } };
  return handler({ request: { headers } }).headers.accept?.value;
}
