/**
 * The refusals of the header walk: files above a limit, and files with wrong headers.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { walkPicture } from '../../../src/imaging/formats/walk.ts';
import * as pictures from '../../support/pictures.ts';
import { refusal } from './refusal.ts';

describe('the limits on a picture', () => {
  test('are 1 to 30 000 pixels a side and 100 megapixels', async () => {
    const png = (width: number, height: number) =>
      pictures.pngOf(pictures.pngHeader(width, height), pictures.pngChunk('IDAT', Buffer.alloc(1)));
    assert.match(refusal(png(30_001, 1)), /30001 x 1 pixels: each side must be from 1 to 30000 pixels/);
    assert.match(refusal(png(30_000, 30_000)), /900 megapixels \(30000 x 30000 pixels\): the limit is 100/);
    assert.match(refusal(png(10_001, 10_000)), /100.1 megapixels \(10001 x 10000 pixels\): the limit is 100/);
    assert.match(refusal(png(0, 9)), /0 x 9 pixels: each side must be from 1/);
    assert.match(refusal(png(2 ** 31 - 1, 2 ** 31 - 1)), /each side must be from 1 to 30000 pixels/);
    assert.equal(walkPicture(png(10_000, 10_000)).facts.width, 10_000);
    assert.equal(walkPicture(png(30_000, 3_333)).facts.width, 30_000);
    assert.match(
      refusal(await pictures.jpegClaimingSize(65_500, 65_500)),
      /each side must be from 1 to 30000 pixels/,
    );
    assert.match(
      refusal(await pictures.jpegClaimingSize(320, 0)),
      /320 x 0 pixels: each side must be from 1/,
    );
    assert.match(refusal(await pictures.frameFlood(1, 16_383, 16_383)), /megapixels/);
    assert.match(
      refusal(await pictures.frameFlood(101, 1_000, 1_000)),
      /101 megapixels \(101 frames of 1000 x 1000 pixels\): the limit is 100/,
    );
  });

  test('are 1 000 frames, 64 scans, 2 000 segments and 20 000 chunks', async () => {
    assert.equal(walkPicture(await pictures.frameFlood(1_000)).facts.frames, 1_000);
    assert.match(refusal(await pictures.frameFlood(2_000)), /2000 frames: the limit is 1000/);
    assert.match(refusal(await pictures.manyScans(2_770)), /more than 64 JPEG scans/);
    walkPicture(await pictures.manyScans(40));
    const comment = Buffer.from([0xff, 0xfe, 0, 2]);
    const jpeg = await pictures.jpeg();
    const flood = Array.from({ length: 2_000 }, () => comment);
    assert.match(
      refusal(Buffer.concat([jpeg.subarray(0, 2), ...flood, jpeg.subarray(2)])),
      /2000 JPEG segments/,
    );
    const text = Array.from({ length: 20_000 }, () => pictures.pngChunk('tEXt', Buffer.from('a\0b')));
    assert.match(refusal(pictures.withPngChunks(await pictures.png(), ...text)), /20000 PNG chunks/);
    const junk = Array.from({ length: 20_001 }, () => pictures.webpChunk('JUNK', Buffer.alloc(0)));
    assert.match(refusal(pictures.webpOf(...junk)), /20000 WebP chunks/);
  });

  test('are 400 MiB of memory for pictures that cannot be decoded row by row', async () => {
    const png = (width: number, height: number, depth: number, colour: number, interlace: number) =>
      pictures.pngOf(
        pictures.pngHeader(width, height, depth, colour, interlace),
        pictures.pngChunk('IDAT', Buffer.alloc(1)),
      );
    assert.match(
      refusal(png(7_300, 7_300, 16, 6, 1)),
      /407 MiB of memory to decode, because it is interlaced: the limit is 400 MiB/,
    );
    walkPicture(png(7_300, 7_300, 16, 6, 0));
    walkPicture(png(7_300, 7_300, 8, 6, 1));
    const scans = await pictures.photo().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer();
    const at = pictures.jpegMarker(scans, 0xc2);
    scans.writeUInt16BE(8_500, at + 5);
    scans.writeUInt16BE(8_500, at + 7);
    assert.match(refusal(scans), /414 MiB of memory to decode, because it is a JPEG in several scans/);
    const baseline = await pictures.photo().jpeg({ chromaSubsampling: '4:4:4' }).toBuffer();
    const lines = pictures.jpegMarker(baseline, 0xc0) + 5;
    baseline.writeUInt16BE(8_500, lines);
    baseline.writeUInt16BE(8_500, lines + 2);
    walkPicture(baseline);
    const progressive = Buffer.from(baseline);
    progressive.writeUInt8(0xc2, lines - 4);
    assert.match(refusal(progressive), /414 MiB of memory to decode, because it is a JPEG in several scans/);
    // The first scan has one component of three, so the others need more scans.
    baseline.writeUInt8(1, pictures.jpegMarker(baseline, 0xda) + 4);
    assert.match(refusal(baseline), /414 MiB of memory to decode, because it is a JPEG in several scans/);
    const still = await pictures.flat(1, 1, '#345').webp({ lossless: true }).toBuffer();
    const size = still.indexOf('VP8L') + 9;
    still.writeUInt32LE(((still.readUInt32LE(size) & 0xf0000000) | 7_999 | (7_999 << 14)) >>> 0, size);
    const huge = Buffer.from(still);
    huge.writeUInt32LE(((still.readUInt32LE(size) & 0xf0000000) | 16_382 | (16_382 << 14)) >>> 0, size);
    assert.match(refusal(huge), /268.5 megapixels/);
    const extended = pictures.webpOf(pictures.webpHeader(8_000, 8_000, 0), still.subarray(12));
    for (const file of [still, extended]) assert.match(refusal(file), /458 MiB of memory to decode/);
    assert.match(refusal(await pictures.frameFlood(1, 8_000, 8_000)), /because it is an animation/);
  });

  test('are one correct header and a JPEG process that browsers support', async () => {
    const header = pictures.pngHeader(9, 9);
    assert.match(refusal(pictures.pngOf(header, header)), /more than one PNG header/);
    const interlacedTwice = pictures.pngHeader(9, 9, 8, 2, 2);
    const long = pictures.pngChunk('IHDR', Buffer.concat([header.subarray(8, -4), Buffer.alloc(1)]));
    for (const wrong of [pictures.pngHeader(9, 9, 3), interlacedTwice, long])
      assert.match(
        refusal(pictures.pngOf(wrong, pictures.pngChunk('IDAT', Buffer.alloc(9)))),
        /header is damaged/,
      );
    assert.match(refusal(pictures.pngOf(pictures.pngChunk('IDAT', Buffer.alloc(9)))), /header is missing/);
    const cgbi = pictures.pngOf(pictures.pngChunk('CgBI', Buffer.alloc(4)), pictures.pngHeader(9, 9, 3));
    assert.match(refusal(cgbi), /changed by Xcode for an iOS app: send the file from before the build/);
    const jpeg = await pictures.jpeg();
    const at = pictures.jpegMarker(jpeg, 0xc0);
    const changed = (change: (file: Buffer) => void) => {
      const file = Buffer.from(jpeg);
      change(file);
      return refusal(file);
    };
    assert.match(
      changed((file) => file.writeUInt8(0xc9, at + 1)),
      /SOF9/,
    );
    assert.match(
      changed((file) => file.writeUInt8(12, at + 4)),
      /12 bits/,
    );
    assert.match(
      changed((file) => file.writeUInt8(2, at + 9)),
      /2 JPEG components/,
    );
    const frame = jpeg.subarray(at, at + 2 + jpeg.readUInt16BE(at + 2));
    assert.match(
      refusal(Buffer.concat([jpeg.subarray(0, at), frame, jpeg.subarray(at)])),
      /more than one JPEG frame header/,
    );
    assert.match(refusal(Buffer.concat([jpeg.subarray(0, -2), jpeg])), /second JPEG start/);
    const scan = pictures.jpegMarker(jpeg, 0xda);
    assert.match(
      refusal(Buffer.concat([jpeg.subarray(0, 2), jpeg.subarray(scan)])),
      /JPEG frame header is missing/,
    );
    assert.match(
      changed((file) => file.writeUInt8(0x51, at + 11)),
      /frame header is damaged/,
    );
    assert.match(
      changed((file) => file.writeUInt8(4, at + 9)),
      /incomplete or damaged/,
    );
    const emptySegment = Buffer.from([0xff, 0xe5, 0, 0]);
    assert.match(refusal(Buffer.concat([jpeg.subarray(0, 2), emptySegment, jpeg.subarray(2)])), /incomplete/);
    // The length of the file, and the length of a chunk.
    for (const at of [4, 16]) {
      const webp = await pictures.webp();
      webp.writeUInt32LE(2 ** 32 - 1, at);
      assert.match(refusal(webp), /incomplete/);
    }
    // The mark of a key frame, in a lossy and in a lossless file.
    const lossless = await pictures.flat(1, 1, '#345').webp({ lossless: true }).toBuffer();
    for (const webp of [await pictures.webp(), lossless]) {
      const byte = webp.indexOf('VP8') + (webp.includes('VP8L') ? 8 : 11);
      webp.writeUInt8(webp.readUInt8(byte) ^ 1, byte);
      assert.match(refusal(webp), /incomplete or damaged/);
    }
    const still = (await pictures.webp()).subarray(12);
    assert.match(
      refusal(pictures.webpOf(pictures.webpHeader(9, 9, 0), still)),
      /canvas is 9 x 9 pixels, but the picture in it is 320 x 240/,
    );
    const outside = Buffer.alloc(16);
    outside.writeUIntLE(5, 0, 3);
    outside.writeUIntLE(319, 6, 3);
    outside.writeUIntLE(239, 9, 3);
    const frames = pictures.webpChunk('ANMF', Buffer.concat([outside, still]));
    assert.match(refusal(pictures.webpOf(pictures.webpHeader(320, 240, 2), frames)), /outside of the canvas/);
    const larger = pictures.webpChunk('ANMF', Buffer.concat([Buffer.alloc(16), still]));
    assert.match(
      refusal(pictures.webpOf(pictures.webpHeader(320, 240, 2), larger)),
      /its size is not the size in its header/,
    );
  });
});
