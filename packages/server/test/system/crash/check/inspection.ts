/**
 * Compares a library after a crash with the journal of the writers. Acknowledged writes must be there bit for
 * bit, unanswered ones completely or not at all, and nothing else.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import sharp from 'sharp';
import { originalKey } from '../../../../src/blobs/store.ts';
import type { ImageEntry, Journal, ProductContent, UploadEntry } from '../journal.ts';
import type { PictureSet } from '../pictures.ts';
import { createUpload, IMAGES, LINE_ITEMS, PRODUCTS, retryWhileRejected, sendRequest } from '../requests.ts';
import { listPossibleStates, stateKey } from './history.ts';
import { checkRecords, type Query, readImages, type StoredImage } from './records.ts';

export interface InspectionOptions {
  readonly url: string;
  /** The folder of the blobs. */
  readonly blobs: string;
  readonly query: Query;
  readonly journal: Journal;
  readonly pictures: PictureSet;
  /** Compares all images, not only those with requests since the last comparison. */
  readonly allImages?: boolean;
  /** Leaves out the public links. */
  readonly skipLinks?: boolean;
}

/** How much the mean of a delivered colour may differ from the original. */
const COLOUR_TOLERANCE = 12;
const PAGE = 200;
/** The number of acknowledged uploads with an idempotency key that are retried. */
const RETRIED_UPLOADS = 5;

/**
 * Compares the library with the journal, and makes the observed state the new baseline of the journal.
 * @returns a sentence for each difference
 */
export async function inspectLibrary(options: InspectionOptions): Promise<string[]> {
  const { journal, query, allImages = false } = options;
  const stored = await readImages(query);
  const byID = new Map(stored.map((image) => [image.imageID, image]));
  const problems = [
    ...(await checkRecords(query)),
    ...(await checkList(options, stored)),
    ...addUnansweredUploads(journal, stored),
  ];
  const images = allImages ? [...journal.images.values()] : journal.changedImages();
  for (const image of images) problems.push(...(await checkImage(options, image, byID.get(image.imageID))));
  for (const { digest, size } of stored) problems.push(...(await checkBlob(options.blobs, digest, size)));
  problems.push(...(await checkProducts(options)), ...(await checkLineItems(options)));
  const unanswered = [...journal.pendingUploads.values()];
  journal.setBaseline(byID);
  for (const upload of unanswered)
    problems.push(...(await retryUnanswered(options, upload, findByDigest(stored, upload))));
  for (const upload of journal.keyedUploads.slice(-RETRIED_UPLOADS)) {
    const { bytes } = options.pictures.get(upload.number);
    const answer = await retryWhileRejected(options.url, () => createUpload(bytes, upload));
    if (answer?.status !== 201 || !isDeepStrictEqual(answer.json(), upload.answer)) {
      problems.push(`the retry of ${upload.key} was answered ${answer?.status} ${answer?.body}`);
    }
  }
  return problems;
}

/** Compares the list of the API with the records. */
async function checkList({ url }: InspectionOptions, stored: readonly StoredImage[]): Promise<string[]> {
  const problems: string[] = [];
  for (let skip = 0; skip === 0 || skip < stored.length; skip += PAGE) {
    const answer = await sendRequest(url, { path: `${IMAGES}?skip=${skip}&count=${PAGE}` });
    if (answer?.status !== 200) return [`the list was answered ${answer?.status}`];
    const total = answer.headers.get('x-total-count');
    if (total !== String(stored.length))
      problems.push(`the list counts ${total} images, the records are ${stored.length}`);
    const actual = answer
      .json()
      .map((image: ListedImage) => `${image.imageID} ${image.altText} ${Boolean(image.disabledOn)}`);
    const expected = stored
      .slice(skip, skip + PAGE)
      .map(({ imageID, altText, disabled }) => `${imageID} ${altText} ${disabled}`);
    if (!isDeepStrictEqual(actual, expected)) problems.push(`the list from ${skip} differs from the records`);
  }
  return problems;
}

interface ListedImage {
  readonly imageID: string;
  readonly altText?: string;
  readonly disabledOn?: string;
}

/** Adds stored images without an answered upload to the journal, and reports those without any upload. */
function addUnansweredUploads(journal: Journal, stored: readonly StoredImage[]): string[] {
  return stored.flatMap(({ imageID, publicID, digest, altText, disabled }) => {
    if (journal.images.has(imageID)) return [];
    const upload = journal.pendingUploads.get(digest);
    if (upload === undefined) return [`image ${imageID} is stored, but no client uploaded it`];
    journal.addObservedImage({ imageID, publicID }, { digest, altText, disabled });
    return upload.altText === altText && !disabled
      ? []
      : [`image ${imageID} has the alt text ${altText}, but was uploaded with ${upload.altText}`];
  });
}

async function checkImage(
  { url, blobs, pictures, skipLinks = false }: InspectionOptions,
  image: ImageEntry,
  stored: StoredImage | undefined,
): Promise<string[]> {
  const { imageID, publicID, baseline, changes } = image;
  if (stored === undefined) return [`image ${imageID} was acknowledged and is missing`];
  const problems: string[] = [];
  const keys = listPossibleStates(baseline, changes).map(stateKey);
  if (!keys.includes(stateKey(stored))) {
    const history = JSON.stringify({ baseline, changes });
    problems.push(
      `image ${imageID} is ${stateKey(stored)}, but may only be ${keys.join(' or ')}: ${history}`,
    );
  }
  if (stored.publicID !== publicID) problems.push(`image ${imageID} has another public ID`);

  const answer = await sendRequest(url, { path: `${IMAGES}/${imageID}` });
  const metadata: ListedImage & { createdOn?: string } = answer?.json() ?? {};
  const answered = {
    digest: stored.digest,
    altText: metadata.altText,
    disabled: metadata.disabledOn !== undefined,
  };
  if (answer?.status !== 200 || stateKey(answered) !== stateKey(stored)) {
    problems.push(
      `image ${imageID} is answered ${answer?.status} ${answer?.body}, the record is ${stateKey(stored)}`,
    );
  }
  if (image.createdOn !== undefined && metadata.createdOn !== image.createdOn)
    problems.push(`image ${imageID} has another createdOn`);

  const bytes = await readFile(join(blobs, originalKey(stored.digest))).catch(() => undefined);
  if (bytes === undefined) problems.push(`image ${imageID} has no original`);
  else if (sha256(bytes) !== stored.digest) problems.push(`the original of image ${imageID} has other bytes`);

  if (skipLinks) return problems;
  const rendition = await retryWhileRejected(url, () => ({
    path: `/images/${publicID}`,
    headers: { accept: 'image/webp' },
  }));
  if (rendition?.status !== 200) problems.push(`the link of image ${imageID} answers ${rendition?.status}`);
  else problems.push(...(await checkColour(rendition.body, bytes, pictures, imageID)));
  return problems;
}

/** Compares the colours of a rendition with those of its original. */
async function checkColour(
  rendition: Buffer,
  original: Buffer | undefined,
  pictures: PictureSet,
  imageID: string,
): Promise<string[]> {
  const number = original && readPictureNumber(original);
  if (number === undefined) return [];
  try {
    const { channels } = await sharp(rendition, { failOn: 'warning' }).stats();
    const { colour } = pictures.get(number);
    const differs = colour.some(
      (mean, index) => Math.abs((channels[index]?.mean ?? -100) - mean) > COLOUR_TOLERANCE,
    );
    return differs ? [`the link of image ${imageID} shows another picture than its original`] : [];
  } catch (error) {
    return [`the link of image ${imageID} gives bytes that do not decode: ${String(error)}`];
  }
}

/** Reads the number from the comment that the picture set wrote into the file. */
function readPictureNumber(original: Buffer): number | undefined {
  const [, number] = /number (\d+);/.exec(original.toString('latin1', 0, 200)) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** Checks that an original exists and has its size. Fast enough for each record in each comparison. */
async function checkBlob(blobs: string, digest: string, size: number): Promise<string[]> {
  const file = await stat(join(blobs, originalKey(digest))).catch(() => undefined);
  if (file === undefined) return [`a record references ${digest}, which is not stored`];
  return file.size === size ? [] : [`the original ${digest} has ${file.size} bytes instead of ${size}`];
}

async function checkProducts({ url, journal }: InspectionOptions): Promise<string[]> {
  const problems: string[] = [];
  const listedIDs = new Set<string>();
  for (let skip = 0; ; skip += PAGE) {
    const answer = await sendRequest(url, { path: `${PRODUCTS}?skip=${skip}&count=${PAGE}` });
    if (answer?.status !== 200) return [`the list of products was answered ${answer?.status}`];
    const products: { productID: string; title: string; images?: { imageID: string }[] }[] = answer.json();
    for (const { productID, title, images = [] } of products) {
      listedIDs.add(productID);
      const content: ProductContent = { title, imageIDs: images.map(({ imageID }) => imageID) };
      const entry = journal.products.get(productID);
      const requested = entry ? [entry.content, entry.pending] : [journal.pendingProducts.get(title)];
      if (!requested.some((one) => isDeepStrictEqual(one, content))) {
        problems.push(
          `product ${productID} is ${JSON.stringify(content)}, but clients sent ${JSON.stringify(requested)}`,
        );
      }
      journal.products.set(productID, { productID, content });
    }
    if (products.length === 0) break;
  }
  for (const productID of journal.products.keys()) {
    if (!listedIDs.has(productID)) problems.push(`product ${productID} was acknowledged and is missing`);
  }
  return problems;
}

async function checkLineItems({ url, journal }: InspectionOptions): Promise<string[]> {
  const problems: string[] = [];
  for (const [lineItemsID, acknowledged] of journal.lineItems) {
    const answer = await sendRequest(url, { path: `${LINE_ITEMS}/${lineItemsID}` });
    // The alt text belongs to the image, so it may change.
    const actual = answer?.status === 200 ? omitAltText(answer.json()) : answer?.status;
    if (!isDeepStrictEqual(actual, omitAltText(acknowledged)))
      problems.push(`line items ${lineItemsID} changed`);
  }
  // Line items are immutable, so one comparison is enough.
  journal.lineItems.clear();
  return problems;
}

/** Retries an upload without an answer. The result must be the same as if it had been answered. */
async function retryUnanswered(
  { url, journal, pictures }: InspectionOptions,
  upload: UploadEntry,
  stored: StoredImage | undefined,
): Promise<string[]> {
  const { bytes, digest } = pictures.get(upload.number);
  const answer = await retryWhileRejected(url, () => createUpload(bytes, upload));
  if (upload.key === undefined && stored) {
    return answer?.status === 409
      ? []
      : [`the duplicate of ${stored.imageID} was answered ${answer?.status}`];
  }
  if (answer?.status !== 201)
    return [`the retry of an unanswered upload was answered ${answer?.status} ${answer?.body}`];
  const image = answer.json();
  if (stored && image.imageID !== stored.imageID) return [`the retry of ${upload.key} created another image`];
  journal.addImage(image, digest);
  if (upload.key === undefined) return [];
  journal.keyedUploads.push({ ...upload, key: upload.key, answer: image });
  const secondAnswer = await retryWhileRejected(url, () => createUpload(bytes, upload));
  return isDeepStrictEqual(secondAnswer?.json(), image)
    ? []
    : [`the second retry of ${upload.key} got another answer`];
}

export interface BlobCounts {
  /** Files of unfinished uploads. */
  readonly staged: number;
  /** Originals without a record. */
  readonly unreferenced: number;
  /** All originals. */
  readonly originals: number;
}

/** Hashes all originals and counts what crashes left. @returns a sentence for each damaged original */
export async function inspectBlobs(
  blobs: string,
  stored: readonly StoredImage[],
): Promise<{ counts: BlobCounts; problems: string[] }> {
  const referenced = new Set(stored.map(({ digest }) => digest));
  const problems: string[] = [];
  let unreferenced = 0;
  let originals = 0;
  const folder = join(blobs, 'originals');
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.startsWith('~')) continue;
    originals += 1;
    if (!referenced.has(entry.name)) unreferenced += 1;
    if (sha256(await readFile(join(entry.parentPath, entry.name))) !== entry.name) {
      problems.push(`the original ${entry.name} has other bytes`);
    }
  }
  const staged = (await readdir(join(blobs, 'staging'))).length;
  return { counts: { staged, unreferenced, originals }, problems };
}

function findByDigest(stored: readonly StoredImage[], { digest }: UploadEntry): StoredImage | undefined {
  return stored.find((image) => image.digest === digest);
}

function omitAltText(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (name, inner) => (name === 'altText' ? undefined : inner)));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
