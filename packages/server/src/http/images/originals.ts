/**
 * `GET …/images/{imageID}/original`: the uploaded bytes, to who may read the account's images. Owns the headers that keep
 * a browser from ever showing them as a page. Refuses to know where they are stored.
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

/** Milliseconds in which a client must have taken something: who stopped reading must not keep a file open. */
const STALL_TIMEOUT = 30_000;

const OriginalHeaders = Type.Object({
  ...VersionHeader.properties,
  ...ConditionalHeaders.properties,
  'if-match': Type.Optional(
    Type.String({ description: 'Entity tags: the answer is 412 if the bytes have none of them.' }),
  ),
});

const ANSWERED = {
  ETag: { description: 'Strong entity tag: the SHA-256 of the bytes.', type: 'string' },
  'Repr-Digest': { description: 'The SHA-256 of the bytes, as RFC 9530 has it.', type: 'string' },
  'Content-Disposition': { description: 'Always an attachment, with a name made here.', type: 'string' },
};

const RESPONSES = {
  200: {
    description: 'The bytes that were uploaded, in the format that they have.',
    headers: ANSWERED,
    content: Object.fromEntries(
      IMAGE_FORMATS.map((format) => [
        FORMATS[format].mediaType,
        { schema: { type: 'string', format: 'binary' } },
      ]),
    ),
  },
  304: describeResponse('The bytes have not changed.'),
  412: describeResponse('The bytes are not those that If-Match names.', Type.Ref('GenericError')),
  ...COMMON_RESPONSES,
} as const;

export function addOriginalRoutes(app: FastifyInstance, { library }: { readonly library: Library }): void {
  // HEAD is a route of its own, because the framework's reads the whole file to answer it.
  for (const method of ['GET', 'HEAD'] as const) {
    app.route<{ Params: Static<typeof ImageParams> }>({
      method,
      exposeHeadRoute: false,
      url: '/accounts/:accountID/images/:imageID/original',
      config: { scope: 'images.read' },
      schema: {
        operationId: 'getImageOriginal',
        summary: 'Get the bytes that were uploaded',
        description:
          'Exactly these, with all metadata that the file has in it: public links never show those. As an attachment.',
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
          // Credentials that a browser remembers must not let another site embed it.
          .header('cross-origin-resource-policy', 'same-origin');
        if (!isMatched(request.headers, etag))
          throw new AppError('precondition-failed', 'the original has none of the entity tags of If-Match');
        if (isNotModified(request.headers, { etag, lastModified: undefined })) return reply.code(304).send();
        // Also for HEAD: it is not to promise bytes that are lost.
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

/** Nothing that a client wrote is in it. */
function fileName({ publicID, original }: Image): string {
  return `${publicID}.${FORMATS[original.format].extensions[0]}`;
}

function reprDigest(digest: Digest): string {
  return `sha-256=:${Buffer.from(digest, 'hex').toString('base64')}:`;
}
