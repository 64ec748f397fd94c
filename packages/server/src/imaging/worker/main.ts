/**
 * The worker process: it decodes and encodes pictures for the pool, one task at a time. The server never runs
 * sharp in its own process, because the bytes of pictures are not trusted.
 *
 * pool/worker-process.ts starts it, with the memory limit in bytes as the argument.
 */
import sharp from 'sharp';
import { Refusal } from '../formats/limits.ts';
import { ingest } from './ingest.ts';
import type { Answer, Task, WorkerMessage } from './messages.ts';
import { renderFile } from './render-file.ts';

/** The first libvips without the security holes of 2026 that pictures can reach. */
const MIN_VIPS = [8, 18, 3] as const;

const MEMORY_CHECK_MS = 25;

function prepareSharp(): void {
  const version = (sharp.versions.vips ?? '').split('.').map(Number);
  for (const [i, least] of MIN_VIPS.entries()) {
    const part = version[i] ?? 0;
    if (part > least) break;
    if (part < least)
      throw new Error(
        `libvips is ${sharp.versions.vips}: version ${MIN_VIPS.join('.')} or newer is required`,
      );
  }
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'],
  });
  sharp.cache(false);
  // The pool starts one worker for each core.
  sharp.concurrency(1);
}

async function runTask(task: Task): Promise<Answer> {
  try {
    const result = task.kind === 'ingest' ? await ingest(task.path) : await renderFile(task);
    return { kind: 'done', result };
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'refused', reason: error.message };
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

function send(message: WorkerMessage, onSent: () => void = () => {}): void {
  process.send?.(message, undefined, undefined, onSent);
}

function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Reports and ends this process if it holds more than the limit. The timer runs while libvips works. */
function checkMemory(limit: number): void {
  const rss = process.memoryUsage.rss();
  if (rss > limit) send({ kind: 'memory', rss }, killSelf);
}

function serveTasks(memoryLimitBytes: number): void {
  process.on('message', (message) => {
    const memoryTimer = setInterval(checkMemory, MEMORY_CHECK_MS, memoryLimitBytes);
    // Only the pool sends messages on this channel, so the cast is safe.
    void runTask(message as Task).then((answer) => {
      clearInterval(memoryTimer);
      send({ kind: 'answer', answer });
    });
  });
  // The parent has ended, so the result of the task is no longer needed.
  process.on('disconnect', killSelf);
  // A terminal sends these signals to every process of its group. The parent decides when a worker ends.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  send({ kind: 'ready' });
}

prepareSharp();
serveTasks(Number(process.argv[2]));
