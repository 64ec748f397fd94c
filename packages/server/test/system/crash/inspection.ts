/**
 * Compares a library after a crash with the journal of those who wrote to it: what was acknowledged is there bit for
 * bit, what was cut off happened whole or not at all, and nothing is there that nobody asked for. Gives every
 * difference as a sentence. Refuses to know how the server ended and which database it has.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import sharp from 'sharp';
import { originalKey } from '../../../src/blobs/store.ts';
import { ask, askPatiently, IMAGES, LINE_ITEMS, PRODUCTS, uploading } from './asking.ts';
import { nameOf, possibleStates } from './history.ts';
import type { AskedUpload, Journal, KnownImage, ProductContent } from './journal.ts';
import { type Query, recordFaults, type StoredImage, storedImages } from './records.ts';
import type { Supply } from './supply.ts';

export interface InspectionOptions {
  readonly url: string;
  /** The folder of the blobs. */
  readonly blobs: string;
  readonly query: Query;
  readonly journal: Journal;
  readonly supply: Supply;
  /** Looks at every image, not only at those that something was asked of. */
  readonly whole?: boolean;
}

/** How far the mean of a delivered colour may be from the original's. */
const COLOUR_TOLERANCE = 12;
const PAGE = 200;
const KEYED_SAMPLE = 5;

/** Everything that is not as it must be. The journal is settled on what was seen. */
export async function inspect(options: InspectionOptions): Promise<string[]> {
  const { journal, query, whole = false } = options;
  const stored = await storedImages(query);
  const byID = new Map(stored.map((image) => [image.imageID, image]));
  const complaints = [
    ...(await recordFaults(query)),
    ...(await listFaults(options, stored)),
    ...adoptUploads(journal, stored),
  ];
  const looked = whole ? [...journal.images.values()] : journal.changed();
  for (const image of looked)
    complaints.push(...(await imageFaults(options, image, byID.get(image.imageID))));
  for (const { digest, size } of stored) complaints.push(...(await blobFaults(options.blobs, digest, size)));
  complaints.push(...(await productFaults(options)), ...(await lineItemFaults(options)));
  const open = [...journal.openUploads.values()];
  journal.settle(byID);
  for (const upload of open)
    complaints.push(...(await retryFaults(options, upload, byDigest(stored, upload))));
  for (const upload of journal.keyed.slice(-KEYED_SAMPLE)) {
    const { bytes } = options.supply.picture(upload.number);
    const answer = await askPatiently(options.url, () => uploading(bytes, upload));
    if (answer?.status !== 201 || !isDeepStrictEqual(answer.json(), upload.answer)) {
      complaints.push(`the retry of ${upload.key} was answered ${answer?.status} ${answer?.body}`);
    }
  }
  return complaints;
}

/** The list of the API against the records. */
async function listFaults({ url }: InspectionOptions, stored: readonly StoredImage[]): Promise<string[]> {
  const complaints: string[] = [];
  for (let skip = 0; skip === 0 || skip < stored.length; skip += PAGE) {
    const answer = await ask(url, { path: `${IMAGES}?skip=${skip}&count=${PAGE}` });
    if (answer?.status !== 200) return [`the list was answered ${answer?.status}`];
    const total = answer.headers.get('x-total-count');
    if (total !== String(stored.length))
      complaints.push(`the list counts ${total}, there are ${stored.length}`);
    const told = answer
      .json()
      .map((image: Told) => `${image.imageID} ${image.altText} ${Boolean(image.disabledOn)}`);
    const expected = stored
      .slice(skip, skip + PAGE)
      .map(({ imageID, altText, disabled }) => `${imageID} ${altText} ${disabled}`);
    if (!isDeepStrictEqual(told, expected)) complaints.push(`the list from ${skip} differs from the records`);
  }
  return complaints;
}

interface Told {
  readonly imageID: string;
  readonly altText?: string;
  readonly disabledOn?: string;
}

/** Takes up images whose upload was cut off; complains about those that nobody uploaded. */
function adoptUploads(journal: Journal, stored: readonly StoredImage[]): string[] {
  return stored.flatMap(({ imageID, publicID, digest, altText, disabled }) => {
    if (journal.images.has(imageID)) return [];
    const asked = journal.openUploads.get(digest);
    if (asked === undefined) return [`image ${imageID} is there, but nobody uploaded it`];
    const whole = asked.altText === altText && !disabled;
    journal.take({ imageID, publicID }, { digest, altText, disabled });
    return whole
      ? []
      : [`image ${imageID} has the alt text ${altText}, but was uploaded with ${asked.altText}`];
  });
}

async function imageFaults(
  { url, blobs, supply }: InspectionOptions,
  image: KnownImage,
  stored: StoredImage | undefined,
): Promise<string[]> {
  const { imageID, publicID, settled, changes } = image;
  if (stored === undefined) return [`image ${imageID} was acknowledged and is gone`];
  const complaints: string[] = [];
  const possible = possibleStates(settled, changes);
  if (!possible.some((state) => nameOf(state) === nameOf(stored))) {
    const told = JSON.stringify({ settled, changes });
    complaints.push(
      `image ${imageID} is ${nameOf(stored)}, but may only be ${possible.map(nameOf).join(' or ')}: ${told}`,
    );
  }
  if (stored.publicID !== publicID) complaints.push(`image ${imageID} has another public ID`);

  const got = await ask(url, { path: `${IMAGES}/${imageID}` });
  const told: Told & { createdOn?: string; link?: string } = got?.json() ?? {};
  const asTold = { digest: stored.digest, altText: told.altText, disabled: told.disabledOn !== undefined };
  if (got?.status !== 200 || nameOf(asTold) !== nameOf(stored)) {
    complaints.push(
      `image ${imageID} is answered ${got?.status} ${got?.body}, the record is ${nameOf(stored)}`,
    );
  }
  if (image.createdOn !== undefined && told.createdOn !== image.createdOn)
    complaints.push(`${imageID}: another createdOn`);

  const bytes = await readFile(join(blobs, originalKey(stored.digest))).catch(() => undefined);
  if (bytes === undefined) complaints.push(`image ${imageID} has no original`);
  else if (sha256(bytes) !== stored.digest)
    complaints.push(`the original of image ${imageID} has other bytes`);

  const shown = await askPatiently(url, () => ({
    path: `/images/${publicID}`,
    headers: { accept: 'image/webp' },
  }));
  if (shown?.status !== 200) complaints.push(`the link of image ${imageID} answers ${shown?.status}`);
  else complaints.push(...(await colourFaults(shown.body, bytes, supply, imageID)));
  return complaints;
}

/** The delivered picture must show what the original shows. */
async function colourFaults(
  delivered: Buffer,
  original: Buffer | undefined,
  supply: Supply,
  imageID: string,
): Promise<string[]> {
  const number = original && numberOf(original);
  if (number === undefined) return [];
  try {
    const { channels } = await sharp(delivered, { failOn: 'warning' }).stats();
    const { colour } = supply.picture(number);
    const differs = colour.some(
      (mean, at) => Math.abs((channels[at]?.mean ?? -100) - mean) > COLOUR_TOLERANCE,
    );
    return differs ? [`the link of image ${imageID} shows another picture than its original`] : [];
  } catch (error) {
    return [`the link of image ${imageID} gives bytes that do not decode: ${String(error)}`];
  }
}

/** The number that the supply wrote into the file. */
function numberOf(original: Buffer): number | undefined {
  const found = /number (\d+);/.exec(original.toString('latin1', 0, 200))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Cheap enough for every record each time: the file is there, and as long as it must be. */
async function blobFaults(blobs: string, digest: string, size: number): Promise<string[]> {
  const file = await stat(join(blobs, originalKey(digest))).catch(() => undefined);
  if (file === undefined) return [`a record names ${digest}, of which there are no bytes`];
  return file.size === size ? [] : [`the original ${digest} has ${file.size} bytes instead of ${size}`];
}

async function productFaults({ url, journal }: InspectionOptions): Promise<string[]> {
  const complaints: string[] = [];
  const seen = new Set<string>();
  for (let skip = 0; ; skip += PAGE) {
    const answer = await ask(url, { path: `${PRODUCTS}?skip=${skip}&count=${PAGE}` });
    if (answer?.status !== 200) return [`the list of products was answered ${answer?.status}`];
    const products: { productID: string; title: string; images?: { imageID: string }[] }[] = answer.json();
    for (const { productID, title, images = [] } of products) {
      seen.add(productID);
      const content: ProductContent = { title, imageIDs: images.map(({ imageID }) => imageID) };
      const known = journal.products.get(productID);
      const asked = known ? [known.settled, known.pending] : [journal.openProducts.get(title)];
      if (!asked.some((one) => isDeepStrictEqual(one, content))) {
        complaints.push(
          `product ${productID} is ${JSON.stringify(content)}, asked for was ${JSON.stringify(asked)}`,
        );
      }
      journal.products.set(productID, { productID, settled: content });
    }
    if (products.length === 0) break;
  }
  for (const productID of journal.products.keys()) {
    if (!seen.has(productID)) complaints.push(`product ${productID} was acknowledged and is gone`);
  }
  return complaints;
}

async function lineItemFaults({ url, journal }: InspectionOptions): Promise<string[]> {
  const complaints: string[] = [];
  for (const [lineItemsID, acknowledged] of journal.lineItems) {
    const answer = await ask(url, { path: `${LINE_ITEMS}/${lineItemsID}` });
    // The alt text is the image's, and may have changed since.
    const said = answer?.status === 200 ? withoutAltText(answer.json()) : answer?.status;
    if (!isDeepStrictEqual(said, withoutAltText(acknowledged)))
      complaints.push(`line items ${lineItemsID} changed`);
  }
  // They never change: what was seen once need not be looked at again.
  journal.lineItems.clear();
  return complaints;
}

/** An upload that was cut off can be asked for again, and is then the same as if it had been answered. */
async function retryFaults(
  { url, journal, supply }: InspectionOptions,
  upload: AskedUpload,
  stored: StoredImage | undefined,
): Promise<string[]> {
  const { bytes, digest } = supply.picture(upload.number);
  const answer = await askPatiently(url, () => uploading(bytes, upload));
  if (upload.key === undefined && stored) {
    return answer?.status === 409
      ? []
      : [`the duplicate of ${stored.imageID} was answered ${answer?.status}`];
  }
  if (answer?.status !== 201)
    return [`the upload was asked for again and answered ${answer?.status} ${answer?.body}`];
  const image = answer.json();
  if (stored && image.imageID !== stored.imageID) return [`the retry of ${upload.key} made another image`];
  journal.add(image, digest);
  if (upload.key === undefined) return [];
  journal.keyed.push({ ...upload, key: upload.key, answer: image });
  const again = await askPatiently(url, () => uploading(bytes, upload));
  return isDeepStrictEqual(again?.json(), image)
    ? []
    : [`the second retry of ${upload.key} was answered otherwise`];
}

export interface Leftovers {
  /** Files on their way in that a crash cut off. */
  readonly staged: number;
  /** Originals that no record names. */
  readonly unnamed: number;
  /** Originals in all. */
  readonly originals: number;
}

/** Re-hashes every original, and counts what crashes left behind. */
export async function leftovers(
  blobs: string,
  stored: readonly StoredImage[],
): Promise<{ leftovers: Leftovers; complaints: string[] }> {
  const named = new Set(stored.map(({ digest }) => digest));
  const complaints: string[] = [];
  let unnamed = 0;
  let originals = 0;
  const folder = join(blobs, 'originals');
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.startsWith('~')) continue;
    originals += 1;
    if (!named.has(entry.name)) unnamed += 1;
    if (sha256(await readFile(join(entry.parentPath, entry.name))) !== entry.name) {
      complaints.push(`the original ${entry.name} holds other bytes`);
    }
  }
  const staged = (await readdir(join(blobs, 'staging'))).length;
  return { leftovers: { staged, unnamed, originals }, complaints };
}

function byDigest(stored: readonly StoredImage[], { digest }: AskedUpload): StoredImage | undefined {
  return stored.find((image) => image.digest === digest);
}

function withoutAltText(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (name, inner) => (name === 'altText' ? undefined : inner)));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
