/**
 * The routes that read the usage of an image and enable a disabled image.
 */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { VersionHeader } from '../shared/schemas.ts';
import { imageJSON, usageJSON } from './json.ts';
import type { ImageRoutes } from './routes.ts';
import { ImageParams } from './schemas.ts';
import { USAGE_RESPONSES } from './usage-schemas.ts';

export function addImageUsageRoutes(app: FastifyInstance, { library, baseURL }: ImageRoutes): void {
  const tags = ['Images'];

  app.get<{ Params: Static<typeof ImageParams> }>(
    '/accounts/:accountID/images/:imageID/usage',
    {
      config: { scope: 'images.read' },
      schema: {
        operationId: 'getImageUsage',
        summary: 'Get the usage of an image',
        description: 'Returns the products, options and line items that show the image.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        response: USAGE_RESPONSES.usage,
      },
    },
    async (request) =>
      usageJSON(await library.usage(accountOf(request), request.params.imageID, request.abortSignal)),
  );

  app.post<{ Params: Static<typeof ImageParams> }>(
    '/accounts/:accountID/images/:imageID/enable',
    {
      config: { scope: 'images.write' },
      schema: {
        operationId: 'enableImage',
        summary: 'Enable an image',
        description:
          'Makes a disabled image usable again. It counts towards the quotas of the account. Enabling an enabled image succeeds.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        response: USAGE_RESPONSES.enable,
      },
    },
    async (request) =>
      imageJSON(
        await library.enable(accountOf(request), actorOf(request), request.params.imageID),
        baseURL(),
      ),
  );
}
