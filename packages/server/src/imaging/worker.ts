/**
 * The worker process: the only place that decodes and encodes pixels, and the only one that imports sharp. Runs one
 * task at a time for the pool. Refuses to know queues, records and HTTP; trusts no byte of the pictures it reads.
 *
 * Started by child.ts with its memory limit in bytes as its argument.
 */
import { open } from 'node:fs/promises';
import sharp, { type OutputInfo, type Sharp, type SharpOptions } from 'sharp';
import { MAX_ORIGINAL_BYTES } from '../image.ts';
import { walkPicture } from './formats.ts';
import { MAX_PIXELS, type PictureFacts, Refusal, type Walked } from './limits.ts';
import type { Answer, Task, WorkerMessage } from './messages.ts';
import type { Plan } from './plan.ts';
import type { Inspection, Rendition } from './processor.ts';

/** The first libvips without the holes of 2026 that pictures can reach. */
const MIN_VIPS = [8, 18, 3] as const;

const MEMORY_CHECK_MS = 25;

/** Side of the thumbnail that a full decode is funnelled into. */
const FUNNEL = 16;

const WHITE = { r: 255, g: 255, b: 255 };

const NAMES = { png: 'PNG', jpeg: 'JPEG', webp: 'WebP' } as const;

function prepareSharp(): void {
  const version = (sharp.versions.vips ?? '').split('.').map(Number);
  for (const [i, least] of MIN_VIPS.entries()) {
    const part = version[i] ?? 0;
    if (part > least) break;
    if (part < least)
      throw new Error(`libvips ${MIN_VIPS.join('.')} or newer is needed, not ${sharp.versions.vips}`);
  }
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'],
  });
  sharp.cache(false);
  // There is one worker for each core.
  sharp.concurrency(1);
}

async function readPicture(path: string): Promise<Walked> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > MAX_ORIGINAL_BYTES)
      throw new Refusal(`it has ${size} bytes: at most ${MAX_ORIGINAL_BYTES} are accepted`);
    return walkPicture(await handle.readFile());
  } finally {
    await handle.close();
  }
}

function openPicture(picture: Walked, options: SharpOptions): Sharp {
  return sharp(picture.bytes, { ...options, limitInputPixels: MAX_PIXELS, failOn: 'warning' });
}

/** For a decode that looks for errors and transparency: what the colours mean is not converted, which costs more. */
function openForInspection(picture: Walked): Sharp {
  const image = openPicture(picture, { animated: picture.facts.frames > 1, ignoreIcc: true });
  return picture.facts.cmyk ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image;
}

async function inspect(path: string): Promise<Inspection> {
  const picture = await readPicture(path);
  const { format, facts } = picture;
  const transparent = facts.alpha ? await hasTransparentPixel(picture) : await decodeAll(picture);
  return { format, ...shownSize(facts), frames: facts.frames, transparent };
}

/** Decodes every pixel, for the errors in it. An opaque picture, so: false. */
async function decodeAll(picture: Walked): Promise<false> {
  const { width, height, frames } = picture.facts;
  const image = openForInspection(picture);
  // Without the extract libjpeg would decode to a fraction of the size and not see what is wrong in between.
  if (frames === 1) image.extract({ left: 0, top: 0, width, height });
  await run(picture, image.resize(FUNNEL, FUNNEL, { fit: 'fill' }).raw());
  return false;
}

/** Decodes every pixel, for the errors in it and for one that is not fully opaque. */
async function hasTransparentPixel(picture: Walked): Promise<boolean> {
  const image = openForInspection(picture);
  const { data: alpha } = await run(
    picture,
    image.ensureAlpha().extractChannel('alpha').raw({ depth: 'uchar' }),
  );
  const opaque = Buffer.alloc(64 * 1024, 255);
  for (let at = 0; at < alpha.length; at += opaque.length) {
    const part = alpha.subarray(at, at + opaque.length);
    if (part.compare(opaque, 0, part.length) !== 0) return true;
  }
  return false;
}

async function render(path: string, plan: Plan): Promise<Rendition> {
  const picture = await readPicture(path);
  checkRegion(plan, picture.facts);
  let image = openPicture(picture, { animated: plan.animated });
  if (!plan.animated) image = image.autoOrient();
  if (plan.region !== undefined) image = image.extract(plan.region);
  image = image.resize(plan.width, plan.height, { fit: plan.fit, position: plan.position });
  if (plan.flatten) image = image.flatten({ background: WHITE });
  image = encode(image.toColourspace('srgb'), plan);
  const { data, info } = await run(picture, image);
  const height = plan.animated ? (info.pageHeight ?? info.height) : info.height;
  if (info.width !== plan.width || height !== plan.height) {
    throw new Error(`planned ${plan.width} x ${plan.height}, but it became ${info.width} x ${height}`);
  }
  return { bytes: data, format: plan.format, width: plan.width, height: plan.height };
}

/** A plan of another picture is the server's mistake, not the picture's. */
function checkRegion({ region }: Plan, facts: PictureFacts): void {
  if (region === undefined) return;
  const { width, height } = shownSize(facts);
  if (region.left + region.width > width || region.top + region.height > height) {
    throw new Error(`the plan's region is outside of a picture of ${width} x ${height}`);
  }
}

/** The size after the EXIF orientation is applied. */
function shownSize({ width, height, orientation }: PictureFacts): { width: number; height: number } {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

function encode(image: Sharp, plan: Plan): Sharp {
  switch (plan.format) {
    case 'webp':
      // Half the time of effort 4 for 3 % more bytes.
      return image.webp({ quality: plan.quality, effort: 2 });
    case 'jpeg':
      // mozjpeg would save a sixth of the bytes for nine times the time.
      return image.jpeg({ quality: plan.quality });
    case 'png':
      // Filters save a fifth of the bytes of photographs.
      return image.png({ compressionLevel: 6, adaptiveFiltering: true });
    case 'avif':
      // At the default effort a large one takes longer than any client waits.
      return image.avif({ quality: plan.quality, effort: 2 });
  }
}

/** Runs the pipeline. Whatever libvips throws while it works on a walked picture is the picture's fault. */
async function run(picture: Walked, image: Sharp): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    return await image.toBuffer({ resolveWithObject: true });
  } catch (error) {
    throw new Refusal(`the ${NAMES[picture.format]} data is damaged: it does not decode completely`, {
      cause: error,
    });
  }
}

async function answer(task: Task): Promise<Answer> {
  try {
    const result = task.kind === 'inspect' ? await inspect(task.path) : await render(task.path, task.plan);
    return { kind: 'done', result };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', reason: error.message };
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

function say(message: WorkerMessage, then: () => void = () => {}): void {
  process.send?.(message, undefined, undefined, then);
}

function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Tells the parent and ends this process if it holds more than the limit. libvips works in other threads meanwhile. */
function checkMemory(limit: number): void {
  const rss = process.memoryUsage.rss();
  if (rss > limit) say({ kind: 'memory', rss }, end);
}

function serve(memoryLimitBytes: number): void {
  process.on('message', (message) => {
    const watch = setInterval(checkMemory, MEMORY_CHECK_MS, memoryLimitBytes);
    // Only ever the pool speaks on this channel.
    void answer(message as Task).then((result) => {
      clearInterval(watch);
      say({ kind: 'answer', answer: result });
    });
  });
  // The parent is gone, however it went: nobody waits for the task.
  process.on('disconnect', end);
  // A terminal sends these to every process of its group; the parent decides when a worker ends.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  say({ kind: 'ready' });
}

prepareSharp();
serve(Number(process.argv[2]));
