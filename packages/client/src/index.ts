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
/** What shows an image. */
export type ImageUsage = Schemas['ImageUsage'];
/** Why an image is not disabled; with its usage if the account refuses to disable images in use. */
export type ImageInUseError = Schemas['ImageInUseError'];
/** An exact amount of money: a decimal as text. */
export type AmountDecimal = Schemas['AmountDecimal'];
/** What a product is to be. */
export type ProductRequest = Schemas['ProductRequest'];
/** A product of the catalogue. */
export type Product = Schemas['Product'];
/** Why a product is refused, in its shape. */
export type ProductRequestValidationError = Schemas['ProductRequestValidationError'];
/** A set of line items to write. */
export type CreateLineItems = Schemas['CreateLineItems'];
/** A set of line items, with the images it shows. */
export type LineItems = Schemas['LineItems'];
/** Why a set of line items is refused, in its shape. */
export type LineItemsValidationError = Schemas['LineItemsValidationError'];
/** What a public link may ask for: size, fit, position, format, quality, dpr. */
export type DeliveryParameters = NonNullable<operations['getPublicImage']['parameters']['query']>;
