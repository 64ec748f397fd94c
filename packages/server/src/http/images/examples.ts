/**
 * The examples of the operations on images: one picture of a lamp, from its upload until it is disabled.
 */
import { EXAMPLE_BASE_URL, type Example, type Examples, example, PLACEHOLDERS } from '../shared/examples.ts';

const { imageID, publicID, productID, lineItemsID } = PLACEHOLDERS;
const link = `${EXAMPLE_BASE_URL}/images/${publicID}`;
const altText = 'A brass desk lamp on an oak table';
const focalPoint = { x: 0.42, y: 0.3 };
const createdOn = '2026-03-02T09:15:27.104Z';

const image = {
  imageID,
  publicID,
  altText,
  focalPoint,
  fileName: 'lamp.jpg',
  tags: ['brass', 'desk lamp'],
  link,
  width: 1200,
  height: 900,
  format: 'jpeg',
  bytes: 183_462,
  version: 1,
  placeholder: 'WCgGDYJ4eHePeHeIeHh4d4iGg0gI',
  color: '#b08d57',
  visibility: 'public',
  createdOn,
  updatedOn: createdOn,
};
const duplicate = `the account already has this image as ${imageID}`;

const Metadata = example('Metadata', 'Alternative text, focal point and tags', {
  altText,
  focalPoint,
  tags: image.tags,
});
const Replacement = example('ReplacementImage', 'Another file, and the metadata stays', {
  image: 'lamp-without-shade.jpg',
});
const NewImage = example('NewImage', 'A file with its metadata', {
  image: 'lamp.jpg',
  metadata: Metadata.value,
});

const Image = example('Image', 'An image with alternative text', image);
const ImageList = example('ImageList', 'A page with one image', [image]);
const UpdatedImage = example('UpdatedImage', 'The image after the change', {
  ...image,
  updatedOn: '2026-03-09T16:40:02.558Z',
});

const REFUSALS: readonly Example[] = [
  example('ImageRefused', 'A file in another format', {
    image: 'the file is a GIF picture: convert it to PNG, JPEG or WebP',
  }),
  example('UploadMetadataRefused', 'An alternative text that is a number', {
    metadata: { altText: 'altText must be a string' },
  }),
];
const MetadataRefused = example('MetadataRefused', 'A focal point outside the image', {
  focalPoint: 'focalPoint must be null or an object with x and y, each a number from 0 to 1',
});

const shown = { productID, title: 'Desk lamp' };
const usage = {
  imageID,
  inUse: true,
  products: [shown],
  options: [
    { ...shown, optionGroup: { index: 0, name: 'Finish' }, option: { index: 0, name: 'Polished brass' } },
  ],
  lineItems: [{ lineItemsID, createdOn: '2026-03-04T11:02:45.310Z', item: { index: 0, name: 'Desk lamp' } }],
  totals: { products: 1, options: 1, lineItems: 1 },
};
const ImageUsage = example('ImageUsage', 'An image that a product and a line item show', usage);

export const IMAGE_EXAMPLES: Examples = {
  listImageMetadata: { responses: { 200: [ImageList] } },
  uploadImage: {
    request: [NewImage],
    responses: {
      201: [Image],
      409: [
        example('DuplicateImage', 'Before v2026.10.00', { error: duplicate }),
        example('DuplicateImageWithMetadata', 'From v2026.10.00 on', { error: duplicate, ...image }),
      ],
      422: REFUSALS,
    },
  },
  getImageMetadata: { responses: { 200: [Image] } },
  updateImage: { request: [Replacement], responses: { 200: [UpdatedImage], 422: REFUSALS } },
  updateImageMetadata: {
    request: [Metadata],
    responses: { 200: [UpdatedImage], 422: [MetadataRefused] },
  },
  getImageUsage: { responses: { 200: [ImageUsage] } },
  disableImage: {
    responses: {
      200: [ImageUsage],
      409: [
        example('ImageInUse', 'An account that protects images in use', {
          error:
            'the account does not allow disabling images in use: 1 products, 1 options and 1 line items show this image',
          usage,
        }),
      ],
    },
  },
  enableImage: { responses: { 200: [UpdatedImage] } },
  getImageOriginal: {
    responses: {
      412: [
        example('OtherOriginal', 'The original was replaced', {
          error: 'the original has none of the entity tags of If-Match',
        }),
      ],
    },
  },
};
