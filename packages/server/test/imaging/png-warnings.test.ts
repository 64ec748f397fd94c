/**
 * Oddities of PNG that cost no pixel are accepted, as browsers show them. Damage is refused.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import * as pictures from '../support/pictures.ts';
import { damaged } from './colour-files.ts';
import { openStudio, type Studio } from './studio.ts';

let studio: Studio;

before(async () => {
  studio = await openStudio();
});
after(() => studio.close());

const WIDTH = 24;
const HEIGHT = 300;

/** Rows of one byte per channel, each with a filter byte. */
function rowsOf(channels: number, value: (x: number, y: number) => number): Buffer {
  return Buffer.concat(
    Array.from({ length: HEIGHT }, (_, y) =>
      Buffer.from([0, ...Array.from({ length: WIDTH * channels }, (_, x) => value(x, y))]),
    ),
  );
}

/** They repeat at a distance of more than 256 bytes. */
const ROWS = rowsOf(3, (x, y) => (x * 37 + (y % 20) * 91) % 256);
const ZLIB = deflateSync(ROWS, { level: 9 });
const INDEXES = deflateSync(rowsOf(1, (x) => x % 8));
const COLOURS = Buffer.from(Array.from({ length: 24 }, (_, i) => i * 10));

const idat = (body: Uint8Array) => pictures.pngChunk('IDAT', body);
const header = (colour = 2) => pictures.pngHeader(WIDTH, HEIGHT, 8, colour);
const plte = (body: Uint8Array) => pictures.pngChunk('PLTE', body);

async function assertSame(file: Buffer, plain: Buffer, what: string): Promise<void> {
  const rendition = await studio
    .render(file, 'png')
    .catch((error: unknown) => assert.fail(`${what}: ${error}`));
  const expected = await sharp(plain).removeAlpha().raw().toBuffer();
  assert.ok(
    (await sharp(rendition).removeAlpha().raw().toBuffer()).equals(expected),
    `${what}: other pixels`,
  );
}

describe('a PNG', () => {
  test('is accepted with the same pixels if its oddities cost none', async () => {
    const plain = pictures.pngOf(header(), idat(ZLIB));
    const smallWindow = Buffer.from(ZLIB);
    smallWindow.writeUInt16BE(0x081d, 0);
    assert.equal(0x081d % 31, 0);
    const wrongEnd = damaged(plain);
    const files: Readonly<Record<string, Buffer>> = {
      'a window of zlib that is too small': pictures.pngOf(header(), idat(smallWindow)),
      'bytes behind the rows': pictures.pngOf(header(), idat(Buffer.concat([ZLIB, Buffer.alloc(20, 7)]))),
      'a chunk behind the rows': pictures.pngOf(header(), idat(ZLIB), idat(Buffer.alloc(9, 7))),
      'too many rows': pictures.pngOf(header(), idat(deflateSync(Buffer.concat([ROWS, ROWS])))),
      'chunks of one byte': pictures.pngOf(header(), ...[...ZLIB].map((byte) => idat(Buffer.from([byte])))),
      'empty chunks': pictures.pngOf(header(), idat(Buffer.alloc(0)), idat(ZLIB), idat(Buffer.alloc(0))),
      'text between rows': pictures.pngOf(
        header(),
        idat(ZLIB.subarray(0, 50)),
        pictures.pngChunk('tEXt', Buffer.from('a\0b')),
        idat(ZLIB.subarray(50)),
      ),
      'a damaged text': pictures.pngOf(
        header(),
        damaged(pictures.pngChunk('tEXt', Buffer.from('a\0b'))),
        idat(ZLIB),
      ),
      'no end': plain.subarray(0, -12),
      'a damaged end': wrongEnd,
      'bytes behind the end': Buffer.concat([plain, Buffer.from('trailer')]),
      'a palette in RGB': pictures.pngOf(header(), plte(Buffer.alloc(4)), idat(ZLIB)),
      'damaged transparency': pictures.pngOf(
        header(),
        damaged(pictures.pngChunk('tRNS', Buffer.alloc(6))),
        idat(ZLIB),
      ),
      'transparency of a wrong length': pictures.pngOf(
        header(),
        pictures.pngChunk('tRNS', Buffer.alloc(5)),
        idat(ZLIB),
      ),
    };
    for (const [what, file] of Object.entries(files)) await assertSame(file, plain, what);
    const palette = pictures.pngOf(header(3), plte(COLOURS), idat(INDEXES));
    const rest = plte(Buffer.concat([COLOURS, Buffer.from([1])]));
    await assertSame(pictures.pngOf(header(3), rest, idat(INDEXES)), palette, 'a palette with a rest');
  });

  test('is refused if its rows are damaged', async () => {
    const wrongSum = Buffer.from(ZLIB);
    wrongSum.writeUInt8(wrongSum.readUInt8(wrongSum.length - 1) ^ 1, wrongSum.length - 1);
    const small = Buffer.from(ZLIB);
    small.writeUInt16BE(0x081d, 0);
    const files: Readonly<Record<string, Buffer>> = {
      'a wrong checksum of zlib': pictures.pngOf(header(), idat(wrongSum)),
      'no checksum of zlib': pictures.pngOf(header(), idat(ZLIB.subarray(0, -4))),
      'a wrong checksum of the chunk': pictures.pngOf(header(), damaged(idat(ZLIB))),
      'a small window and a wrong checksum of the chunk': pictures.pngOf(header(), damaged(idat(small))),
      'a row too few': pictures.pngOf(header(), idat(deflateSync(ROWS.subarray(0, -73)))),
      'a byte too few': pictures.pngOf(header(), idat(deflateSync(ROWS.subarray(0, -1)))),
      'a damaged palette with a rest': pictures.pngOf(
        header(3),
        damaged(plte(Buffer.concat([COLOURS, Buffer.from([1])]))),
        idat(INDEXES),
      ),
    };
    for (const [what, file] of Object.entries(files))
      assert.match(await studio.refusal(file), /damaged|incomplete/, what);
  });
});
