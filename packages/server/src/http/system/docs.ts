/**
 * The pages of the server: the dashboard at `/`, `/openapi.json` and the API reference at `/docs/api`. Every
 * asset is local, so they work offline.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import { STATIC_FILE } from '../shared/cache-policy.ts';
import type { OpenAPIDocument } from '../shared/openapi-document.ts';
import { type PublicPath, withPublicPaths } from '../shared/public-paths.ts';
import { forReference, PAGE, SCRIPT } from './reference.ts';

const require = createRequire(import.meta.url);

// Swagger UI sets styles on its elements, and shows images of answers as `blob:` URLs. Scripts come from this
// server only.
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML = 'text/html; charset=utf-8';
const CSS = 'text/css; charset=utf-8';
const JAVASCRIPT = 'text/javascript; charset=utf-8';
const JSON_TYPE = 'application/json; charset=utf-8';

/** Static files by path, each with its media type and the function that reads it. */
const FILES: Readonly<Record<string, readonly [type: string, read: () => Promise<Buffer>]>> = {
  '/': [HTML, () => readModule('@vitrine/dashboard/index.html')],
  '/style.css': [CSS, () => readModule('@vitrine/dashboard/style.css')],
  '/docs/api/swagger-ui.css': [CSS, () => readSwaggerUI('swagger-ui.css')],
  '/docs/api/swagger-ui-bundle.js': [JAVASCRIPT, () => readSwaggerUI('swagger-ui-bundle.js')],
};

/**
 * @param describe makes the OpenAPI document. It is called once, at the first request.
 * @param publicPath gives every absolute path in pages, redirects and the document.
 */
export function addDocsRoutes(
  app: FastifyInstance,
  describe: () => Promise<OpenAPIDocument>,
  publicPath: PublicPath,
): void {
  const config = { scope: 'public' } as const;
  const schema = { hide: true };
  let document: Promise<OpenAPIDocument> | undefined;
  const describeOnce = () => {
    document ??= describe();
    return document;
  };

  const servers = [{ url: publicPath('') || '/' }];
  app.get('/openapi.json', { config, schema }, async (_request, reply) =>
    reply
      .type(JSON_TYPE)
      .header('access-control-allow-origin', '*')
      .send(JSON.stringify({ ...(await describeOnce()), servers })),
  );
  for (const path of ['/docs', '/docs/', '/docs/api/']) {
    app.get(path, { config, schema }, async (_request, reply) => reply.redirect(publicPath('/docs/api')));
  }
  app.get('/docs/api', { config, schema }, async (_request, reply) =>
    reply.type(HTML).header('content-security-policy', PAGE_POLICY).send(PAGE),
  );
  app.get('/docs/api/start.js', { config, schema }, async (_request, reply) =>
    reply.type(JAVASCRIPT).send(SCRIPT),
  );
  app.get('/docs/api/openapi.json', { config, schema }, async (_request, reply) =>
    reply.type(JSON_TYPE).send(JSON.stringify(forReference(await describeOnce()))),
  );
  for (const [path, [type, read]] of Object.entries(FILES)) {
    app.get(path, { config, schema }, async (_request, reply) => {
      const file = await read();
      return reply
        .type(type)
        .header('content-security-policy', PAGE_POLICY)
        .header('cache-control', STATIC_FILE)
        .send(type === HTML ? withPublicPaths(String(file), publicPath) : file);
    });
  }
}

function readModule(name: string): Promise<Buffer> {
  return readFile(require.resolve(name));
}

/** Reads a file of Swagger UI. `scripts/build.ts` copies it into the published package. */
async function readSwaggerUI(name: string): Promise<Buffer> {
  try {
    return await readFile(new URL(`../../swagger-ui/${name}`, import.meta.url));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return readModule(`@fastify/swagger-ui/static/${name}`);
  }
}
