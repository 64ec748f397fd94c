/**
 * Everything this client throws on purpose, and the union of it. Owns which answer becomes which error.
 * Refuses to know how a request was sent. Mistakes of the caller are plain TypeErrors and RangeErrors; a call that its
 * caller aborts rejects with the reason of the signal.
 */
import type { components } from './contract.ts';
import { type Image, type ImageUsage, readImage, readUsage } from './image.ts';

type Schemas = components['schemas'];
type ProductProblems = Schemas['ProductRequestValidationError'];

/** The names of the errors that answers become. */
export type APIErrorName =
  | 'APIError'
  | 'DuplicateImageError'
  | 'GenericError'
  | 'ImageInUseError'
  | 'ImageMetadataValidationError'
  | 'ImageRequestValidationError'
  | 'LineItemsValidationError'
  | 'ProductRequestValidationError'
  | 'ResponseValidationError';

/** What an error keeps of the answer that it is about. */
export interface ErrorResponse {
  readonly status: number;
  readonly headers: Headers;
  /** The whole body, as text. */
  readonly body: string;
}

/**
 * The server answered, and the answer is not a success. The base of all errors that have an answer, and the error itself
 * where no other class says more (401, 403, 404, 413, 429, 5xx).
 */
export class APIError extends Error {
  /** Which of the errors it is; `isVitrineError` and a switch over it narrow to the class. */
  override readonly name: APIErrorName = 'APIError';
  /** The HTTP status. */
  readonly status: number;
  /** The headers of the answer. */
  readonly headers: Headers;
  /** The body of the answer, as text. */
  readonly body: string;
  /** By this the operators of the server find the request in their log. */
  readonly requestId: string | undefined;

  constructor(response: ErrorResponse, message: string = describe(response), options?: ErrorOptions) {
    super(message, options);
    this.status = response.status;
    this.headers = response.headers;
    this.body = response.body;
    this.requestId = response.headers.get('x-request-id') ?? undefined;
  }

  /** `status`, under the name that the official SDK gives it. */
  get statusCode(): number {
    return this.status;
  }
}

/** The request cannot be done as it is: malformed (400), or the state of things is against it (409). */
export class GenericError extends APIError {
  override readonly name: 'GenericError' | 'DuplicateImageError' | 'ImageInUseError' = 'GenericError';
  /** What is wrong, in a sentence; of tokens a code of RFC 6749, such as `invalid_grant`. */
  readonly error: string;

  constructor(response: ErrorResponse, data: Schemas['GenericError']) {
    super(response);
    this.error = data.error;
  }
}

/** The account has these bytes already, perhaps as an image that is disabled (409 of an upload). */
export class DuplicateImageError extends GenericError {
  override readonly name = 'DuplicateImageError';
  /** The image that has the bytes; absent if the server did not say, as before v2026.10.00. */
  readonly existing: Image | undefined;

  constructor(response: ErrorResponse, data: Schemas['GenericError'], existing?: Image) {
    super(response, data);
    this.existing = existing;
  }
}

/** The account refuses to disable images in use, and this one is (409 of `images.delete`). */
export class ImageInUseError extends GenericError {
  override readonly name = 'ImageInUseError';
  /** What shows the image. */
  readonly usage: ImageUsage;

  constructor(response: ErrorResponse, data: Schemas['GenericError'], usage: ImageUsage) {
    super(response, data);
    this.usage = usage;
  }
}

/** The picture or its metadata is refused (422 of an upload or update). */
export class ImageRequestValidationError extends APIError {
  override readonly name = 'ImageRequestValidationError';
  /** What is wrong with the image; absent if nothing is. */
  readonly image: string | undefined;
  /** What is wrong with the metadata, by field; absent if nothing is. */
  readonly metadata: Schemas['ImageMetadataValidationError'] | undefined;

  constructor(response: ErrorResponse, data: Schemas['ImageRequestValidationError']) {
    super(response);
    this.image = data.image;
    this.metadata = data.metadata;
  }
}

/** The metadata is refused (422 of updateMetadata). */
export class ImageMetadataValidationError extends APIError {
  override readonly name = 'ImageMetadataValidationError';
  /** What is wrong with the alt text; absent if nothing is. */
  readonly altText: string | undefined;
  /** What is wrong with the focal point; absent if nothing is. */
  readonly focalPoint: string | undefined;

  constructor(response: ErrorResponse, data: Schemas['ImageMetadataValidationError']) {
    super(response);
    this.altText = data.altText;
    this.focalPoint = data.focalPoint;
  }
}

/** The product is refused (422 of `products.create` and `update`): all that is wrong, in the shape of the request, lists by index. */
export class ProductRequestValidationError extends APIError {
  override readonly name = 'ProductRequestValidationError';
  /** What is wrong with the title; absent if nothing is, as all of these. */
  readonly title: string | undefined;
  readonly description: string | undefined;
  readonly basePrice: ProductProblems['basePrice'] | undefined;
  readonly images: ProductProblems['images'] | undefined;
  readonly optionGroups: ProductProblems['optionGroups'] | undefined;
  readonly categoryID: string | undefined;

  constructor(response: ErrorResponse, data: ProductProblems) {
    super(response);
    this.title = data.title;
    this.description = data.description;
    this.basePrice = data.basePrice;
    this.images = data.images;
    this.optionGroups = data.optionGroups;
    this.categoryID = data.categoryID;
  }
}

/** The line items are refused (422 of `lineItems.create`): all that is wrong, in the shape of the request, lists by index. */
export class LineItemsValidationError extends APIError {
  override readonly name = 'LineItemsValidationError';
  /** What is wrong with the items, by index. */
  readonly items: NonNullable<Schemas['LineItemsValidationError']['items']>;

  constructor(response: ErrorResponse, items: LineItemsValidationError['items']) {
    super(response);
    this.items = items;
  }
}

/** The answer says success, but is not what the contract promises: it may come from something between here and the server. */
export class ResponseValidationError extends APIError {
  override readonly name = 'ResponseValidationError';
}

/** No answer, or not all of it: the server cannot be reached, or the connection broke. `cause` has the details. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
}

/** No answer within `timeoutMs`. Whether the server did what was asked is not known. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
  /** The limit that was passed, in milliseconds. */
  readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** Every error of this client; `name` tells them apart. */
export type VitrineError =
  | (APIError & { readonly name: 'APIError' })
  | (GenericError & { readonly name: 'GenericError' })
  | DuplicateImageError
  | ImageInUseError
  | ImageRequestValidationError
  | ImageMetadataValidationError
  | ProductRequestValidationError
  | LineItemsValidationError
  | ResponseValidationError
  | ConnectionError
  | TimeoutError;

/** Whether something that was caught is an error of this client, so that a switch over its `name` narrows it. */
export function isVitrineError(error: unknown): error is VitrineError {
  return error instanceof APIError || error instanceof ConnectionError || error instanceof TimeoutError;
}

/** Makes the error of a status out of the parsed body; undefined if the body is not of the shape that it knows. */
export type Refusal = (response: ErrorResponse, data: Record<string, unknown>) => APIError | undefined;

/** 400 and 409: `{error}`. */
export const genericRefusal: Refusal = (response, data) =>
  isGeneric(data) ? new GenericError(response, data) : undefined;

/** 409 of an upload: `{error}`, and the image that is there already if the server says so. */
export const duplicateRefusal: Refusal = (response, data) =>
  isGeneric(data) ? new DuplicateImageError(response, data, readExisting(data)) : undefined;

/** 409 of an upload whose idempotency key is the caller's own: without an image, the key may be what conflicts. */
export const duplicateOrKeyRefusal: Refusal = (response, data) =>
  readExisting(data) ? duplicateRefusal(response, data) : genericRefusal(response, data);

/** 422 of upload and update: by part of the form. */
export const imageRequestRefusal: Refusal = (response, { image, metadata }) =>
  isText(image) || isFields(metadata)
    ? new ImageRequestValidationError(response, {
        ...(isText(image) && { image }),
        ...(isFields(metadata) && { metadata }),
      })
    : undefined;

/** 422 of updateMetadata: by field. */
export const imageMetadataRefusal: Refusal = (response, { altText, focalPoint }) =>
  isText(altText) || isText(focalPoint)
    ? new ImageMetadataValidationError(response, {
        ...(isText(altText) && { altText }),
        ...(isText(focalPoint) && { focalPoint }),
      })
    : undefined;

/** 409 of a disabling: `{error}`, and the usage if it is that which is against it. */
export const inUseRefusal: Refusal = (response, data) => {
  const usage = attempt(() => readUsage(data.usage));
  return isGeneric(data) && usage
    ? new ImageInUseError(response, data, usage)
    : genericRefusal(response, data);
};

/** 422 of a product: by field, lists by index. */
export const productRefusal: Refusal = (response, data) => {
  const known = {
    ...only(data, ['title', 'description', 'categoryID'], isText),
    ...only(data, ['basePrice', 'images', 'optionGroups'], isFields),
  };
  return Object.keys(known).length > 0
    ? new ProductRequestValidationError(response, known as ProductProblems)
    : undefined;
};

/** 422 of line items: by index. */
export const lineItemsRefusal: Refusal = (response, { items }) =>
  isFields(items)
    ? new LineItemsValidationError(response, items as LineItemsValidationError['items'])
    : undefined;

/** The error for an answer that is no success. A body that is not what its status promises makes a plain APIError. */
export function refusalOf(
  response: ErrorResponse,
  refusals: Readonly<Partial<Record<number, Refusal>>>,
): APIError {
  const data = parseObject(response.body);
  return (data && refusals[response.status]?.(response, data)) ?? new APIError(response);
}

/** Longer bodies, such as the error pages of proxies, would drown a log. In characters. */
const MAX_SHOWN = 300;

function describe({ status, body }: ErrorResponse): string {
  const data = parseObject(body);
  const shown = (data && (isText(data.error) ? saidIn(data) : fieldsOf(data).join('; '))) || body.trim();
  const cut = shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}…` : shown;
  return cut === '' ? `the server answered ${status}` : `the server answered ${status}: ${cut}`;
}

/** The sentence of most refusals; of RFC 6749 its code and, where it is given, the sentence. */
function saidIn({ error, error_description: sentence }: Record<string, unknown>): string {
  return isText(sentence) ? `${error}: ${sentence}` : String(error);
}

/** What is wrong by field, as the 422 bodies nest it. */
function fieldsOf(data: Record<string, unknown>, prefix = ''): string[] {
  return Object.entries(data).flatMap(([name, value]) => {
    if (isText(value)) return [`${prefix}${name}: ${value}`];
    return isFields(value) ? fieldsOf(value, `${prefix}${name}.`) : [];
  });
}

function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const data: unknown = JSON.parse(body);
    return isFields(data) ? data : undefined;
  } catch {
    return undefined;
  }
}

function readExisting(data: Record<string, unknown>): Image | undefined {
  const { error, ...image } = data;
  return attempt(() => readImage(image));
}

/** What is beside the sentence of a refusal is welcome, and not worth another error. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Those of the fields that are of a kind. */
function only<Field extends string, Kind>(
  data: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
  isKind: (value: unknown) => value is Kind,
): { [Key in Field]?: Kind } {
  const found: { [Key in Field]?: Kind } = {};
  for (const field of fields) {
    const value = data[field];
    if (isKind(value)) found[field] = value;
  }
  return found;
}

function isGeneric(data: Record<string, unknown>): data is Record<string, unknown> & { error: string } {
  return isText(data.error);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
