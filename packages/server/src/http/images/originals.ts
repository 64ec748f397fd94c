/**
 * `GET …/images/{imageID}/original`: the uploaded bytes, for principals with the scope `images.read`.
 * Its headers make browsers save the file and never show it as a page.
 */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { AppError } from '../../errors.ts';
import { type Digest, FORMATS, IMAGE_FORMATS, type Image } from '../../image.ts';
import type { Library } from '../../images/library.ts';
import { isMatched, isNotModified } from '../shared/conditional.ts';
import { sendProblem } from '../shared/problems.ts';
import { accountOf } from '../shared/route-rules.ts';
import { COMMON_RESPONSES, ConditionalHeaders, describeResponse, VersionHeader } from '../shared/schemas.ts';
import { ImageParams } from './schemas.ts';

/**
 * Milliseconds without progress after which the response ends. A stalled client must not keep a file open.
 */
const STALL_TIMEOUT = 30_000;

const OriginalHeaders = Type.Object({
  ...VersionHeader.properties,
  ...ConditionalHeaders.properties,
  'if-match': Type.Optional(
    Type.String({ description: 'Entity tags. If the original has none of them, the response is 412.' }),
  ),
});

const HEADERS = {
  ETag: { description: 'Strong entity tag: the SHA-256 of the bytes.', type: 'string' },
  'Repr-Digest': { description: 'The SHA-256 of the bytes, in the form of RFC 9530.', type: 'string' },
  'Content-Disposition': {
    description: 'Always an attachment. The file name is the public ID with an extension.',
    type: 'string',
  },
};

const RESPONSES = {
  200: {
    description: 'The uploaded bytes, in their own format.',
    headers: HEADERS,
    content: Object.fromEntries(
      IMAGE_FORMATS.map((format) => [
        FORMATS[format].mediaType,
        { schema: { type: 'string', format: 'binary' } },
      ]),
    ),
  },
  304: describeResponse('The bytes have not changed.'),
  412: describeResponse('The original has none of the entity tags of If-Match.', Type.Ref('GenericError')),
  ...COMMON_RESPONSES,
} as const;

export function addOriginalRoutes(app: FastifyInstance, { library }: { readonly library: Library }): void {
  // The HEAD route of the framework reads the whole file. So HEAD has its own route here.
  for (const method of ['GET', 'HEAD'] as const) {
    app.route<{ Params: Static<typeof ImageParams> }>({
      method,
      exposeHeadRoute: false,
      url: '/accounts/:accountID/images/:imageID/original',
      config: { scope: 'images.read' },
      schema: {
        operationId: 'getImageOriginal',
        summary: 'Get the original of an image',
        description:
          'Returns the uploaded bytes unchanged, as an attachment. They include all metadata in the file, such as GPS positions, which public links never contain. Ranges are not supported.',
        tags: ['Images'],
        params: ImageParams,
        headers: OriginalHeaders,
        response: RESPONSES,
      },
      errorHandler: (error, request, reply) => {
        for (const name of ['content-length', 'accept-ranges', 'repr-digest']) reply.removeHeader(name);
        return sendProblem(error, request, reply);
      },
      handler: async (request, reply) => {
        const image = await library.get(accountOf(request), request.params.imageID);
        const { digest, format, size } = image.original;
        const etag = `"${digest}"`;
        reply
          .header('etag', etag)
          .header('repr-digest', reprDigest(digest))
          .header('content-security-policy', "default-src 'none'; sandbox")
          // A browser sends stored credentials. This header stops other sites from embedding the original
          // with them.
          .header('cross-origin-resource-policy', 'same-origin');
        if (!isMatched(request.headers, etag))
          throw new AppError('precondition-failed', 'the original has none of the entity tags of If-Match');
        if (isNotModified(request.headers, { etag, lastModified: undefined })) return reply.code(304).send();
        // Also opened for HEAD, so that HEAD fails in the same way if the bytes are lost.
        const stream = await library.openOriginal(image, request.abortSignal);
        reply
          .type(FORMATS[format].mediaType)
          .header('content-length', String(size))
          .header('content-disposition', `attachment; filename="${fileName(image)}"`)
          .header('accept-ranges', 'none');
        if (method === 'HEAD') {
          stream.destroy();
          return reply.send();
        }
        reply.raw.setTimeout(STALL_TIMEOUT, () => reply.raw.destroy());
        return reply.send(stream);
      },
    });
  }
}

/** The file name contains nothing from clients, so it needs no escaping. */
function fileName({ publicID, original }: Image): string {
  return `${publicID}.${FORMATS[original.format].extensions[0]}`;
}

function reprDigest(digest: Digest): string {
  return `sha-256=:${Buffer.from(digest, 'hex').toString('base64')}:`;
}
