/**
 * The operations on an image that concern its use: where it is used, and bringing it back.
 * Refuses to know how its use is found out.
 */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { VersionHeader } from '../shared/schemas.ts';
import { usageJSON } from './json.ts';
import { type ImageRoutes, imageMetadata } from './routes.ts';
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
        summary: 'Get where an image is used',
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
        summary: 'Bring a disabled image back',
        description: 'It counts among the images that the account may have enabled. Again is a success.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        response: USAGE_RESPONSES.enable,
      },
    },
    async (request) =>
      imageMetadata(
        await library.enable(accountOf(request), actorOf(request), request.params.imageID),
        baseURL(),
      ),
  );
}
