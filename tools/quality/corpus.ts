/**
 * Makes the pictures on which the encoders and the classification of pictures are measured. The drawings are
 * made by Chromium. The photographs come from pinned Python packages, and from a folder if one is given.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { launchBrowser } from '../../packages/server/test/support/browser.ts';
import { drawings, seeded } from './drawings.ts';
import type { Content } from './settings.ts';

/** One picture of the corpus. */
export interface Picture {
  readonly name: string;
  readonly kind: string;
  /** What a person would say it is. */
  readonly label: Content;
  /** A file in PNG, JPEG or WebP. */
  readonly bytes: Buffer;
  readonly format: 'png' | 'jpeg' | 'webp';
}

/** The photographs in the packages, and their kinds. */
const PACKAGED: Readonly<Record<string, string>> = {
  'astronaut.png': 'portrait',
  'grace_hopper.jpg': 'portrait',
  'chelsea.png': 'animal',
  'coffee.png': 'still life',
  'china.jpg': 'landscape',
  'flower.jpg': 'flower',
  'rocket.jpg': 'landscape',
  'motorcycle_left.png': 'interior',
  'camera.png': 'grey photograph',
  'coins.png': 'grey photograph',
  'moon.png': 'grey photograph, smooth',
  'clock_motion.png': 'grey photograph, smooth',
  'brick.png': 'texture, grey',
  'grass.png': 'texture, grey',
  'gravel.png': 'texture, grey',
  'hubble_deep_field.jpg': 'night sky',
  'retina.jpg': 'photograph on black',
  'ihc.png': 'microscope',
  'cell.png': 'microscope, grey',
  'page.png': 'photograph of text',
  'text.png': 'photograph of text',
};

/** The folders of the packages. Absent: that of scikit-image. */
const FOLDERS: Readonly<Record<string, string>> = {
  'grace_hopper.jpg': 'matplotlib/mpl-data/sample_data',
  'china.jpg': 'sklearn/datasets/images',
  'flower.jpg': 'sklearn/datasets/images',
};

/** Makes all pictures. `packages`: the unpacked packages of pictures.txt. `photos`: more photographs. */
export async function makeCorpus(packages: string, photos?: string): Promise<Picture[]> {
  const pictures: Picture[] = [];
  const add = async (name: string, kind: string, label: Content, image: Buffer | Sharp) => {
    const bytes = Buffer.isBuffer(image) ? image : await image.toBuffer();
    const { format } = await sharp(bytes).metadata();
    if (format !== 'png' && format !== 'jpeg' && format !== 'webp') throw new Error(`${name} is ${format}`);
    pictures.push({ name, kind, label, bytes, format });
  };
  const read = (file: string) => readFile(join(packages, FOLDERS[file] ?? 'skimage/data', file));
  const drawn = await draw(
    await sharp(await read('china.jpg'))
      .jpeg({ quality: 92 })
      .toBuffer(),
  );
  for (const [name, { kind, png }] of drawn) await add(name, kind, 'graphic', png);
  for (const [name, kind, image] of await graphicsFrom((name) => drawn.get(name)?.png ?? missing(name), read))
    await add(name, kind, 'graphic', image);
  for (const [file, kind] of Object.entries(PACKAGED))
    await add(basename(file, extname(file)), kind, 'photo', await read(file));
  for (const [name, kind, image] of await photographsFrom(
    read,
    (name) => drawn.get(name)?.png ?? missing(name),
  ))
    await add(name, kind, 'photo', image);
  if (photos !== undefined) {
    const files = (await readdir(photos)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();
    for (const [index, file] of files.entries())
      await add(`own-${index + 1}`, 'given photograph', 'photo', await readFile(join(photos, file)));
  }
  return pictures;
}

function missing(name: string): never {
  throw new Error(`there is no drawing ${name}`);
}

type Entry = readonly [name: string, kind: string, image: Buffer | Sharp];

/** Drawings in other forms: other formats, palettes, one bit, scans. */
async function graphicsFrom(
  drawn: (name: string) => Buffer,
  read: (file: string) => Promise<Buffer>,
): Promise<Entry[]> {
  const palette = (image: Buffer, dither = 0, colours = 256) =>
    sharp(image).png({ palette: true, colours, dither, effort: 10, compressionLevel: 9 });
  const oneBit = (image: Buffer) =>
    sharp(image).removeAlpha().greyscale().threshold(140).png({ palette: true, colours: 2, dither: 0 });
  return [
    ['logo-jpeg', 'logo, JPEG', sharp(drawn('logo-flat')).jpeg({ quality: 85 })],
    ['logo-jpeg-low', 'logo, JPEG', sharp(drawn('logo-blue')).jpeg({ quality: 60 })],
    ['logo-webp', 'logo, WebP', sharp(drawn('logo-flat')).webp({ quality: 80 })],
    ['logo-webp-lossless', 'logo, WebP', sharp(drawn('logo-transparent')).webp({ lossless: true })],
    ['logo-palette', 'logo', palette(drawn('logo-flat'))],
    ['icon-sheet-palette', 'icon', palette(drawn('icon-sheet'))],
    ['chart-bars-palette', 'chart', palette(drawn('chart-bars'))],
    ['pixel-art-palette', 'pixel art', palette(drawn('pixel-art'))],
    ['circles-palette', 'flat shapes', palette(drawn('circles'))],
    ['comic-palette', 'comic', palette(drawn('comic'))],
    ['banner-dithered', 'gradient, dithered palette', palette(drawn('banner'), 1, 64)],
    ['line-drawing-1-bit', 'one bit', oneBit(drawn('line-drawing-large'))],
    ['fax', 'one bit', oneBit(drawn('text-columns'))],
    ['qr-1-bit', 'one bit', oneBit(drawn('qr'))],
    ['photo-1-bit', 'one bit', sharp(await read('camera.png')).png({ palette: true, colours: 2, dither: 1 })],
    ['text-scan-grey', 'text, scan', sharp(drawn('text-page')).greyscale().blur(0.8).linear(1.2, -20).png()],
    ['line-drawing-grey', 'line drawing', sharp(drawn('line-drawing')).greyscale().png()],
    ['text-jpeg', 'text, JPEG', sharp(drawn('text-page')).jpeg({ quality: 80 })],
    ['screen-jpeg', 'screenshot, JPEG', sharp(drawn('screen-light')).jpeg({ quality: 90 })],
    ['comic-jpeg', 'comic, JPEG', sharp(drawn('comic')).jpeg({ quality: 85 })],
  ];
}

/** Photographs in forms that resemble graphics, and the other way round. */
async function photographsFrom(
  read: (file: string) => Promise<Buffer>,
  drawn: (name: string) => Buffer,
): Promise<Entry[]> {
  const [china, flower, coffee, astronaut, chelsea, hopper] = await Promise.all(
    ['china.jpg', 'flower.jpg', 'coffee.png', 'astronaut.png', 'chelsea.png', 'grace_hopper.jpg'].map(read),
  );
  if (!(china && flower && coffee && astronaut && chelsea && hopper)) throw new Error('unreachable');
  const large = await sharp(flower)
    .resize(3_000, 2_000, { fit: 'fill', kernel: 'mitchell' })
    .raw()
    .toBuffer();
  const raw = { raw: { width: 3_000, height: 2_000, channels: 3 as const } };
  return [
    ['photo-jpeg-low', 'photograph, JPEG quality 50', sharp(china).jpeg({ quality: 50 })],
    ['photo-webp', 'photograph, WebP', sharp(coffee).webp({ quality: 82 })],
    ['photo-palette', 'photograph, dithered palette', sharp(coffee).png({ palette: true, dither: 1 })],
    [
      'photo-palette-16',
      'photograph, palette of 16',
      sharp(astronaut).png({ palette: true, colours: 16, dither: 0 }),
    ],
    ['product-on-white', 'product on white', await product(coffee, 1_200, 0.5)],
    ['product-small-on-white', 'product on white', await product(hopper, 1_600, 0.22)],
    [
      'product-png',
      'product on white',
      await sharp(await product(chelsea, 1_000, 0.4))
        .png()
        .toBuffer(),
    ],
    ['cut-out', 'cut-out, transparent', await cutOut(coffee)],
    ['night', 'night, noisy', await addNoise(sharp(china).linear(0.16, 2), 7)],
    ['night-clipped', 'night, clipped to black', sharp(china).linear(0.4, -30).jpeg({ quality: 88 })],
    ['sky-clipped', 'overexposed', sharp(china).linear(1.9, -20).jpeg({ quality: 90 })],
    [
      'high-contrast',
      'black and white, clipped',
      sharp(hopper).greyscale().linear(4, -300).jpeg({ quality: 90 }),
    ],
    ['noisy', 'noisy photograph', await addNoise(sharp(coffee), 22)],
    ['blurred', 'out of focus', sharp(flower).blur(9).png()],
    ['large-with-grain', 'large photograph', await addNoise(sharp(large, raw), 6)],
    ['large-smooth', 'enlarged, PNG', sharp(large, raw).png({ compressionLevel: 6 })],
    [
      'framed',
      'photograph with a white frame',
      sharp(flower).extend({ top: 200, bottom: 260, left: 200, right: 200, background: '#fff' }).png(),
    ],
    [
      'captioned',
      'photograph with a caption',
      sharp(chelsea)
        .extend({ top: 60, background: '#fff' })
        .composite([{ input: await sharp(drawn('logo-blue')).resize(180).toBuffer(), left: 10, top: 6 }])
        .png(),
    ],
    [
      'scan-noisy',
      'text, noisy scan',
      await addNoise(sharp(drawn('text-page')).linear(0.8, 40).blur(0.7), 5),
    ],
    ['clouds', 'generated', await clouds(1_200, 800)],
    ['render', 'generated, smooth', await spheres(1_000, 700)],
  ];
}

/** A picture cut out as an ellipse, with a soft shadow, on exact white; JPEG. */
async function product(photo: Buffer, side: number, share: number): Promise<Buffer> {
  const inner = Math.round(side * share);
  const mask = Buffer.from(
    `<svg width="${inner}" height="${inner}"><ellipse cx="50%" cy="50%" rx="49%" ry="46%"/></svg>`,
  );
  const cut = await sharp(photo)
    .resize(inner, inner, { fit: 'cover' })
    .ensureAlpha()
    .composite([{ input: mask, blend: 'dest-in' }])
    .png()
    .toBuffer();
  const shadow = Buffer.from(
    `<svg width="${side}" height="${side}"><defs><filter id="b"><feGaussianBlur stdDeviation="${side / 60}"/></filter></defs><ellipse cx="50%" cy="${50 + share * 48}%" rx="${share * 42}%" ry="${share * 7}%" fill="#0007" filter="url(#b)"/></svg>`,
  );
  return sharp({ create: { width: side, height: side, channels: 3, background: '#fff' } })
    .composite([{ input: shadow }, { input: cut }])
    .jpeg({ quality: 90 })
    .toBuffer();
}

async function cutOut(photo: Buffer): Promise<Buffer> {
  const mask = Buffer.from('<svg width="600" height="400"><circle cx="300" cy="200" r="180"/></svg>');
  return sharp(photo)
    .ensureAlpha()
    .composite([{ input: mask, blend: 'dest-in' }])
    .png()
    .toBuffer();
}

/** Adds noise with this standard deviation, and encodes as JPEG 92. */
async function addNoise(image: Sharp, sigma: number): Promise<Buffer> {
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const random = seeded(7);
  for (let at = 0; at < data.length; at += 1) {
    const noise = (random() + random() + random() + random() - 2) * Math.sqrt(3) * sigma;
    data[at] = Math.max(0, Math.min(255, Math.round((data[at] ?? 0) + noise)));
  }
  return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } })
    .jpeg({ quality: 92 })
    .toBuffer();
}

/** Noise in octaves, as a bank of clouds. */
async function clouds(width: number, height: number): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  const random = seeded(3);
  const waves = Array.from({ length: 60 }, (_, index) => {
    const scale = 0.004 * 1.11 ** index;
    return {
      x: (random() - 0.5) * scale,
      y: (random() - 0.5) * scale,
      at: random() * 7,
      size: 1 / (1 + index * 0.2),
    };
  });
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      let value = 0;
      for (const wave of waves) value += Math.sin(x * wave.x * 6 + y * wave.y * 6 + wave.at) * wave.size;
      const at = (y * width + x) * 3;
      const level = 150 + value * 9;
      for (const [channel, tint] of [0.85, 0.95, 1.1].entries())
        data[at + channel] = Math.max(0, Math.min(255, level * tint + (random() - 0.5) * 6));
    }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 92 })
    .toBuffer();
}

/** Shaded spheres on a shaded ground, without noise: what a renderer gives. */
async function spheres(width: number, height: number): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  const random = seeded(4);
  const balls = Array.from({ length: 9 }, () => ({
    x: random() * width,
    y: height * (0.3 + random() * 0.6),
    r: 40 + random() * 120,
    colour: [random(), random(), random()],
  }));
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const at = (y * width + x) * 3;
      const shade = 90 + (y / height) * 120 + Math.sin(x / 90) * 8;
      let colour = [shade, shade * 0.97, shade * 0.9];
      for (const ball of balls) {
        const dx = (x - ball.x) / ball.r;
        const dy = (y - ball.y) / ball.r;
        const inside = 1 - dx * dx - dy * dy;
        if (inside <= 0) continue;
        const light = Math.max(0, Math.sqrt(inside) * 0.6 - dx * 0.5 - dy * 0.6);
        colour = ball.colour.map((c) => 20 + c * 200 * light + 255 * light ** 12 * 0.6);
      }
      for (const [channel, value] of colour.entries()) data[at + channel] = Math.max(0, Math.min(255, value));
    }
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

async function draw(photo: Buffer): Promise<Map<string, { kind: string; png: Buffer }>> {
  const browser = await launchBrowser();
  if (browser === undefined) throw new Error('the corpus needs Chromium');
  const drawn = new Map<string, { kind: string; png: Buffer }>();
  try {
    const sheets = drawings(`data:image/jpeg;base64,${photo.toString('base64')}`);
    for (const [name, drawing] of Object.entries(sheets)) {
      const { width, height, html } = drawing;
      const page = await browser.newPage({
        viewport: { width, height },
        deviceScaleFactor: drawing.scale ?? 1,
      });
      await page.setContent(`<!doctype html><style>body{margin:0}</style>${html}`);
      const transparent = drawing.transparent === true;
      const shot = await page.screenshot({ omitBackground: transparent });
      await page.close();
      // Chromium compresses little. Authors save with the filters and the effort of a normal program.
      const image = transparent ? sharp(shot) : sharp(shot).removeAlpha();
      const filtered = await image.clone().png({ compressionLevel: 9, adaptiveFiltering: true }).toBuffer();
      const plain = await image.clone().png({ compressionLevel: 9 }).toBuffer();
      drawn.set(name, { kind: drawing.kind, png: plain.length < filtered.length ? plain : filtered });
    }
  } finally {
    await browser.close();
  }
  return drawn;
}
