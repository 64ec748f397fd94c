/**
 * The public API of the package: the client, its errors, the link functions and their types.
 *
 * `components`, `operations` and `paths` come from `contract.ts`, which is generated from the OpenAPI
 * document.
 */
export type {
  Account,
  AccountRequest,
  Accounts,
  AuditEntry,
  AuditRequest,
  CreateAccountRequest,
  UpdateAccountRequest,
} from './accounts.ts';
export type { Authentication, AuthToken, AuthTokenRequest, RevokeTokenRequest } from './authentication.ts';
export { NEWEST_VERSION, Vitrine, type VitrineOptions } from './client.ts';
export type { components, operations, paths } from './contract.ts';
export {
  APIError,
  type APIErrorName,
  ConnectionError,
  DuplicateImageError,
  type ErrorResponse,
  GenericError,
  ImageInUseError,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  isVitrineError,
  LineItemsValidationError,
  ProductRequestValidationError,
  ResponseValidationError,
  TimeoutError,
  type VitrineError,
} from './errors.ts';
export type { FileContent, ImageFile, OnProgress, Progress } from './form.ts';
export type { Image, ImageMetadata, ImageUsage } from './image.ts';
export type {
  DisableImageRequest,
  GetPublicImageRequest,
  GetPublicOptions,
  ImageMetadataRequest,
  ImageRequest,
  Images,
  ImageUpload,
  ListImagesRequest,
  OriginalOptions,
  OriginalRequest,
  UpdateImageMetadataRequest,
  UpdateImageRequest,
  UploadImageRequest,
} from './images.ts';
export type {
  ApiKey,
  CreateKeyRequest,
  IssuedApiKey,
  KeyRequest,
  Keys,
  ListKeysRequest,
  Me,
  RotatedApiKey,
  RotateKeyRequest,
} from './keys.ts';
export type {
  CreateLineItemsRequest,
  GetLineItemsRequest,
  LineItemSet,
  LineItems,
  ListLineItemsRequest,
} from './line-items.ts';
export {
  type DeliveryParameters,
  type DensitiesOptions,
  type ImageURLOptions,
  imageURL,
  type Size,
  srcset,
  type WidthsOptions,
} from './links.ts';
export type { Listing, Range } from './listing.ts';
export type { Answer, BytesAnswer, CallOptions, Done, Given, Optional, UploadOptions } from './operation.ts';
export type { Ping } from './ping.ts';
export type {
  CreateProductRequest,
  GetProductRequest,
  ListProductsRequest,
  Product,
  ProductCategory,
  ProductRequest,
  Products,
  UpdateProductRequest,
} from './products.ts';
export type { WithDates } from './reading.ts';
export type { BackoffStrategy, RetryConfig } from './retries.ts';
export type { BasicSecurity, Security, TokenSecurity } from './security.ts';
export type { Fetch } from './sender.ts';
