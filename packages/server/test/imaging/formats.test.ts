import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { sniffFormat, walkPicture } from '../../src/imaging/formats.ts';
import { Refusal } from '../../src/imaging/limits.ts';
import * as pictures from '../pictures.ts';

/** Why the walk refuses the file; fails if it does not, or throws anything but a Refusal. */
function refusal(file: Buffer): string {
  try {
    walkPicture(file);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.message;
  }
  assert.fail('the picture was accepted');
}

const pixelsOf = (file: Buffer) => sharp(file, { failOn: 'warning', animated: true }).raw().toBuffer();

describe('the header walk', () => {
  test('keeps every pixel of every legitimate kind of picture', async () => {
    const kinds: Readonly<Record<string, Buffer>> = {
      'baseline JPEG': await pictures.jpeg(),
      'progressive JPEG': await pictures.photo().jpeg({ progressive: true }).toBuffer(),
      'mozjpeg JPEG': await pictures.photo().jpeg({ mozjpeg: true }).toBuffer(),
      'grey JPEG': await pictures.photo().greyscale().jpeg().toBuffer(),
      'CMYK JPEG': await pictures.photo().toColourspace('cmyk').jpeg().toBuffer(),
      '4:4:4 JPEG': await pictures.photo().jpeg({ chromaSubsampling: '4:4:4' }).toBuffer(),
      PNG: await pictures.png(),
      'interlaced PNG': await pictures.photo().png({ progressive: true }).toBuffer(),
      'palette PNG': await pictures.photo().png({ palette: true, colours: 16 }).toBuffer(),
      'palette PNG with tRNS': await pictures.flat(9, 9, '#f00', 0.5).png({ palette: true }).toBuffer(),
      '16-bit PNG': await pictures.photo().toColourspace('rgb16').png().toBuffer(),
      'grey PNG': await pictures.photo().greyscale().png().toBuffer(),
      'PNG with a colour profile': await pictures.photo().withIccProfile('p3').png().toBuffer(),
      'RGBA PNG': await pictures.oneTransparentPixel(20, 20, 3, 3).png().toBuffer(),
      'lossy WebP': await pictures.webp(),
      'lossless WebP': await pictures.photo().webp({ lossless: true }).toBuffer(),
      'lossy WebP with alpha': await pictures.flat(40, 40, '#f00', 0.5).webp().toBuffer(),
      'WebP with a colour profile': await pictures.photo().withIccProfile('p3').webp().toBuffer(),
      'animated WebP': (await pictures.animation(5)).bytes,
    };
    for (const [kind, file] of Object.entries(kinds)) {
      const walked = walkPicture(file);
      const metadata = await sharp(file, { animated: true }).metadata();
      assert.equal(walked.format, metadata.format, kind);
      assert.equal(walked.facts.width, metadata.width, kind);
      assert.equal(walked.facts.height, metadata.pageHeight ?? metadata.height, kind);
      assert.equal(walked.facts.frames, metadata.pages ?? 1, kind);
      assert.equal(walked.facts.alpha, metadata.hasAlpha, kind);
      assert.equal(walked.facts.cmyk, metadata.space === 'cmyk', kind);
      assert.ok((await pixelsOf(walked.bytes)).equals(await pixelsOf(file)), kind);
      const kept = await sharp(walked.bytes).metadata();
      assert.equal(kept.hasProfile, metadata.hasProfile, kind);
    }
  });

  test('keeps nothing of EXIF but the orientation, and nothing of XMP', async () => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const file = await pictures.withPrivateMetadata(format);
      const { bytes } = walkPicture(file);
      const before = await sharp(file).metadata();
      assert.ok(before.exif !== undefined && before.xmp !== undefined, format);
      const left = await sharp(bytes).metadata();
      assert.ok(left.exif === undefined && left.xmp === undefined, format);
      for (const marker of pictures.PRIVATE_MARKERS)
        assert.ok(!bytes.includes(marker), `${format} ${marker}`);
      for (let orientation = 1; orientation <= 8; orientation += 1) {
        const walked = walkPicture(await pictures.quad(orientation, format));
        assert.equal(walked.facts.orientation, orientation, format);
        assert.equal((await sharp(walked.bytes).metadata()).orientation ?? 1, orientation, format);
      }
    }
  });

  test('drops what is behind the end, unknown chunks, and chunks of text', async () => {
    const garbage = Buffer.from('<script>marker</script>');
    for (const file of [await pictures.jpeg(), await pictures.png(), await pictures.webp()]) {
      const walked = walkPicture(Buffer.concat([file, garbage]));
      assert.ok(!walked.bytes.includes('marker'));
      assert.ok((await pixelsOf(walked.bytes)).equals(await pixelsOf(file)));
    }
    const png = pictures.withPngChunks(
      await pictures.png(),
      pictures.pngChunk('tEXt', Buffer.from('Comment\0marker')),
      pictures.pngChunk('acTL', Buffer.alloc(8)),
      pictures.pngChunk('vpAg', garbage),
    );
    assert.ok((await pixelsOf(walkPicture(png).bytes)).equals(await pixelsOf(await pictures.png())));
  });

  test('drops a profile that inflates beyond 2 MiB, that does not inflate, or that is damaged', async () => {
    const plain = walkPicture(await pictures.photo({ width: 64, height: 64 }).png().toBuffer());
    assert.ok(walkPicture(await pictures.profileBomb(45)).bytes.equals(plain.bytes));
    const wild = Buffer.concat([Buffer.from('icc\0\0'), Buffer.alloc(99, 7)]);
    const small = await pictures.photo({ width: 64, height: 64 }).png().toBuffer();
    assert.ok(
      walkPicture(pictures.withPngChunks(small, pictures.pngChunk('iCCP', wild))).bytes.equals(plain.bytes),
    );
    const good = pictures.pngChunk(
      'iCCP',
      Buffer.concat([Buffer.from('icc\0\0'), deflateSync(Buffer.alloc(400))]),
    );
    const sound = pictures.withPngChunks(small, good);
    assert.ok(
      walkPicture(sound).bytes.includes('iCCP'),
      'a good one must be kept for the test to mean anything',
    );
    const damaged = Buffer.from(good);
    damaged.writeUInt32BE(0, damaged.length - 4);
    const unnamed = pictures.pngChunk('iCCP', Buffer.concat([Buffer.from('\0\0'), good.subarray(13, -4)]));
    for (const bad of [damaged, unnamed])
      assert.ok(walkPicture(pictures.withPngChunks(small, bad)).bytes.equals(plain.bytes));
    // One is looked at: each of thousands would be inflated.
    assert.ok(walkPicture(pictures.withPngChunks(small, damaged, good)).bytes.equals(plain.bytes));
  });

  test('drops a profile of a JPEG or a WebP that is larger than 2 MiB', async () => {
    const part = Buffer.alloc(65_000, 7);
    part.set([0xff, 0xe2, (part.length - 2) >> 8, (part.length - 2) & 255]);
    part.write('ICC_PROFILE\0', 4);
    const jpeg = await pictures.jpeg();
    const withParts = (count: number) =>
      Buffer.concat([jpeg.subarray(0, 2), ...Array.from({ length: count }, () => part), jpeg.subarray(2)]);
    assert.ok(walkPicture(withParts(32)).bytes.length > 2_000_000);
    assert.ok(walkPicture(withParts(33)).bytes.equals(walkPicture(jpeg).bytes));
    const still = (await pictures.webp()).subarray(12);
    const withProfile = (bytes: number) =>
      pictures.webpOf(
        pictures.webpHeader(320, 240, 0x20),
        pictures.webpChunk('ICCP', Buffer.alloc(bytes)),
        still,
      );
    assert.ok(walkPicture(withProfile(2 * 1024 * 1024)).bytes.length > 2_000_000);
    assert.ok(walkPicture(withProfile(2 * 1024 * 1024 + 1)).bytes.length < 200_000);
  });

  test('takes the first palette, transparency and orientation of a PNG, and none that is damaged or behind the rows', async () => {
    const file = await pictures.photo().png({ palette: true, colours: 16 }).toBuffer();
    const rows = file.indexOf('IDAT') - 4;
    const [head, tail] = [file.subarray(0, rows), file.subarray(rows, -12)];
    const colours = pictures.pngChunk('PLTE', Buffer.alloc(48, 7));
    const clear = (alpha: number) => pictures.pngChunk('tRNS', Buffer.alloc(16, alpha));
    const whole = walkPicture(file);
    const late = walkPicture(pictures.pngOf(head.subarray(8), colours, tail, colours, clear(0)));
    assert.ok(late.bytes.equals(whole.bytes));
    assert.equal(late.facts.alpha, false);
    const twice = walkPicture(pictures.pngOf(head.subarray(8), clear(9), clear(0), tail));
    const once = walkPicture(pictures.pngOf(head.subarray(8), clear(9), tail));
    assert.ok(twice.bytes.equals(once.bytes) && once.facts.alpha);
    const turned = await pictures.quad(6, 'png');
    turned.writeUInt8(8, turned.indexOf('eXIf') + 4 + 18);
    assert.equal(walkPicture(turned).facts.orientation, 1, 'its checksum is that of another orientation');
  });

  test('is not impressed by compressed text that would inflate to gigabytes', async () => {
    const bomb = await pictures.textBomb(40, 49);
    const { bytes } = walkPicture(bomb);
    assert.ok(bomb.length > 1_000_000 && bytes.length < 20_000);
  });

  test('refuses every other format, whatever it is', async () => {
    for (const [name, file] of Object.entries(await pictures.otherFormats())) {
      if (name !== 'signature') assert.equal(sniffFormat(file), undefined, name);
      assert.match(refusal(file), name === 'signature' ? /cut short/ : /not a PNG, JPEG or WebP/, name);
    }
  });

  test('refuses every truncation of a PNG and a WebP, and of a JPEG up to its first scan', async () => {
    const small = { width: 24, height: 16 };
    for (const file of [await pictures.png(small), await pictures.webp(small)]) {
      // Without its empty last chunk or last padding byte a file still has all of its pixels.
      for (let length = 0; length < file.length - 12; length += 1) refusal(file.subarray(0, length));
    }
    const jpeg = await pictures.jpeg(small);
    const scan = pictures.jpegMarker(jpeg, 0xda);
    for (let length = 0; length <= scan + 2; length += 1) refusal(jpeg.subarray(0, length));
  });

  test('throws nothing but refusals, whatever byte is wrong', async () => {
    const small = { width: 24, height: 16 };
    const files = [
      await pictures.jpeg(small),
      await pictures.photo(small).withIccProfile('p3').jpeg({ progressive: true }).toBuffer(),
      await pictures.png(small),
      await pictures.webp(small),
      (await pictures.animation(3, 8, 8)).bytes,
      await pictures.quad(6, 'jpeg'),
      await pictures.quad(6, 'webp'),
    ];
    for (const file of files) {
      for (let at = 0; at < Math.min(file.length, 1_200); at += 1) {
        for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
          const wrong = Buffer.from(file);
          wrong[at] = value;
          try {
            walkPicture(wrong);
          } catch (error) {
            assert.ok(error instanceof Refusal, `byte ${at} = ${value}: ${String(error)}`);
          }
        }
      }
    }
  });
});

describe('the limits on a picture', () => {
  test('are 30 000 pixels a side and 100 megapixels, and no side is empty', async () => {
    const png = (width: number, height: number) =>
      pictures.pngOf(pictures.pngHeader(width, height), pictures.pngChunk('IDAT', Buffer.alloc(1)));
    assert.match(refusal(png(30_001, 1)), /30001 x 1 pixels: a side may have at most 30000/);
    assert.match(refusal(png(30_000, 30_000)), /900 megapixels, at most 100/);
    assert.match(refusal(png(10_001, 10_000)), /100.1 megapixels, at most 100/);
    assert.match(refusal(png(0, 9)), /a side is empty/);
    assert.match(refusal(png(2 ** 31 - 1, 2 ** 31 - 1)), /a side may have at most 30000/);
    assert.equal(walkPicture(png(10_000, 10_000)).facts.width, 10_000);
    assert.equal(walkPicture(png(30_000, 3_333)).facts.width, 30_000);
    assert.match(refusal(await pictures.lyingJpeg(65_500, 65_500)), /a side may have at most 30000/);
    assert.match(refusal(await pictures.lyingJpeg(320, 0)), /a side is empty/);
    assert.match(refusal(await pictures.frameFlood(1, 16_383, 16_383)), /megapixels/);
    assert.match(
      refusal(await pictures.frameFlood(101, 1_000, 1_000)),
      /101 frames of 1000 x 1000 pixels: 101 megapixels/,
    );
  });

  test('are 1 000 frames, 64 scans, 2 000 segments and 20 000 chunks', async () => {
    assert.equal(walkPicture(await pictures.frameFlood(1_000)).facts.frames, 1_000);
    assert.match(refusal(await pictures.frameFlood(2_000)), /2000 frames: at most 1000/);
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

  test('are 400 MiB of memory where a picture cannot be decoded row by row', async () => {
    const png = (width: number, height: number, depth: number, colour: number, interlace: number) =>
      pictures.pngOf(
        pictures.pngHeader(width, height, depth, colour, interlace),
        pictures.pngChunk('IDAT', Buffer.alloc(1)),
      );
    assert.match(refusal(png(7_300, 7_300, 16, 6, 1)), /407 MiB to decode, because it is interlaced/);
    walkPicture(png(7_300, 7_300, 16, 6, 0));
    walkPicture(png(7_300, 7_300, 8, 6, 1));
    const scans = await pictures.photo().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer();
    const at = pictures.jpegMarker(scans, 0xc2);
    scans.writeUInt16BE(8_500, at + 5);
    scans.writeUInt16BE(8_500, at + 7);
    assert.match(refusal(scans), /414 MiB to decode, because it is a JPEG in several scans/);
    const baseline = await pictures.photo().jpeg({ chromaSubsampling: '4:4:4' }).toBuffer();
    const lines = pictures.jpegMarker(baseline, 0xc0) + 5;
    baseline.writeUInt16BE(8_500, lines);
    baseline.writeUInt16BE(8_500, lines + 2);
    walkPicture(baseline);
    // A scan of one component of three: the others must come in scans of their own.
    baseline.writeUInt8(1, pictures.jpegMarker(baseline, 0xda) + 4);
    assert.match(refusal(baseline), /414 MiB to decode, because it is a JPEG in several scans/);
    const still = await pictures.flat(1, 1, '#345').webp({ lossless: true }).toBuffer();
    const size = still.indexOf('VP8L') + 9;
    still.writeUInt32LE(((still.readUInt32LE(size) & 0xf0000000) | 7_999 | (7_999 << 14)) >>> 0, size);
    const extended = pictures.webpOf(pictures.webpHeader(8_000, 8_000, 0), still.subarray(12));
    for (const file of [still, extended]) assert.match(refusal(file), /458 MiB to decode/);
    assert.match(refusal(await pictures.frameFlood(1, 8_000, 8_000)), /because it is an animation/);
  });

  test('are one honest header and one process that browsers know', async () => {
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
      /cut short or damaged/,
    );
    const nothing = Buffer.from([0xff, 0xe5, 0, 0]);
    assert.match(refusal(Buffer.concat([jpeg.subarray(0, 2), nothing, jpeg.subarray(2)])), /cut short/);
    // The length of the whole, and that of a chunk.
    for (const at of [4, 16]) {
      const webp = await pictures.webp();
      webp.writeUInt32LE(2 ** 32 - 1, at);
      assert.match(refusal(webp), /cut short/);
    }
    const still = (await pictures.webp()).subarray(12);
    assert.match(
      refusal(pictures.webpOf(pictures.webpHeader(9, 9, 0), still)),
      /9 x 9 pixels is not the size/,
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
      /not the size it claims/,
    );
  });
});
