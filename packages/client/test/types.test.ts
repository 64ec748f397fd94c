/**
 * Tests the types of the client. The compiler checks this file; the tests run the same narrowing at run time.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  APIError,
  ConnectionError,
  DuplicateImageError,
  type FileContent,
  GenericError,
  type Image,
  ImageInUseError,
  type ImageMetadata,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  type ImageUsage,
  imageURL,
  isVitrineError,
  type LineItemSet,
  LineItemsValidationError,
  type Listing,
  type Product,
  ProductRequestValidationError,
  ResponseValidationError,
  TimeoutError,
  Vitrine,
  type VitrineError,
} from '@vitrine/client';
import { IMAGE } from './faulty.ts';

/** True only if both types are identical. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_A, _B>(_is: Same<_A, _B>) => undefined;

const response = { status: 409, headers: new Headers(), body: '{"error":"x"}' };
const image: Image = { ...IMAGE, createdOn: new Date(0), updatedOn: new Date(0) };

const USAGE: ImageUsage = {
  imageID: IMAGE.imageID,
  inUse: true,
  products: [{ productID: 'p', title: 'Lemonade' }],
  options: [],
  lineItems: [],
  totals: { products: 1, options: 0, lineItems: 0 },
};

/** One error of each class, with the text that `byName` and `byClass` return for it. */
const ERRORS: readonly (readonly [Error, string])[] = [
  [new APIError(response), '409'],
  [new GenericError(response, { error: 'no' }), 'no'],
  [new DuplicateImageError(response, { error: 'no' }, image), IMAGE.imageID],
  [new ImageRequestValidationError(response, { metadata: { altText: 'too long' } }), 'too long'],
  [new ImageMetadataValidationError(response, { altText: 'too long' }), 'too long'],
  [new ImageInUseError(response, { error: 'no' }, USAGE), 'Lemonade'],
  [new ProductRequestValidationError(response, { images: { 1: { imageID: 'disabled' } } }), 'disabled'],
  [new LineItemsValidationError(response, { 0: { imageIDs: { 1: 'disabled' } } }), 'disabled'],
  [new ResponseValidationError(response), '409'],
  [new ConnectionError('gone'), 'gone'],
  [new TimeoutError(5), '5'],
];

function byName(error: VitrineError): string | undefined {
  switch (error.name) {
    case 'APIError':
      same<typeof error.status, number>(true);
      return String(error.status);
    case 'GenericError':
      same<typeof error.error, string>(true);
      // @ts-expect-error: a plain GenericError has no image.
      error.existing;
      return error.error;
    case 'DuplicateImageError':
      same<typeof error.existing, Image | undefined>(true);
      return error.existing?.imageID;
    case 'ImageRequestValidationError':
      same<typeof error.image, string | undefined>(true);
      return error.image ?? error.metadata?.altText;
    case 'ImageMetadataValidationError':
      same<typeof error.altText, string | undefined>(true);
      return error.altText;
    case 'ImageInUseError':
      same<typeof error.usage, ImageUsage>(true);
      return error.usage.products[0]?.title;
    case 'ProductRequestValidationError':
      same<typeof error.title, string | undefined>(true);
      return (
        error.images?.['1']?.imageID ?? error.optionGroups?.['0']?.options?.['0']?.priceModifier?.currency
      );
    case 'LineItemsValidationError':
      return error.items['0']?.imageIDs?.['1'] ?? error.items['0']?.basePrice?.valueDecimal;
    case 'ResponseValidationError':
      return String(error.status);
    case 'ConnectionError':
      // @ts-expect-error: there was no response.
      error.status;
      return error.message;
    case 'TimeoutError':
      same<typeof error.timeoutMs, number>(true);
      return String(error.timeoutMs);
    default:
      // Compiles only while the switch has every name.
      return error satisfies never;
  }
}

function byClass(error: unknown): string | undefined {
  if (error instanceof DuplicateImageError) {
    same<typeof error.existing, Image | undefined>(true);
    same<typeof error.error, string>(true);
    return error.existing?.imageID;
  }
  if (error instanceof ImageInUseError) return error.usage.products[0]?.title;
  if (error instanceof GenericError) return error.error;
  if (error instanceof ImageRequestValidationError) return error.image ?? error.metadata?.altText;
  if (error instanceof ImageMetadataValidationError) return error.altText;
  if (error instanceof ProductRequestValidationError) return error.images?.['1']?.imageID;
  if (error instanceof LineItemsValidationError) return error.items['0']?.imageIDs?.['1'];
  if (error instanceof APIError) {
    same<typeof error.requestId, string | undefined>(true);
    same<typeof error.headers, Headers>(true);
    same<typeof error.body, string>(true);
    return String(error.status);
  }
  if (error instanceof TimeoutError) return String(error.timeoutMs);
  return error instanceof ConnectionError ? error.message : undefined;
}

/** Never called, only compiled. */
export async function calls(vitrine: Vitrine, content: FileContent): Promise<void> {
  const accountID = 'a';
  const page = await vitrine.images.list({ accountID, skip: undefined, count: 5 });
  same<typeof page.result, Image[]>(true);
  for await (const one of vitrine.images.list({ accountID })) same<typeof one, Image>(true);
  same<Image['createdOn'], Date>(true);
  same<Image['disabledOn'], Date | undefined>(true);
  same<ImageMetadata['createdOn'], string>(true);

  const uploaded = await vitrine.images.upload({ accountID, image: content, metadata: { altText: null } });
  same<typeof uploaded.result.altText, string | undefined>(true);
  await vitrine.images.upload({ accountID, image: { fileName: 'x', content } });
  // @ts-expect-error: the file is missing.
  await vitrine.images.upload({ accountID, metadata: {} });
  // @ts-expect-error: a path is not a file.
  await vitrine.images.upload({ accountID, image: './lamp.png' });
  // @ts-expect-error: the imageID is missing.
  await vitrine.images.update({ accountID, image: content });
  // @ts-expect-error: a list has no progress.
  await vitrine.images.list({ accountID }, { onProgress: () => undefined });

  const deleted = await vitrine.images.delete({ accountID, imageID: 'i' });
  // @ts-expect-error: the call has no result.
  deleted.result;
  const dryRun = await vitrine.images.delete({ accountID, imageID: 'i', dryRun: true });
  same<typeof dryRun.result, ImageUsage>(true);
  same<(typeof dryRun.result.lineItems)[number]['createdOn'], Date>(true);
  // @ts-expect-error: the only value is "missing".
  vitrine.images.list({ accountID, altText: 'a lamp' });
  const rendition = await vitrine.images.getPublic({ publicID: 'p', format: 'webp' });
  same<typeof rendition.result, ReadableStream<Uint8Array> | undefined>(true);
  // @ts-expect-error: gif is not an output format.
  await vitrine.images.getPublic({ publicID: 'p', format: 'gif' });
  // @ts-expect-error: stretch is not a fit.
  imageURL('x', { fit: 'stretch' });

  const products = vitrine.products.list({ accountID, title: 'lamp' });
  same<typeof products, Listing<Product>>(true);
  same<Product['disabledOn'], Date | undefined>(true);
  const basePrice = { currency: 'USD', valueDecimal: '1' };
  await vitrine.products.create({ accountID, title: 'x', basePrice, description: undefined });
  // @ts-expect-error: the price is missing.
  await vitrine.products.create({ accountID, title: 'x' });
  // @ts-expect-error: the productID is missing.
  await vitrine.products.update({ accountID, title: 'x', basePrice });
  const sold = await vitrine.lineItems.create({ accountID, items: [{ name: 'x', basePrice, quantity: 1 }] });
  same<typeof sold.result, LineItemSet>(true);
  same<LineItemSet['createdOn'], Date>(true);

  const token = await vitrine.authentication.createAccessToken({ grantType: 'client_credentials' });
  same<typeof token.result.expiresIn, number>(true);
  same<typeof token.result.tokenType, 'Bearer'>(true);
  // @ts-expect-error: password is not a grant type.
  await vitrine.authentication.createAccessToken({ grantType: 'password' });
  const key = await vitrine.keys.create({ accountID, name: 'x', expiresOn: new Date() });
  same<typeof key.result.secretKey, string>(true);
  same<typeof key.result.expiresOn, Date | undefined>(true);
  await vitrine.keys.create({ accounts: 'all', name: 'x' });
  // @ts-expect-error: accountID or accounts is required.
  await vitrine.keys.create({ name: 'x' });
  // @ts-expect-error: only one of accountID and accounts is allowed.
  await vitrine.keys.create({ name: 'x', accountID, accounts: 'all' });
  // @ts-expect-error: an undefined accountID does not mean all accounts.
  await vitrine.keys.list({ accountID: undefined });
  const rotated = await vitrine.keys.rotate({ keyID: 'k', overlapSeconds: 60 });
  same<typeof rotated.result.overlapUntil, Date>(true);
  for await (const line of vitrine.accounts.audit()) same<typeof line.on, Date>(true);

  new Vitrine({ serverURL: 'http://x', security: { accessToken: 't' } });
  new Vitrine({ serverURL: 'http://x', security: async () => 't', fetch: globalThis.fetch });
  // @ts-expect-error: the serverURL is missing.
  new Vitrine({});
  // @ts-expect-error: forever is not a strategy.
  new Vitrine({ serverURL: 'http://x', retries: { strategy: 'forever' } });
}

describe('errors', () => {
  for (const [error, text] of ERRORS) {
    test(`of class ${error.constructor.name} narrow by name and by class`, () => {
      assert.equal(error.name, error.constructor.name);
      assert.ok(isVitrineError(error));
      assert.equal(byName(error), text);
      assert.equal(byClass(error), text);
      assert.ok(error instanceof Error && error.stack?.includes(error.message));
    });
  }

  test('of other code are not a VitrineError', () => {
    for (const other of [
      new Error('x'),
      new TypeError('x'),
      new DOMException('x', 'TimeoutError'),
      'x',
      null,
    ])
      assert.equal(isVitrineError(other), false);
  });
});
