/**
 * The routes that list, upload, read, replace, describe and disable the images of an account.
 */
import type { Readable } from 'node:stream';
import type { ImageMetadata } from '@vitrine/client';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { ConcurrencyLimit, concurrencyLimitError } from '../../concurrency/concurrency-limit.ts';
import { AppError } from '../../errors.ts';
import { IMAGE_FORMAT_NAMES, type Image, parseTags } from '../../image.ts';
import type { Library } from '../../images/library.ts';
import type { ImageFilter } from '../../images/records.ts';
import { DuplicateImageError, ImageInUseError } from '../../images/refusals.ts';
import { requireForm } from '../shared/content-type.ts';
import { addPageHeaders, readPage, readSearch } from '../shared/paging.ts';
import { sendProblem } from '../shared/problems.ts';
import { accountOf, actorOf } from '../shared/route-rules.ts';
import { AccountParams, VersionHeader } from '../shared/schemas.ts';
import { duplicateNamesExisting } from '../shared/version.ts';
import { imageJSON, usageJSON } from './json.ts';
import { readDescription } from './metadata.ts';
import { IMAGE_RESPONSES, ImageListQuery, ImageParams, UploadHeaders } from './schemas.ts';
import { readUploadForm, type UploadForm } from './upload-form.ts';
import { DisableQuery, USAGE_RESPONSES } from './usage-schemas.ts';

/**
 * The most uploads of one account at once, from the first byte to the response. It is half the size of the
 * queue for pictures, so the other accounts always have the other half (docs/adr/0039).
 */
const MAX_UPLOADS_PER_ACCOUNT = 128;

export interface ImageRoutes {
  readonly library: Library;
  /** The base of public links, without a trailing slash. */
  readonly baseURL: () => string;
}

export function addImageRoutes(app: FastifyInstance, { library, baseURL }: ImageRoutes): void {
  const toJSON = (image: Image): ImageMetadata => imageJSON(image, baseURL());
  const readForm = (request: FastifyRequest): Promise<UploadForm> => {
    requireForm(request.headers['content-type']);
    return readUploadForm(request, request.body as Readable, (file) =>
      library.receive(file, request.abortSignal),
    );
  };
  const uploadSlots = new ConcurrencyLimit(MAX_UPLOADS_PER_ACCOUNT);
  const withUploadSlot = async (request: FastifyRequest, upload: () => Promise<Image>): Promise<Image> => {
    const releaseSlot = uploadSlots.acquire(accountOf(request));
    if (!releaseSlot) throw concurrencyLimitError('account', MAX_UPLOADS_PER_ACCOUNT, 'uploads');
    return upload().finally(releaseSlot);
  };
  const tags = ['Images'];
  const form = { body: { $ref: 'ImageRequest#' }, consumes: ['multipart/form-data'] };

  app.get<{ Params: Static<typeof AccountParams>; Querystring: Static<typeof ImageListQuery> }>(
    '/accounts/:accountID/images',
    {
      config: { scope: 'images.read' },
      schema: {
        operationId: 'listImageMetadata',
        summary: 'List the metadata of images',
        description:
          'Returns the images of the account that match all filters, newest first unless `sort` says otherwise. Disabled images are included unless the filter excludes them.',
        tags,
        params: AccountParams,
        querystring: ImageListQuery,
        headers: VersionHeader,
        response: IMAGE_RESPONSES.list,
      },
    },
    async (request, reply) => {
      const accountID = accountOf(request);
      const page = readPage(request.query);
      const filters = filtersOf(request.query);
      const { images, total } = await library.list(
        accountID,
        page,
        imageFilter(filters),
        request.abortSignal,
      );
      const url = `${baseURL()}/accounts/${accountID}/images`;
      addPageHeaders(reply, { url, page, length: images.length, total, filters });
      return images.map(toJSON);
    },
  );

  app.post<{ Params: Static<typeof AccountParams> }>(
    '/accounts/:accountID/images',
    {
      config: { scope: 'images.write', form: true },
      schema: {
        operationId: 'uploadImage',
        summary: `Upload a ${IMAGE_FORMAT_NAMES} image`,
        description:
          'The file may have up to 16 MiB (16 777 216 bytes), and all frames together up to 100 megapixels. A file with the same bytes as an image of the account gets 409.',
        tags,
        params: AccountParams,
        headers: UploadHeaders,
        ...form,
        response: IMAGE_RESPONSES.upload,
      },
      errorHandler: (error, request, reply) => {
        const { version } = request;
        return sendProblem(error, request, reply, (failure) => {
          const showsExisting = version !== undefined && duplicateNamesExisting(version);
          return showsExisting && failure instanceof DuplicateImageError
            ? { error: failure.message, ...toJSON(failure.existing) }
            : uploadProblem(failure);
        });
      },
    },
    async (request, reply) => {
      const idempotencyKey = parseIdempotencyKey(request.headers['x-idempotency-key']);
      const image = await withUploadSlot(request, async () => {
        const upload = {
          ...(await readForm(request)),
          ...(idempotencyKey !== undefined && { idempotencyKey }),
        };
        return library.upload(accountOf(request), actorOf(request), upload, request.abortSignal);
      });
      return reply.code(201).send(toJSON(image));
    },
  );

  app.get<{ Params: Static<typeof ImageParams> }>(
    '/accounts/:accountID/images/:imageID',
    {
      config: { scope: 'images.read' },
      schema: {
        operationId: 'getImageMetadata',
        summary: 'Get the metadata of an image',
        description: 'Also returns a disabled image.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        response: IMAGE_RESPONSES.get,
      },
    },
    async (request) => toJSON(await library.get(accountOf(request), request.params.imageID)),
  );

  app.put<{ Params: Static<typeof ImageParams> }>(
    '/accounts/:accountID/images/:imageID',
    {
      config: { scope: 'images.write', form: true },
      schema: {
        operationId: 'updateImage',
        summary: 'Replace the file of an image',
        description:
          'The IDs and the link stay the same. Metadata in the form changes the metadata as in updateImageMetadata. Without any, the metadata stays as it is.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        ...form,
        response: IMAGE_RESPONSES.update,
      },
      errorHandler: (error, request, reply) => sendProblem(error, request, reply, uploadProblem),
    },
    async (request) => {
      const accountID = accountOf(request);
      const { imageID } = request.params;
      // Before the body is read, so that a client does not send 16 MiB for an unknown or disabled image.
      await library.getChangeable(accountID, imageID);
      const image = await withUploadSlot(request, async () => {
        const form = await readForm(request);
        return library.update(accountID, actorOf(request), imageID, form, request.abortSignal);
      });
      return toJSON(image);
    },
  );

  app.delete<{ Params: Static<typeof ImageParams>; Querystring: Static<typeof DisableQuery> }>(
    '/accounts/:accountID/images/:imageID',
    {
      config: { scope: 'images.write' },
      schema: {
        operationId: 'disableImage',
        summary: 'Disable an image',
        description:
          'A disabled image stays public, listed and readable. It cannot be changed or assigned to products or line items. Disabling a disabled image succeeds. Nothing is deleted.',
        tags,
        params: ImageParams,
        querystring: DisableQuery,
        headers: VersionHeader,
        response: USAGE_RESPONSES.disable,
      },
      errorHandler: (error, request, reply) =>
        sendProblem(error, request, reply, (failure) =>
          failure instanceof ImageInUseError
            ? { error: failure.message, usage: usageJSON(failure.usage) }
            : undefined,
        ),
    },
    async (request, reply) => {
      if (request.query.dryRun === 'true') {
        return usageJSON(
          await library.usage(accountOf(request), request.params.imageID, request.abortSignal),
        );
      }
      await library.disable(accountOf(request), actorOf(request), request.params.imageID);
      return reply.code(204).send();
    },
  );

  app.put<{ Params: Static<typeof ImageParams> }>(
    '/accounts/:accountID/images/:imageID/metadata',
    {
      config: { scope: 'images.write' },
      schema: {
        operationId: 'updateImageMetadata',
        summary: 'Replace the metadata of an image',
        description:
          'Replaces the alternative text, the focal point and the tags. Those that are absent are removed. The file name and the visibility change only if they are present.',
        tags,
        params: ImageParams,
        headers: VersionHeader,
        body: { $ref: 'ImageMetadataRequest#' },
        response: IMAGE_RESPONSES.updateMetadata,
      },
      errorHandler: (error, request, reply) => sendProblem(error, request, reply, metadataProblem),
    },
    async (request) => {
      if (request.body === undefined) {
        throw new AppError('invalid-request', 'the body must be a JSON object with altText');
      }
      const result = readDescription(request.body);
      if (!result.ok) {
        const { fields } = result;
        throw new AppError('invalid-metadata', Object.values(fields).join('; '), { fields });
      }
      const accountID = accountOf(request);
      const { imageID } = request.params;
      return toJSON(await library.updateMetadata(accountID, actorOf(request), imageID, result.description));
    },
  );
}

type Filters = Omit<Static<typeof ImageListQuery>, 'skip' | 'count'>;

/** The filters of a request, unchanged, for the link to the next page. */
function filtersOf({ skip, count, search, tag, ...others }: Static<typeof ImageListQuery>): Filters {
  const text = readSearch('search', search);
  const problem = tag === undefined ? undefined : tagProblem(tag);
  if (problem !== undefined) throw new AppError('invalid-request', problem);
  return {
    ...others,
    ...(text !== undefined && { search: text }),
    ...(tag !== undefined && { tag }),
  };
}

function tagProblem(tag: string): string | undefined {
  const result = parseTags([tag]);
  return result.ok ? undefined : `tag must be a tag of an image: ${result.reason}`;
}

/** No picture is larger, and every database has this number. */
const MAX_SIDE = 1_000_000;

function imageFilter({
  disabled,
  unused,
  withdrawn,
  minWidth,
  minHeight,
  ...filters
}: Filters): ImageFilter | undefined {
  const filter = {
    ...filters,
    ...(disabled && { disabled: disabled === 'true' }),
    ...(unused && { unused: unused === 'true' }),
    ...(withdrawn && { withdrawn: withdrawn === 'true' }),
    ...(minWidth !== undefined && { minWidth: Math.min(minWidth, MAX_SIDE) }),
    ...(minHeight !== undefined && { minHeight: Math.min(minHeight, MAX_SIDE) }),
  };
  return Object.keys(filter).length === 0 ? undefined : filter;
}

/** The body of the 422 of upload and update: the errors by part of the form. */
function uploadProblem({ fields }: AppError): Record<string, unknown> | undefined {
  if (!fields) return undefined;
  const { image, ...metadata } = fields;
  return {
    ...(image !== undefined && { image }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
}

/** The body of the 422 of update_metadata: the errors by field. */
function metadataProblem({ fields }: AppError): Record<string, unknown> | undefined {
  return fields && { ...fields };
}

function parseIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(header)) {
    throw new AppError('invalid-request', 'X-Idempotency-Key must be 1 to 255 visible ASCII characters');
  }
  return header;
}
