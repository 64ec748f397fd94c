/**
 * The operations on images.
 */
import type { components, operations } from './contract.ts';
import {
  duplicateOrKeyRefusal,
  duplicateRefusal,
  genericRefusal,
  imageMetadataRefusal,
  imageRequestRefusal,
  inUseRefusal,
} from './errors.ts';
import { Form, type ImageFile } from './form.ts';
import { type Image, type ImageUsage, readImage, readUsage } from './image.ts';
import type { DeliveryParameters } from './links.ts';
import { Listing, type Range } from './listing.ts';
import {
  type Answer,
  type BytesAnswer,
  buildPath,
  type CallOptions,
  type Done,
  type Optional,
  type UploadOptions,
} from './operation.ts';
import { readListOf } from './reading.ts';
import type { Transport } from './transport.ts';

/**
 * The metadata of an image. It replaces the earlier metadata: null or an omitted `altText`, `focalPoint` or
 * `tags` clears it. An omitted `fileName` or `visibility` stays as it is.
 */
export type ImageMetadataRequest = Optional<components['schemas']['ImageMetadataRequest']>;

type ListQuery = NonNullable<operations['listImageMetadata']['parameters']['query']>;

/** A list request. An image must match all filters. */
export interface ListImagesRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
  /** True: only disabled images. False: only enabled images. */
  readonly disabled?: boolean | undefined;
  /** True: only unused images. False: only images in use. See `usage`. */
  readonly unused?: boolean | undefined;
  /** Only images without alt text. */
  readonly altText?: 'missing' | undefined;
  /** Only images whose alt text, file name or tags contain this text. Case and accents do not matter. */
  readonly search?: string | undefined;
  /** Only images with this tag. Case-insensitive. */
  readonly tag?: string | undefined;
  /** Only images whose original has this format. */
  readonly format?: ListQuery['format'] | undefined;
  /** Only images that are at least this wide, in pixels. */
  readonly minWidth?: number | undefined;
  /** Only images that are at least this high, in pixels. */
  readonly minHeight?: number | undefined;
  readonly visibility?: ListQuery['visibility'] | undefined;
  /** True: only withdrawn images. False: only images that are not. */
  readonly withdrawn?: boolean | undefined;
  /** The order. Default: `-createdOn`, newest first. */
  readonly sort?: ListQuery['sort'] | undefined;
}

/** A file with optional metadata. */
export interface ImageUpload {
  /** A PNG, JPEG or WebP file of at most 16 MiB. */
  readonly image: ImageFile;
  readonly metadata?: ImageMetadataRequest | undefined;
}

/** An upload: flat, or nested as in the official SDK. */
export type UploadImageRequest = {
  /** The account, a UUID. */
  readonly accountID: string;
} & (ImageUpload | { readonly imageUploadRequestMultiPart: ImageUpload });

/** One image of an account. */
export interface ImageRequest {
  /** The account, a UUID. */
  readonly accountID: string;
  /** The image, a UUID. */
  readonly imageID: string;
}

/** The image to disable. */
export interface DisableImageRequest extends ImageRequest {
  /**
   * True: returns the usage of the image and changes nothing.
   * Vitrine servers only: a server that does not support it disables the image.
   */
  readonly dryRun?: boolean | undefined;
}

/** A replacement of the picture. Without metadata the image keeps its metadata. */
export type UpdateImageRequest = ImageRequest & UploadImageRequest;

/** New metadata: flat, or nested as in the official SDK. */
export type UpdateImageMetadataRequest = ImageRequest &
  (ImageMetadataRequest | { readonly imageMetadataRequest: ImageMetadataRequest });

/** A public link with its delivery parameters. */
export interface GetPublicImageRequest extends Optional<DeliveryParameters> {
  /** The public ID of the image, 21 characters. */
  readonly publicID: string;
  /** ETags of your copies. If one of them is current, the call resolves without a result. */
  readonly ifNoneMatch?: string | undefined;
}

/** The options of one `getPublic` call. */
export interface GetPublicOptions extends CallOptions {
  /** The Accept header. `format` takes precedence. Default: JPEG, or PNG for pictures with transparency. */
  readonly acceptHeaderOverride?: string | undefined;
}

/** The original to get. */
export interface OriginalRequest extends ImageRequest {
  /** The ETag of your copy. If it is current, the call resolves without a result. */
  readonly ifNoneMatch?: string | undefined;
}

/** The options of one `original` call. */
export interface OriginalOptions extends CallOptions {
  /**
   * True: reads all bytes (at most 16 MiB) and verifies their SHA-256 before the call resolves.
   * Retries then also cover a connection that breaks during the body.
   */
  readonly verify?: boolean | undefined;
}

/** The Accept header of the official SDK, so that both get the same bytes. */
const DEFAULT_ACCEPT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';

const IMAGES = '/accounts/{accountID}/images';
const IMAGE = '/accounts/{accountID}/images/{imageID}';

/** The operations on images. All reject with a `VitrineError`. */
export class Images {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Lists the images of an account, newest first unless `sort` says otherwise, including disabled images.
   * Await it for one page, iterate it for all.
   */
  list(request: ListImagesRequest, options?: CallOptions): Listing<Image> {
    const { search, tag, format, minWidth, minHeight } = request;
    const { disabled, unused, altText, visibility, withdrawn, sort } = request;
    const filters = {
      ...{ search, tag, format, minWidth, minHeight },
      ...{ disabled, unused, altText, visibility, withdrawn, sort },
    };
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: buildPath(IMAGES, request),
          query: { skip, count, ...filters },
          idempotent: true,
        },
        options,
        readListOf(readImage),
      );
    return new Listing(request, fetchPage, ({ imageID }) => imageID);
  }

  /**
   * Uploads an image. The call sends an idempotency key, so a retry cannot create a second image.
   * @throws DuplicateImageError if the account already has these bytes.
   * @throws ImageRequestValidationError if the file or the metadata is invalid. Files are PNG, JPEG or WebP.
   * @throws GenericError if the image or byte quota of the account is exceeded, among other causes.
   */
  async upload(request: UploadImageRequest, options: UploadOptions = {}): Promise<Answer<Image>> {
    const callerHasKey = new Headers(options.headers).has('x-idempotency-key');
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath(IMAGES, request),
        headers: { 'x-idempotency-key': createIdempotencyKey() },
        form: buildForm(request),
        idempotent: true,
        refusals: {
          400: genericRefusal,
          409: callerHasKey ? duplicateOrKeyRefusal : duplicateRefusal,
          422: imageRequestRefusal,
        },
      },
      options,
      readImage,
    );
  }

  /** Gets the metadata of an image. */
  async getMetadata(request: ImageRequest, options?: CallOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      { method: 'GET', path: buildPath(IMAGE, request), idempotent: true },
      options,
      readImage,
    );
  }

  /**
   * Replaces the picture of an image. Its IDs and link stay.
   * @throws GenericError if another image of the account has these bytes, or the image is disabled.
   * @throws ImageRequestValidationError as `upload`.
   */
  async update(request: UpdateImageRequest, options?: UploadOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      {
        method: 'PUT',
        path: buildPath(IMAGE, request),
        form: buildForm(request),
        idempotent: true,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: imageRequestRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * Disables an image. It stays public, listed and readable. It cannot be changed, or assigned to products or
   * line items. With `dryRun` it returns the usage of the image and disables nothing.
   * @throws ImageInUseError if the image is in use and the account's policy forbids disabling it.
   */
  async delete(
    request: ImageRequest & { readonly dryRun: true },
    options?: CallOptions,
  ): Promise<Answer<ImageUsage>>;
  async delete(
    request: ImageRequest & { readonly dryRun?: false | undefined },
    options?: CallOptions,
  ): Promise<Done>;
  async delete(request: DisableImageRequest, options?: CallOptions): Promise<Done | Answer<ImageUsage>>;
  async delete(request: DisableImageRequest, options?: CallOptions): Promise<Done | Answer<ImageUsage>> {
    const operation = {
      method: 'DELETE',
      path: buildPath(IMAGE, request),
      idempotent: true,
      refusals: { 400: genericRefusal, 409: inUseRefusal },
    } as const;
    return request.dryRun
      ? this.#transport.json({ ...operation, query: { dryRun: true } }, options, readUsage)
      : this.#transport.empty(operation, options);
  }

  /**
   * Enables a disabled image. Enabling an enabled image is a success.
   * @throws GenericError if a quota of the account is exceeded.
   */
  async enable(request: ImageRequest, options?: CallOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath('/accounts/{accountID}/images/{imageID}/enable', request),
        idempotent: true,
        refusals: { 400: genericRefusal, 409: genericRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * Gets the original: the uploaded bytes, unchanged, as a stream. Vitrine servers only. Resolves without a
   * result if `ifNoneMatch` is current. `new Response(result)` converts the stream.
   * @throws ResponseValidationError with `verify`, if the digest is missing or does not match the bytes.
   */
  async original(request: OriginalRequest, options: OriginalOptions = {}): Promise<BytesAnswer> {
    const { ifNoneMatch } = request;
    const operation = {
      method: 'GET',
      path: buildPath('/accounts/{accountID}/images/{imageID}/original', request),
      accept: 'image/*, application/json;q=0.5',
      ...(ifNoneMatch !== undefined && { headers: { 'if-none-match': ifNoneMatch } }),
      idempotent: true,
    } as const;
    return options.verify
      ? this.#transport.verifiedBytes(operation, options)
      : this.#transport.bytes(operation, options);
  }

  /** Gets the usage of an image: the newest 100 of each kind, and the totals. */
  async usage(request: ImageRequest, options?: CallOptions): Promise<Answer<ImageUsage>> {
    return this.#transport.json(
      {
        method: 'GET',
        path: buildPath('/accounts/{accountID}/images/{imageID}/usage', request),
        idempotent: true,
      },
      options,
      readUsage,
    );
  }

  /**
   * Replaces the metadata of an image.
   * @throws ImageMetadataValidationError if the metadata is invalid.
   * @throws GenericError if the image is disabled.
   */
  async updateMetadata(request: UpdateImageMetadataRequest, options?: CallOptions): Promise<Answer<Image>> {
    const { altText, focalPoint, tags, fileName, visibility } =
      'imageMetadataRequest' in request ? request.imageMetadataRequest : request;
    return this.#transport.json(
      {
        method: 'PUT',
        path: buildPath('/accounts/{accountID}/images/{imageID}/metadata', request),
        json: { altText, focalPoint, tags, fileName, visibility },
        idempotent: true,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: imageMetadataRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * Gets a rendition at a public link, as a stream. The call sends no credentials.
   * Resolves without a result if `ifNoneMatch` is current. `new Response(result)` converts the stream.
   */
  async getPublic(request: GetPublicImageRequest, options: GetPublicOptions = {}): Promise<BytesAnswer> {
    const { publicID, ifNoneMatch, size, fit, position, format, quality, dpr } = request;
    return this.#transport.bytes(
      {
        method: 'GET',
        path: buildPath('/images/{publicID}', { publicID }),
        query: { size, fit, position, format, quality, dpr },
        accept: options.acceptHeaderOverride ?? DEFAULT_ACCEPT,
        ...(ifNoneMatch !== undefined && { headers: { 'if-none-match': ifNoneMatch } }),
        isPublic: true,
        idempotent: true,
      },
      options,
    );
  }
}

function buildForm(request: UploadImageRequest): Form {
  const { image, metadata } =
    'imageUploadRequestMultiPart' in request ? request.imageUploadRequestMultiPart : request;
  return new Form(image, metadata);
}

/** A random UUID. Pages without HTTPS have no `crypto.randomUUID`. */
function createIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte, index) => {
    // The version and the variant of a random UUID (RFC 9562).
    const value = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return value.toString(16).padStart(2, '0');
  }).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
