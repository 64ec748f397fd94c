/**
 * A transparent animation says so in its header, at every size.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { openStudio, type Studio } from './studio.ts';

let studio: Studio;

before(async () => {
  studio = await openStudio();
});
after(() => studio.close());

const [WIDTH, HEIGHT, FRAMES] = [40, 30, 3];

/** An animation. `opaque` says which pixels of a frame have a colour. The others are transparent. */
async function animation(opaque: (frame: number, x: number) => boolean, lossless: boolean): Promise<Buffer> {
  const pixels = Buffer.alloc(WIDTH * HEIGHT * FRAMES * 4);
  for (let row = 0; row < HEIGHT * FRAMES; row += 1) {
    const frame = Math.floor(row / HEIGHT);
    for (let x = 0; x < WIDTH; x += 1)
      if (opaque(frame, x)) pixels.set([255 - frame * 60, frame * 80, 0, 255], (row * WIDTH + x) * 4);
  }
  const raw = { width: WIDTH, height: HEIGHT * FRAMES, channels: 4 as const, pageHeight: HEIGHT };
  return sharp(pixels, { raw }).webp({ lossless }).toBuffer();
}

function hasAlphaFlag(webp: Buffer): boolean {
  assert.equal(webp.toString('latin1', 12, 16), 'VP8X');
  return (webp.readUInt8(20) & 0x10) !== 0;
}

const KINDS: Readonly<Record<string, (frame: number, x: number) => boolean>> = {
  'of which the frames cover a half': (_, x) => x < 20,
  'of which the parts move': (frame, x) => Math.floor(x / 13) === frame,
  'of which only the first frame is full': (frame, x) => frame === 0 || x < 20,
};

describe('an animation', () => {
  for (const [kind, opaque] of Object.entries(KINDS)) {
    test(`${kind} keeps its transparency`, async () => {
      for (const lossless of [false, true]) {
        const original = await animation(opaque, lossless);
        for (const width of [0, 20, 80]) {
          const rendition = await studio.render(original, 'webp', { width });
          assert.ok(hasAlphaFlag(rendition), `${width}`);
          for (let page = 0; page < FRAMES; page += 1) {
            const { data, info } = await sharp(rendition, { page })
              .raw()
              .toBuffer({ resolveWithObject: true });
            assert.equal(info.channels, 4);
            for (const place of [0.1, 0.4, 0.9]) {
              const x = Math.floor(place * info.width);
              const alpha = data[(Math.floor(info.height / 2) * info.width + x) * 4 + 3] ?? 0;
              const expected = opaque(page, Math.floor(place * WIDTH)) ? 255 : 0;
              assert.ok(Math.abs(alpha - expected) <= 20, `frame ${page}, ${place}: alpha ${alpha}`);
            }
          }
        }
      }
    });
  }

  test('without transparency has no alpha flag', async () => {
    const original = await animation(() => true, false);
    assert.equal(hasAlphaFlag(await studio.render(original, 'webp')), false);
  });
});
