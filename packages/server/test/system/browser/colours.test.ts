/**
 * Renditions have the colours that Chromium shows for their originals.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import * as files from '../../imaging/colour-files.ts';
import { middleOf, openStudio, type Studio } from '../../imaging/studio.ts';
import { launchBrowser } from '../../support/browser.ts';
import { createRandom } from '../../support/pictures.ts';

let browser: Browser | undefined;
let studio: Studio;

before(async () => {
  [browser, studio] = await Promise.all([launchBrowser(), openStudio()]);
});
after(async () => {
  await browser?.close();
  await studio.close();
});

/** Draws the PNGs on a canvas of sRGB, and takes the pixel in the middle of each. */
const DRAW = `(sources) => Promise.all(sources.map(async (source) => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + source;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [...context.getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data];
}))`;

async function drawAll(pngs: readonly Buffer[]): Promise<number[][]> {
  const page = await browser?.newPage();
  assert.ok(page !== undefined);
  const sources = JSON.stringify(pngs.map((png) => png.toString('base64')));
  return (await page.evaluate(`(${DRAW})(${sources})`)) as number[][];
}

const random = createRandom(45);

/** Three values that are the same in 8 and in 16 bits. Chromium takes only 8 of the 16. */
function randomPixel(): number[] {
  return Array.from({ length: 3 }, () => Math.round(25 + 230 * random()) / 255);
}

interface Case {
  readonly what: string;
  readonly chunks: readonly Buffer[];
  /** The largest difference of a channel. */
  readonly tolerance: number;
}

function coded(primaries: number, curve: number, tolerance: number): Case {
  return { what: `cICP ${primaries} ${curve}`, chunks: [files.cICP(primaries, curve)], tolerance };
}

const CASES: readonly Case[] = [
  ...[1, 4, 5, 6, 7, 8, 9, 11, 12, 22].map((primaries) => coded(primaries, 13, 2)),
  ...[1, 4, 5, 6, 7, 8, 11, 14, 15, 17].map((curve) => coded(12, curve, 2)),
  // PQ and HLG: between the points of the table, saturated colours are less exact.
  ...[1, 9, 12].flatMap((primaries) => [coded(primaries, 16, 8), coded(primaries, 18, 8)]),
  ...[0.2, 0.42, 0.44, 0.45455, 0.47, 0.49, 0.7, 1, 1.8].flatMap((gamma) =>
    [[], [files.cHRM(...files.BT709)], [files.cHRM(...files.BT2020)], [files.cHRM(...files.DISPLAY_P3)]].map(
      (places, i) => ({
        what: `gAMA ${gamma}, cHRM ${i}`,
        chunks: [files.gAMA(gamma), ...places],
        tolerance: 2,
      }),
    ),
  ),
  { what: 'sRGB', chunks: [files.sRGB()], tolerance: 0 },
];

describe('renditions', () => {
  test('have the colours that Chromium shows', async (t) => {
    if (browser === undefined) return t.skip('Chromium is not installed');
    const all = CASES.flatMap(({ what, chunks, tolerance }) => {
      const [red = 0, green = 0, blue = 0] = randomPixel();
      return ([8, 16] as const).flatMap((depth) =>
        (['rgb', 'grey'] as const).map((kind) => {
          const pixel = kind === 'rgb' ? [red, green, blue] : [green];
          const file = files.flatPng({ kind, depth, pixel, chunks });
          return { what: `${what}, ${kind} of ${depth} bits, ${pixel}`, file, tolerance };
        }),
      );
    });
    const drawn = await drawAll(all.map(({ file }) => file));
    const faults: string[] = [];
    let worst = 0;
    for (const [i, { what, file, tolerance }] of all.entries()) {
      const shown = drawn[i] ?? [];
      const ours = await middleOf(await studio.render(file, 'png'));
      const difference = Math.max(...ours.slice(0, 3).map((value, k) => Math.abs(value - (shown[k] ?? 0))));
      worst = Math.max(worst, difference);
      if (difference > tolerance) faults.push(`${what}: ${ours} is not ${shown}`);
    }
    t.diagnostic(`${all.length} pictures, largest difference ${worst}`);
    assert.deepEqual(faults, []);
  });
});
