/**
 * The errors of this client and how responses become errors. Two cases are not in the union. Invalid
 * arguments are a TypeError or RangeError. An aborted call rejects with the reason of its signal.
 */
import type { components } from './contract.ts';
import { type Image, type ImageUsage, readImage, readUsage } from './image.ts';

type Schemas = components['schemas'];
type ProductProblems = Schemas['ProductRequestValidationError'];

/** The names of the errors that have a response. */
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

/** The response of an error. */
export interface ErrorResponse {
  readonly status: number;
  readonly headers: Headers;
  /** The whole body, as text. */
  readonly body: string;
}

/**
 * An error response of the server. It is the base class of all errors with a response.
 * Statuses without a class of their own (401, 403, 404, 413, 429, 5xx) are a plain APIError.
 */
export class APIError extends Error {
  /** The name of the class. After `isVitrineError`, a switch over the name narrows to the class. */
  override readonly name: APIErrorName = 'APIError';
  /** The HTTP status. */
  readonly status: number;
  /** The headers of the response. */
  readonly headers: Headers;
  /** The body of the response, as text. */
  readonly body: string;
  /** The request ID, which is also in the log of the server. */
  readonly requestId: string | undefined;

  constructor(response: ErrorResponse, message: string = describeResponse(response), options?: ErrorOptions) {
    super(message, options);
    this.status = response.status;
    this.headers = response.headers;
    this.body = response.body;
    this.requestId = response.headers.get('x-request-id') ?? undefined;
  }

  /** The official SDK's name for `status`. */
  get statusCode(): number {
    return this.status;
  }
}

/** The request is malformed (400) or conflicts with the current state (409). */
export class GenericError extends APIError {
  override readonly name: 'GenericError' | 'DuplicateImageError' | 'ImageInUseError' = 'GenericError';
  /** The server's message. For token calls: a code of RFC 6749, such as `invalid_grant`. */
  readonly error: string;

  constructor(response: ErrorResponse, data: Schemas['GenericError']) {
    super(response);
    this.error = data.error;
  }
}

/** The account already has these bytes, in an enabled or disabled image (409 of an upload). */
export class DuplicateImageError extends GenericError {
  override readonly name = 'DuplicateImageError';
  /** The image with these bytes. Undefined if the response does not include it, as before v2026.10.00. */
  readonly existing: Image | undefined;

  constructor(response: ErrorResponse, data: Schemas['GenericError'], existing?: Image) {
    super(response, data);
    this.existing = existing;
  }
}

/** The image is in use, and the account's policy forbids disabling images in use (409 of `images.delete`). */
export class ImageInUseError extends GenericError {
  override readonly name = 'ImageInUseError';
  /** The products, options and line items that show the image. */
  readonly usage: ImageUsage;

  constructor(response: ErrorResponse, data: Schemas['GenericError'], usage: ImageUsage) {
    super(response, data);
    this.usage = usage;
  }
}

/** The picture or its metadata is invalid (422 of an upload or update). */
export class ImageRequestValidationError extends APIError {
  override readonly name = 'ImageRequestValidationError';
  /** The problem of the image. Undefined if the image is valid. */
  readonly image: string | undefined;
  /** The problems of the metadata, by field. Undefined if the metadata is valid. */
  readonly metadata: Schemas['ImageMetadataValidationError'] | undefined;

  constructor(response: ErrorResponse, data: Schemas['ImageRequestValidationError']) {
    super(response);
    this.image = data.image;
    this.metadata = data.metadata;
  }
}

/** The metadata is invalid (422 of updateMetadata). */
export class ImageMetadataValidationError extends APIError {
  override readonly name = 'ImageMetadataValidationError';
  /** The problem of the alt text. Undefined if the alt text is valid. */
  readonly altText: string | undefined;
  /** The problem of the focal point. Undefined if the focal point is valid. */
  readonly focalPoint: string | undefined;
  /** The problem of the tags. Undefined if the tags are valid. */
  readonly tags: string | undefined;
  /** The problem of the file name. Undefined if the file name is valid. */
  readonly fileName: string | undefined;
  /** The problem of the visibility. Undefined if the visibility is valid. */
  readonly visibility: string | undefined;

  constructor(response: ErrorResponse, data: Schemas['ImageMetadataValidationError']) {
    super(response);
    this.altText = data.altText;
    this.focalPoint = data.focalPoint;
    this.tags = data.tags;
    this.fileName = data.fileName;
    this.visibility = data.visibility;
  }
}

/**
 * The product is invalid (422 of `products.create` and `update`).
 * The problems have the shape of the request; lists are objects keyed by index. Valid fields are undefined.
 */
export class ProductRequestValidationError extends APIError {
  override readonly name = 'ProductRequestValidationError';
  /** The problem of the title. */
  readonly title: string | undefined;
  readonly description: string | undefined;
  readonly basePrice: ProductProblems['basePrice'] | undefined;
  readonly images: ProductProblems['images'] | undefined;
  readonly optionGroups: ProductProblems['optionGroups'] | undefined;
  readonly isTaxable: string | undefined;
  readonly categoryID: string | undefined;

  constructor(response: ErrorResponse, data: ProductProblems) {
    super(response);
    this.title = data.title;
    this.description = data.description;
    this.basePrice = data.basePrice;
    this.images = data.images;
    this.optionGroups = data.optionGroups;
    this.isTaxable = data.isTaxable;
    this.categoryID = data.categoryID;
  }
}

/**
 * The line items are invalid (422 of `lineItems.create`).
 * The problems have the shape of the request; lists are objects keyed by index.
 */
export class LineItemsValidationError extends APIError {
  override readonly name = 'LineItemsValidationError';
  /** The problems of the items, by index. */
  readonly items: NonNullable<Schemas['LineItemsValidationError']['items']>;

  constructor(response: ErrorResponse, items: LineItemsValidationError['items']) {
    super(response);
    this.items = items;
  }
}

/** A successful status with a body that breaks the contract. A proxy may have sent it. */
export class ResponseValidationError extends APIError {
  override readonly name = 'ResponseValidationError';
}

/** The server cannot be reached, or the connection broke before the response was complete. See `cause`. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
}

/** No response within `timeoutMs`. The server may or may not have processed the request. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
  /** The exceeded timeout, in milliseconds. */
  readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** The union of all errors of this client. `name` is the discriminant. */
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

/** True for errors of this client. A switch over `name` then narrows the type. */
export function isVitrineError(error: unknown): error is VitrineError {
  return error instanceof APIError || error instanceof ConnectionError || error instanceof TimeoutError;
}

/**
 * Builds the error of one status from the parsed body. Returns undefined if the body has an unexpected shape.
 */
export type Refusal = (response: ErrorResponse, data: Record<string, unknown>) => APIError | undefined;

/** 400 and 409: `{error}`. */
export const genericRefusal: Refusal = (response, data) =>
  hasErrorText(data) ? new GenericError(response, data) : undefined;

/** 409 of an upload: `{error}` and, if the server includes it, the existing image. */
export const duplicateRefusal: Refusal = (response, data) =>
  hasErrorText(data) ? new DuplicateImageError(response, data, readExisting(data)) : undefined;

/**
 * 409 of an upload with the caller's own idempotency key. Without an image, the conflict may be the key's.
 */
export const duplicateOrKeyRefusal: Refusal = (response, data) =>
  readExisting(data) ? duplicateRefusal(response, data) : genericRefusal(response, data);

/** 422 of upload and update: `{image?, metadata?}`. */
export const imageRequestRefusal: Refusal = (response, { image, metadata }) =>
  isText(image) || isObject(metadata)
    ? new ImageRequestValidationError(response, {
        ...(isText(image) && { image }),
        ...(isObject(metadata) && { metadata }),
      })
    : undefined;

const METADATA_FIELDS = ['altText', 'focalPoint', 'tags', 'fileName', 'visibility'] as const;

/** 422 of updateMetadata: the problem of each invalid field. */
export const imageMetadataRefusal: Refusal = (response, data) => {
  const problems = Object.fromEntries(
    METADATA_FIELDS.flatMap((name) => (isText(data[name]) ? [[name, data[name]]] : [])),
  );
  return Object.keys(problems).length > 0 ? new ImageMetadataValidationError(response, problems) : undefined;
};

/** 409 of disabling an image: `{error}` and, if the image is in use, `usage`. */
export const inUseRefusal: Refusal = (response, data) => {
  const usage = tryRead(() => readUsage(data.usage));
  return hasErrorText(data) && usage
    ? new ImageInUseError(response, data, usage)
    : genericRefusal(response, data);
};

/** 422 of a product: by field; lists by index. */
export const productRefusal: Refusal = (response, data) => {
  const problems = {
    ...pickFields(data, ['title', 'description', 'isTaxable', 'categoryID'], isText),
    ...pickFields(data, ['basePrice', 'images', 'optionGroups'], isObject),
  };
  return Object.keys(problems).length > 0
    ? new ProductRequestValidationError(response, problems as ProductProblems)
    : undefined;
};

/** 422 of line items: by index. */
export const lineItemsRefusal: Refusal = (response, { items }) =>
  isObject(items)
    ? new LineItemsValidationError(response, items as LineItemsValidationError['items'])
    : undefined;

/** The error of an error response. A body with an unexpected shape becomes a plain APIError. */
export function toAPIError(
  response: ErrorResponse,
  refusals: Readonly<Partial<Record<number, Refusal>>>,
): APIError {
  const data = parseObject(response.body);
  return (data && refusals[response.status]?.(response, data)) ?? new APIError(response);
}

/** The most characters of a body in a message. Error pages of proxies are long and would fill a log. */
const MAX_BODY_LENGTH = 300;

function describeResponse({ status, body }: ErrorResponse): string {
  const data = parseObject(body);
  const problems = data && (isText(data.error) ? readErrorText(data) : listProblems(data).join('; '));
  const detail = problems || body.trim();
  const text = detail.length > MAX_BODY_LENGTH ? `${detail.slice(0, MAX_BODY_LENGTH)}…` : detail;
  return text === '' ? `the server answered ${status}` : `the server answered ${status}: ${text}`;
}

/** The `error` of a body. OAuth bodies (RFC 6749) have a code there, and may add `error_description`. */
function readErrorText({ error, error_description: description }: Record<string, unknown>): string {
  return isText(description) ? `${error}: ${description}` : String(error);
}

/** The problems of a 422 body, each with the path of its field. */
function listProblems(data: Record<string, unknown>, prefix = ''): string[] {
  return Object.entries(data).flatMap(([name, value]) => {
    if (isText(value)) return [`${prefix}${name}: ${value}`];
    return isObject(value) ? listProblems(value, `${prefix}${name}.`) : [];
  });
}

function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const data: unknown = JSON.parse(body);
    return isObject(data) ? data : undefined;
  } catch {
    return undefined;
  }
}

function readExisting(data: Record<string, unknown>): Image | undefined {
  const { error, ...image } = data;
  return tryRead(() => readImage(image));
}

/** Extra data of an error body is optional: if it is malformed, the error itself still counts. */
function tryRead<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The fields whose values pass the type guard. */
function pickFields<Field extends string, Kind>(
  data: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
  isKind: (value: unknown) => value is Kind,
): { [Key in Field]?: Kind } {
  const picked: { [Key in Field]?: Kind } = {};
  for (const field of fields) {
    const value = data[field];
    if (isKind(value)) picked[field] = value;
  }
  return picked;
}

function hasErrorText(data: Record<string, unknown>): data is Record<string, unknown> & { error: string } {
  return isText(data.error);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
