/**
 * Which EXIF block decides the orientation of a picture that has several.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { orientationTiff } from '../../../src/imaging/formats/exif.ts';
import { walkPicture } from '../../../src/imaging/formats/walk.ts';
import * as pictures from '../../support/pictures.ts';

const SIZE = { width: 60, height: 40 } as const;

let jpeg: Buffer;
let png: Buffer;
let webp: Buffer;

before(async () => {
  [jpeg, png, webp] = await Promise.all([pictures.jpeg(SIZE), pictures.png(SIZE), pictures.webp(SIZE)]);
});

/** A picture of each format with these EXIF blocks, in this order. */
function withExif(...blocks: readonly Buffer[]): readonly (readonly [string, Buffer])[] {
  const still = webp.subarray(12);
  const header = pictures.webpHeader(SIZE.width, SIZE.height, 0x08);
  return [
    ['JPEG', Buffer.concat([jpeg.subarray(0, 2), ...blocks.map(jpegExif), jpeg.subarray(2)])],
    ['PNG', pictures.withPngChunks(png, ...blocks.map((tiff) => pictures.pngChunk('eXIf', tiff)))],
    ['WebP', pictures.webpOf(header, still, ...blocks.map((tiff) => pictures.webpChunk('EXIF', tiff)))],
  ];
}

function jpegExif(tiff: Buffer): Buffer {
  const head = Buffer.from([0xff, 0xe1, 0, 2 + 6 + tiff.length]);
  return Buffer.concat([head, Buffer.from('Exif\0\0'), tiff]);
}

function changed(change: (tiff: Buffer) => void): Buffer {
  const tiff = orientationTiff(6);
  change(tiff);
  return tiff;
}

const SIX = orientationTiff(6);

describe('of several EXIF blocks', () => {
  test('the first one counts, also if it says 1 or has no valid orientation', () => {
    const first: Readonly<Record<string, readonly [Buffer, number]>> = {
      'orientation 1': [orientationTiff(1), 1],
      'orientation 6': [SIX, 6],
      'orientation 0': [orientationTiff(0), 1],
      'orientation 9': [orientationTiff(9), 1],
      'no orientation': [changed((tiff) => tiff.writeUInt16LE(0x0100, 10)), 1],
      'an orientation of another type': [changed((tiff) => tiff.writeUInt16LE(4, 12)), 1],
      'an unknown byte order': [changed((tiff) => tiff.write('XX')), 1],
      'two bytes': [Buffer.from('II'), 1],
    };
    for (const [what, [tiff, expected]] of Object.entries(first)) {
      for (const second of [SIX, orientationTiff(3), orientationTiff(1)]) {
        for (const [format, file] of withExif(tiff, second))
          assert.equal(walkPicture(file).facts.orientation, expected, `${format}, first block: ${what}`);
      }
    }
  });

  test('a block is passed over if it is empty in a JPEG, or damaged in a PNG', () => {
    const [[, emptyFirst] = []] = withExif(Buffer.alloc(0), SIX);
    assert.equal(walkPicture(emptyFirst ?? jpeg).facts.orientation, 6);
    const damaged = pictures.pngChunk('eXIf', orientationTiff(3));
    damaged.writeUInt32BE(0, damaged.length - 4);
    const file = pictures.withPngChunks(png, damaged, pictures.pngChunk('eXIf', SIX));
    assert.equal(walkPicture(file).facts.orientation, 6);
  });

  test('a block behind the first scan of a JPEG does not count', () => {
    const behind = Buffer.concat([jpeg.subarray(0, -2), jpegExif(SIX), jpeg.subarray(-2)]);
    assert.equal(walkPicture(behind).facts.orientation, 1);
    const scan = pictures.jpegMarker(jpeg, 0xda);
    const inFront = Buffer.concat([jpeg.subarray(0, scan), jpegExif(SIX), jpeg.subarray(scan)]);
    assert.equal(walkPicture(inFront).facts.orientation, 6);
  });

  test('the orientation in XMP does not count', () => {
    const xmp = Buffer.from(
      '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>',
    );
    const body = Buffer.concat([Buffer.from('http://ns.adobe.com/xap/1.0/\0'), xmp]);
    const head = Buffer.from([0xff, 0xe1, 0, 2 + body.length]);
    const text = Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\0\0\0\0'), xmp]);
    const header = pictures.webpHeader(SIZE.width, SIZE.height, 0x04);
    for (const file of [
      Buffer.concat([jpeg.subarray(0, 2), head, body, jpeg.subarray(2)]),
      pictures.withPngChunks(png, pictures.pngChunk('iTXt', text)),
      pictures.webpOf(header, webp.subarray(12), pictures.webpChunk('XMP ', xmp)),
    ])
      assert.equal(walkPicture(file).facts.orientation, 1);
  });
});
