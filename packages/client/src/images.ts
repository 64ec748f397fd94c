/**
 * The operations on images, and what each takes and gives. Owns their parameters. Refuses to know how calls are made.
 */
import type { components } from './contract.ts';
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
  type CallOptions,
  type Done,
  type Optional,
  pathOf,
  type UploadOptions,
} from './operation.ts';
import { listOf } from './reading.ts';
import type { Transport } from './transport.ts';

/** Metadata to store with an image. An empty text, null or nothing at all clears the alt text. */
export type ImageMetadataRequest = Optional<components['schemas']['ImageMetadataRequest']>;

/** Which images of an account: those that match all that is given. */
export interface ListImagesRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
  /** True: only those that are disabled; false: only those that are not. */
  readonly disabled?: boolean | undefined;
  /** True: only those that nothing shows; false: only those in use. See `usage`. */
  readonly unused?: boolean | undefined;
  /** Only those without alt text. */
  readonly altText?: 'missing' | undefined;
  /** Only those with this in their alt text, in whatever case. */
  readonly search?: string | undefined;
}

/** A file and, optionally, its metadata. */
export interface ImageUpload {
  /** A PNG, JPEG or WebP file of at most 16 MiB. */
  readonly image: ImageFile;
  readonly metadata?: ImageMetadataRequest | undefined;
}

/** An upload, flat or nested as the official SDK has it. */
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

/** Which image to disable. */
export interface DisableImageRequest extends ImageRequest {
  /**
   * True: nothing is changed, and the answer is where the image is used. Of this server only: one that does not know it
   * disables the image.
   */
  readonly dryRun?: boolean | undefined;
}

/** A replacement. Without metadata the image keeps what it has. */
export type UpdateImageRequest = ImageRequest & UploadImageRequest;

/** New metadata, flat or nested as the official SDK has it. */
export type UpdateImageMetadataRequest = ImageRequest &
  (ImageMetadataRequest | { readonly imageMetadataRequest: ImageMetadataRequest });

/** A picture at its public link. */
export interface GetPublicImageRequest extends Optional<DeliveryParameters> {
  /** The public ID of the image, 21 characters. */
  readonly publicID: string;
  /** Entity tags of what you have already; the answer is without a result if one is still current. */
  readonly ifNoneMatch?: string | undefined;
}

/** What can be different for one call of `getPublic`. */
export interface GetPublicOptions extends CallOptions {
  /** The media types that are wanted, unless `format` says it. Default: JPEG, or PNG where there is transparency. */
  readonly acceptHeaderOverride?: string | undefined;
}

/** Which original to get. */
export interface OriginalRequest extends ImageRequest {
  /** The entity tag of what you have already; the answer is without a result if it is still current. */
  readonly ifNoneMatch?: string | undefined;
}

/** What can be different for one call of `original`. */
export interface OriginalOptions extends CallOptions {
  /**
   * True: the bytes are read whole, at most 16 MiB, and compared with the SHA-256 that the server says they have, before the
   * call resolves. So what breaks off on its way is tried again as well, where retries are on.
   */
  readonly verify?: boolean | undefined;
}

/** As the official SDK asks, so that both get the same bytes. */
const DEFAULT_ACCEPT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';

const IMAGES = '/accounts/{accountID}/images';
const IMAGE = '/accounts/{accountID}/images/{imageID}';

/** The operations on images. All reject with the errors of `VitrineError`. */
export class Images {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * The images of an account, newest first, disabled ones included unless a filter says otherwise: awaited one page,
   * iterated all of them.
   */
  list(request: ListImagesRequest, options?: CallOptions): Listing<Image> {
    const { disabled, unused, altText, search } = request;
    const filters = { disabled, unused, altText, search };
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: pathOf(IMAGES, request),
          query: { skip, count, ...filters },
          repeatable: true,
        },
        options,
        listOf(readImage),
      );
    return new Listing(request, fetchPage, ({ imageID }) => imageID);
  }

  /**
   * Adds a picture. The call carries an idempotency key, so that trying again cannot add it twice.
   * @throws DuplicateImageError if the account has these bytes already.
   * @throws ImageRequestValidationError if it is no picture that is accepted, or the metadata is not.
   * @throws GenericError, for one, if the account may hold no more images.
   */
  async upload(request: UploadImageRequest, options: UploadOptions = {}): Promise<Answer<Image>> {
    const ownKey = new Headers(options.headers).has('x-idempotency-key');
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf(IMAGES, request),
        headers: { 'x-idempotency-key': idempotencyKey() },
        form: formOf(request),
        repeatable: true,
        refusals: {
          400: genericRefusal,
          409: ownKey ? duplicateOrKeyRefusal : duplicateRefusal,
          422: imageRequestRefusal,
        },
      },
      options,
      readImage,
    );
  }

  /** The metadata of an image. */
  async getMetadata(request: ImageRequest, options?: CallOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      { method: 'GET', path: pathOf(IMAGE, request), repeatable: true },
      options,
      readImage,
    );
  }

  /**
   * Replaces the picture of an image; its IDs and link stay.
   * @throws GenericError if another image has these bytes, or the image is disabled.
   * @throws ImageRequestValidationError as `upload`.
   */
  async update(request: UpdateImageRequest, options?: UploadOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      {
        method: 'PUT',
        path: pathOf(IMAGE, request),
        form: formOf(request),
        repeatable: true,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: imageRequestRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * Disables an image. It stays public, listed and readable, but can no longer be changed or assigned to products or line
   * items. With `dryRun` only tells where it is used.
   * @throws ImageInUseError if the account refuses to disable images in use, and this one is.
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
      path: pathOf(IMAGE, request),
      repeatable: true,
      refusals: { 400: genericRefusal, 409: inUseRefusal },
    } as const;
    return request.dryRun
      ? this.#transport.json({ ...operation, query: { dryRun: true } }, options, readUsage)
      : this.#transport.empty(operation, options);
  }

  /**
   * Brings an image back that was disabled; again is a success.
   * @throws GenericError if the account may hold no more images that are not disabled.
   */
  async enable(request: ImageRequest, options?: CallOptions): Promise<Answer<Image>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf('/accounts/{accountID}/images/{imageID}/enable', request),
        repeatable: true,
        refusals: { 400: genericRefusal, 409: genericRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * The bytes that were uploaded, exactly, as a stream; without a result if `ifNoneMatch` is still current. `new
   * Response(result)` makes a Blob or an ArrayBuffer of it. Of Vitrine servers only.
   * @throws ResponseValidationError with `verify`, if the bytes are not what the server says they are.
   */
  async original(request: OriginalRequest, options: OriginalOptions = {}): Promise<BytesAnswer> {
    const { ifNoneMatch } = request;
    const operation = {
      method: 'GET',
      path: pathOf('/accounts/{accountID}/images/{imageID}/original', request),
      accept: 'image/*, application/json;q=0.5',
      ...(ifNoneMatch !== undefined && { headers: { 'if-none-match': ifNoneMatch } }),
      repeatable: true,
    } as const;
    return options.verify
      ? this.#transport.checkedBytes(operation, options)
      : this.#transport.bytes(operation, options);
  }

  /** What shows an image: of each kind the newest 100, and how many there are in all. */
  async usage(request: ImageRequest, options?: CallOptions): Promise<Answer<ImageUsage>> {
    return this.#transport.json(
      {
        method: 'GET',
        path: pathOf('/accounts/{accountID}/images/{imageID}/usage', request),
        repeatable: true,
      },
      options,
      readUsage,
    );
  }

  /**
   * Replaces the metadata of an image.
   * @throws ImageMetadataValidationError if the metadata is not accepted.
   * @throws GenericError if the image is disabled.
   */
  async updateMetadata(request: UpdateImageMetadataRequest, options?: CallOptions): Promise<Answer<Image>> {
    const { altText, focalPoint } =
      'imageMetadataRequest' in request ? request.imageMetadataRequest : request;
    return this.#transport.json(
      {
        method: 'PUT',
        path: pathOf('/accounts/{accountID}/images/{imageID}/metadata', request),
        json: { altText, focalPoint },
        repeatable: true,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: imageMetadataRefusal },
      },
      options,
      readImage,
    );
  }

  /**
   * The picture at a public link, without credentials, as a stream of its bytes; without a result if `ifNoneMatch` is
   * still current. `new Response(result)` makes a Blob or an ArrayBuffer of it.
   */
  async getPublic(request: GetPublicImageRequest, options: GetPublicOptions = {}): Promise<BytesAnswer> {
    const { publicID, ifNoneMatch, size, fit, position, format, quality, dpr } = request;
    return this.#transport.bytes(
      {
        method: 'GET',
        path: pathOf('/images/{publicID}', { publicID }),
        query: { size, fit, position, format, quality, dpr },
        accept: options.acceptHeaderOverride ?? DEFAULT_ACCEPT,
        ...(ifNoneMatch !== undefined && { headers: { 'if-none-match': ifNoneMatch } }),
        isPublic: true,
        repeatable: true,
      },
      options,
    );
  }
}

function formOf(request: UploadImageRequest): Form {
  const { image, metadata } =
    'imageUploadRequestMultiPart' in request ? request.imageUploadRequestMultiPart : request;
  return new Form(image, metadata);
}

/** A UUID; made by hand because pages that are not secure have no `crypto.randomUUID`. */
function idempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte, at) => {
    const marked = at === 6 ? (byte & 0x0f) | 0x40 : at === 8 ? (byte & 0x3f) | 0x80 : byte;
    return marked.toString(16).padStart(2, '0');
  }).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
