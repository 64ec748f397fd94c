/**
 * The wire contract as types, for everyone who speaks it. Owns nothing of its own: `contract.ts` is generated from
 * the server's OpenAPI document, and this file gives its parts the names that the documentation uses.
 */
import type { components, operations } from './contract.ts';

export type { components, operations, paths } from './contract.ts';

type Schemas = components['schemas'];

/** The record of an image. Times are RFC 3339; absent fields are left out, never null. */
export type ImageMetadata = Schemas['ImageMetadata'];
/** Metadata to store with an image. */
export type ImageMetadataRequest = Schemas['ImageMetadataRequest'];
/** Why a request failed. */
export type GenericError = Schemas['GenericError'];
/** Why an upload conflicts; from v2026.10.00 on with the image that the account has already. */
export type DuplicateImageError = Schemas['DuplicateImageError'];
/** Why metadata is refused, by field. */
export type ImageMetadataValidationError = Schemas['ImageMetadataValidationError'];
/** Why an upload is refused, by part of the form. */
export type ImageRequestValidationError = Schemas['ImageRequestValidationError'];
/** What a public link may ask for: size, fit, position, format, quality, dpr. */
export type DeliveryParameters = NonNullable<operations['getPublicImage']['parameters']['query']>;
