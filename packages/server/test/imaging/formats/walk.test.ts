import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { orientationTiff, readOrientation } from '../../../src/imaging/formats/exif.ts';
import { Refusal } from '../../../src/imaging/formats/limits.ts';
import { sniffFormat, walkPicture } from '../../../src/imaging/formats/walk.ts';
import * as pictures from '../../support/pictures.ts';
import { displayP3, iCCP, withJpegProfile, withWebpProfile } from '../colour-files.ts';
import { refusal } from './refusal.ts';

const pixelsOf = (file: Buffer) => sharp(file, { failOn: 'warning', animated: true }).raw().toBuffer();

describe('the header walk', () => {
  test('keeps every pixel of every valid kind of picture', async () => {
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
      const walkedMetadata = await sharp(walked.bytes).metadata();
      assert.equal(walkedMetadata.hasProfile, metadata.hasProfile, kind);
    }
  });

  test('keeps only the orientation of EXIF, and drops XMP', async () => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      for (const orientation of [1, 6]) {
        const file = await pictures.withPrivateMetadata(format, orientation);
        const { bytes } = walkPicture(file);
        const before = await sharp(file).metadata();
        assert.ok(before.exif !== undefined && before.xmp !== undefined, format);
        assert.equal(before.orientation ?? 1, orientation);
        const after = await sharp(bytes).metadata();
        assert.equal(after.orientation ?? 1, orientation);
        assert.ok((after.exif?.length ?? 0) < 40 && after.xmp === undefined, format);
        for (const marker of pictures.PRIVATE_MARKERS)
          assert.ok(!bytes.includes(marker), `${format} ${orientation} ${marker}`);
      }
      for (let orientation = 1; orientation <= 8; orientation += 1) {
        const walked = walkPicture(await pictures.quad(orientation, format));
        assert.equal(walked.facts.orientation, orientation, format);
        assert.equal((await sharp(walked.bytes).metadata()).orientation ?? 1, orientation, format);
      }
    }
  });

  test('drops bytes after the end, unknown chunks and text chunks', async () => {
    const garbage = Buffer.from('<script>marker</script>');
    for (const file of [await pictures.jpeg(), await pictures.png(), await pictures.webp()]) {
      const walked = walkPicture(Buffer.concat([file, garbage]));
      assert.ok(!walked.bytes.includes('marker'));
      assert.ok((await pixelsOf(walked.bytes)).equals(await pixelsOf(file)));
    }
    const jfif = Buffer.concat([
      Buffer.from([0xff, 0xe0, 0, 36]),
      Buffer.from('JFIF\0'),
      Buffer.alloc(6),
      garbage,
    ]);
    const jpeg = await pictures.jpeg();
    const withThumbnail = Buffer.concat([jpeg.subarray(0, 2), jfif, jpeg.subarray(2)]);
    assert.ok(!walkPicture(withThumbnail).bytes.includes('marker'));
    const pixel = (await pictures.flat(1, 1, '#f00').webp().toBuffer()).subarray(12);
    const frame = Buffer.concat([Buffer.alloc(16), pixel, pictures.webpChunk('EXIF', garbage)]);
    const animation = pictures.webpOf(pictures.webpHeader(1, 1, 2), pictures.webpChunk('ANMF', frame));
    assert.ok(!walkPicture(animation).bytes.includes('marker'));
    const png = pictures.withPngChunks(
      await pictures.png(),
      pictures.pngChunk('tEXt', Buffer.from('Comment\0marker')),
      pictures.pngChunk('acTL', Buffer.alloc(8)),
      pictures.pngChunk('vpAg', garbage),
    );
    assert.ok((await pixelsOf(walkPicture(png).bytes)).equals(await pixelsOf(await pictures.png())));
  });

  test('drops a PNG profile that inflates to more than 2 MiB, does not inflate, or is damaged', async () => {
    const plain = walkPicture(await pictures.photo({ width: 64, height: 64 }).png().toBuffer());
    assert.ok(walkPicture(await pictures.profileBomb(45)).bytes.equals(plain.bytes));
    const notDeflated = Buffer.concat([Buffer.from('icc\0\0'), Buffer.alloc(99, 7)]);
    const small = await pictures.photo({ width: 64, height: 64 }).png().toBuffer();
    assert.ok(
      walkPicture(pictures.withPngChunks(small, pictures.pngChunk('iCCP', notDeflated))).bytes.equals(
        plain.bytes,
      ),
    );
    const good = iCCP(await displayP3());
    const valid = pictures.withPngChunks(small, good);
    assert.ok(
      walkPicture(valid).bytes.includes('iCCP'),
      'a valid profile must be kept, or the test proves nothing',
    );
    const damaged = Buffer.from(good);
    damaged.writeUInt32BE(0, damaged.length - 4);
    const unnamed = pictures.pngChunk('iCCP', Buffer.concat([Buffer.from('\0\0'), good.subarray(11, -4)]));
    for (const bad of [damaged, unnamed])
      assert.ok(walkPicture(pictures.withPngChunks(small, bad)).bytes.equals(plain.bytes));
    assert.ok(walkPicture(pictures.withPngChunks(small, damaged, good)).bytes.includes('iCCP'));
    // Only the first intact profile is read, because a file can have thousands of them.
    const junk = pictures.pngChunk('iCCP', notDeflated);
    assert.ok(walkPicture(pictures.withPngChunks(small, junk, good)).bytes.equals(plain.bytes));
  });

  test('drops a JPEG or WebP profile of more than 2 MiB', async () => {
    const profile = await displayP3();
    const limit = 2 * 1024 * 1024;
    const padded = (bytes: number) => Buffer.concat([profile, Buffer.alloc(bytes - profile.length)]);
    const jpeg = await pictures.jpeg();
    assert.ok(walkPicture(withJpegProfile(jpeg, padded(limit))).bytes.length > 2_000_000);
    assert.ok(walkPicture(withJpegProfile(jpeg, padded(limit + 1))).bytes.equals(walkPicture(jpeg).bytes));
    const webp = await pictures.webp();
    const withProfile = (bytes: number) => withWebpProfile(webp, 320, 240, padded(bytes));
    assert.ok(walkPicture(withProfile(limit)).bytes.length > 2_000_000);
    assert.ok(walkPicture(withProfile(limit + 1)).bytes.length < 200_000);
  });

  test('takes the first palette, transparency and orientation of a PNG, and drops later and damaged ones', async () => {
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
    assert.equal(walkPicture(turned).facts.orientation, 1, 'the checksum belongs to another orientation');
  });

  test('drops compressed text that would inflate to gigabytes', async () => {
    const bomb = await pictures.textBomb(40, 49);
    const { bytes } = walkPicture(bomb);
    assert.ok(bomb.length > 1_000_000 && bytes.length < 20_000);
  });

  test('refuses every other format', async () => {
    for (const [name, file] of Object.entries(await pictures.otherFormats())) {
      if (name !== 'signature') assert.equal(sniffFormat(file), undefined, name);
      assert.match(
        refusal(file),
        name === 'signature' ? /incomplete/ : /^the file is .*PNG, JPEG or WebP/,
        name,
      );
    }
  });

  test('refuses every truncation of a PNG and a WebP, and of a JPEG before its first scan', async () => {
    const small = { width: 24, height: 16 };
    for (const file of [await pictures.png(small), await pictures.webp(small)]) {
      // Without its empty last chunk or its last padding byte, a file still has all pixels.
      for (let length = 0; length < file.length - 12; length += 1) refusal(file.subarray(0, length));
    }
    const jpeg = await pictures.jpeg(small);
    const scan = pictures.jpegMarker(jpeg, 0xda);
    for (let length = 0; length <= scan + 2; length += 1) refusal(jpeg.subarray(0, length));
  });

  test('throws only refusals, for every wrong byte', async () => {
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

  test('reads damaged EXIF as orientation 1', () => {
    assert.equal(readOrientation(orientationTiff(6)), 6);
    const changed = (change: (tiff: Buffer) => void) => {
      const tiff = orientationTiff(6);
      change(tiff);
      return readOrientation(tiff);
    };
    for (const value of [0, 9, 65_535]) assert.equal(readOrientation(orientationTiff(value)), 1);
    for (let length = 0; length < 20; length += 1)
      assert.equal(readOrientation(orientationTiff(6).subarray(0, length)), 1, `${length} bytes`);
    assert.equal(
      changed((tiff) => tiff.write('XX')),
      1,
    );
    for (const directory of [0, 25, 26, 2 ** 32 - 1])
      assert.equal(
        changed((tiff) => tiff.writeUInt32LE(directory, 4)),
        1,
      );
    // The directory claims more entries than it has, and has no orientation.
    assert.equal(
      changed((tiff) => tiff.writeUInt16LE(65_535, 8) && tiff.writeUInt16LE(0x0100, 10)),
      1,
    );
  });
});
