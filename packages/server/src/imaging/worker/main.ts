/**
 * The worker process: the only place that decodes and encodes pixels. Runs one task at a time for the pool, with
 * sharp set up for bytes that are not trusted. Refuses to know queues, records and HTTP, and what the tasks do.
 *
 * Started by child.ts with its memory limit in bytes as its argument.
 */
import sharp from 'sharp';
import { Refusal } from '../formats/limits.ts';
import { ingest } from './ingest.ts';
import type { Answer, Task, WorkerMessage } from './messages.ts';
import { render } from './render.ts';

/** The first libvips without the holes of 2026 that pictures can reach. */
const MIN_VIPS = [8, 18, 3] as const;

const MEMORY_CHECK_MS = 25;

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

async function answer(task: Task): Promise<Answer> {
  try {
    const result = task.kind === 'ingest' ? await ingest(task.path) : await render(task.path, task.plan);
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
