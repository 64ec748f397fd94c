/**
 * Ingests and renders pictures with real workers, as uploads and deliveries do.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { isAppError } from '../../src/errors.ts';
import type { OutputFormat } from '../../src/image.ts';
import { type Plan, planRendition, type Transform } from '../../src/imaging/plan.ts';
import { createPool } from '../../src/imaging/pool/pool.ts';
import type { IngestResult } from '../../src/imaging/processor.ts';

export interface Studio {
  ingest(picture: Buffer): Promise<IngestResult>;
  /** Ingests the picture and fails if it is accepted. Returns the reason. */
  refusal(picture: Buffer): Promise<string>;
  /** Renders from the original. The size is the picture's own unless the transform says otherwise. */
  render(picture: Buffer, format: OutputFormat, transform?: Partial<Transform>): Promise<Buffer>;
  /** Renders from each rung of the picture. Fails if it has none. */
  renderFromRungs(picture: Buffer, format: OutputFormat, transform: Partial<Transform>): Promise<Buffer[]>;
  close(): Promise<void>;
}

export async function openStudio(): Promise<Studio> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-studio-'));
  const pool = createPool({ size: 2, deadlineMs: 60_000 });
  let files = 0;

  async function store(bytes: Uint8Array): Promise<string> {
    files += 1;
    const path = join(folder, String(files));
    await writeFile(path, bytes);
    return path;
  }

  async function ingest(picture: Buffer): Promise<IngestResult> {
    return pool.ingest(await store(picture));
  }

  function planFor(
    { inspection }: IngestResult,
    format: OutputFormat,
    transform: Partial<Transform> = {},
  ): Plan {
    const whole: Transform = { width: 0, height: 0, fit: 'cover', position: 'center', dpr: 1 };
    return planRendition({ ...whole, ...transform }, inspection, format);
  }

  return {
    ingest,
    refusal: (picture) =>
      ingest(picture).then(
        () => assert.fail('the picture was accepted'),
        (error: unknown) => {
          assert.ok(isAppError(error, 'invalid-image'), String(error));
          return error.fields?.image ?? assert.fail('no reason');
        },
      ),
    async render(picture, format, transform) {
      const path = await store(picture);
      const plan = planFor(await pool.ingest(path), format, transform);
      return Buffer.from((await pool.render(path, plan)).bytes);
    },
    async renderFromRungs(picture, format, transform) {
      const result = await ingest(picture);
      assert.ok(result.rungs.length > 0, result.ladderError ?? 'the picture has no rungs');
      const plan = planFor(result, format, transform);
      return Promise.all(
        result.rungs.map(async ({ bytes }) =>
          Buffer.from((await pool.render(await store(bytes), plan)).bytes),
        ),
      );
    },
    async close() {
      await pool.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The pixel in the middle of a picture: red, green, blue, and alpha if the file has it. */
export async function middleOf(file: Uint8Array): Promise<number[]> {
  const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
  const at = (Math.floor(info.height / 2) * info.width + Math.floor(info.width / 2)) * info.channels;
  return [...data.subarray(at, at + info.channels)];
}
