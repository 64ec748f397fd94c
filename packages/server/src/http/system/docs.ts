/**
 * The pages of the server: the dashboard at `/`, `/openapi.json` and the API reference at `/docs/api`. Every
 * asset is local, so they work offline.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import { STATIC_FILE } from '../shared/cache-policy.ts';
import { type PublicPath, withPublicPaths } from '../shared/public-paths.ts';

const require = createRequire(import.meta.url);

// Swagger UI sets styles on its elements. Scripts come from this server only.
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitrine API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/api/start.js"></script>
</body>
</html>
`;

const startScript = (publicPath: PublicPath) => `window.ui = SwaggerUIBundle({
  url: ${JSON.stringify(publicPath('/openapi.json'))},
  domNode: document.getElementById('reference'),
  deepLinking: true,
  validatorUrl: null,
});
`;

/** Static files by path: the module that has the file, and its media type. */
const FILES: Readonly<Record<string, { module: string; type: string }>> = {
  '/': { module: '@vitrine/dashboard/index.html', type: 'text/html; charset=utf-8' },
  '/style.css': { module: '@vitrine/dashboard/style.css', type: 'text/css; charset=utf-8' },
  '/docs/assets/swagger-ui.css': {
    module: 'swagger-ui-dist/swagger-ui.css',
    type: 'text/css; charset=utf-8',
  },
  '/docs/assets/swagger-ui-bundle.js': {
    module: 'swagger-ui-dist/swagger-ui-bundle.js',
    type: 'text/javascript; charset=utf-8',
  },
};

/**
 * @param describe makes the OpenAPI document. It is called once, at the first request.
 * @param publicPath gives every path in pages, redirects and the document.
 */
export function addDocsRoutes(
  app: FastifyInstance,
  describe: () => Promise<object>,
  publicPath: PublicPath,
): void {
  const config = { scope: 'public' } as const;
  const schema = { hide: true };
  let document: Promise<string> | undefined;

  app.get('/openapi.json', { config, schema }, async (_request, reply) => {
    document ??= describe().then((description) =>
      JSON.stringify({ ...description, servers: [{ url: publicPath('') || '/' }] }),
    );
    return reply
      .type('application/json; charset=utf-8')
      .header('access-control-allow-origin', '*')
      .send(await document);
  });
  for (const path of ['/docs', '/docs/', '/docs/api/']) {
    app.get(path, { config, schema }, async (_request, reply) => reply.redirect(publicPath('/docs/api')));
  }
  const page = withPublicPaths(PAGE, publicPath);
  app.get('/docs/api', { config, schema }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('content-security-policy', PAGE_POLICY).send(page),
  );
  const start = startScript(publicPath);
  app.get('/docs/api/start.js', { config, schema }, async (_request, reply) =>
    reply.type('text/javascript; charset=utf-8').send(start),
  );
  for (const [path, { module, type }] of Object.entries(FILES)) {
    app.get(path, { config, schema }, async (_request, reply) => {
      const file = await readFile(require.resolve(module));
      return reply
        .type(type)
        .header('content-security-policy', PAGE_POLICY)
        .header('cache-control', STATIC_FILE)
        .send(type.startsWith('text/html') ? withPublicPaths(String(file), publicPath) : file);
    });
  }
}
