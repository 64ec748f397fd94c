/**
 * Owns the multipart form of upload and update: which parts there may be and what they mean. The file goes through as
 * a stream; nothing of it is kept in memory. Refuses to know what becomes of it.
 */
import type { Readable } from 'node:stream';
import { Busboy, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import type { StagedBlob } from '../../blobs/staging.ts';
import { AppError, type FieldErrors } from '../../errors.ts';
import { type Description, parseAltText, parseFocalPoint } from '../../image.ts';

/** The largest metadata part, in bytes. */
const MAX_METADATA_BYTES = 64 * 1024;
/** Parts of any name. Two have a meaning. */
const MAX_PARTS = 16;
export interface UploadForm {
  /** The received file; whoever gets the form discards it. */
  readonly file: StagedBlob;
  /** Absent if the form has no metadata part. */
  readonly description?: Description;
}

/** @throws AppError `invalid-request` if the request does not say that it is a multipart form. */
export function requireMultipart(contentType: string | undefined): void {
  if (!/^multipart\/form-data\s*;.*boundary=./is.test(contentType ?? '')) {
    throw new AppError('invalid-request', 'the body must be multipart/form-data with an image part');
  }
}

/**
 * Reads a form to its end.
 * @param receive takes the file in as it streams.
 * @throws AppError `invalid-request` (not a well-formed form, two `image` parts, metadata that is not JSON),
 * `invalid-image` (no `image` part, wrong metadata), or what `receive` throws. Nothing is left behind then.
 */
export async function readUploadForm(
  request: FastifyRequest,
  body: Readable,
  receive: (file: Readable) => Promise<StagedBlob>,
): Promise<UploadForm> {
  const { image, metadata } = await readParts(request, body, receive);
  try {
    const said = metadata === undefined ? undefined : readMetadata(metadata);
    const fields = {
      ...(!image && { image: 'a file part named "image" is required' }),
      ...(said?.ok === false && said.fields),
    };
    if (!image || said?.ok === false) {
      throw new AppError('invalid-image', Object.values(fields).join('; '), { fields });
    }
    return { file: image, ...(said && { description: said.description }) };
  } catch (error) {
    await image?.discard();
    throw error;
  }
}

interface Parts {
  image?: StagedBlob;
  metadata?: Buffer;
}

function readParts(
  request: FastifyRequest,
  body: Readable,
  receive: (file: Readable) => Promise<StagedBlob>,
): Promise<Parts> {
  return new Promise((resolve, reject) => {
    let receiving: Promise<StagedBlob> | undefined;
    let arriving: Readable | undefined;
    let metadata: Buffer[] | undefined;
    let settled = false;

    /** What is not ours is the form's fault. */
    const fail = (error: unknown, ours = error instanceof AppError) => {
      if (settled) return;
      settled = true;
      const failure = ours ? error : malformed(error);
      body.unpipe(parser);
      body.destroy();
      parser.destroy();
      // Whoever receives the file must not wait for the rest of it; one that did arrive goes with its form.
      arriving?.destroy(failure instanceof Error ? failure : undefined);
      Promise.resolve(receiving)
        .then((staged) => staged?.discard())
        .catch(() => undefined)
        .finally(() => reject(failure));
    };

    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: request.headers as BusboyHeaders,
        // The file's own limit is kept by who receives it, so that the last byte is still counted exactly.
        limits: { parts: MAX_PARTS, fieldSize: MAX_METADATA_BYTES, fieldNameSize: 100, headerPairs: 32 },
        // By name alone: clients send the file under any type, and some without a file name.
        // The metadata comes as bytes as well, since they may not be the UTF-8 that they should be.
        isPartAFile: (name) => name === 'image' || name === 'metadata',
      });
    } catch (error) {
      reject(malformed(error));
      return;
    }

    const collect = (part: Readable) => {
      if (settled || metadata) {
        part.resume();
        fail(new AppError('invalid-request', 'the form has more than one part named "metadata"'));
        return;
      }
      const chunks: Buffer[] = [];
      metadata = chunks;
      let size = 0;
      part.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_METADATA_BYTES) chunks.push(chunk);
        else fail(new AppError('too-large', `the metadata part is larger than ${MAX_METADATA_BYTES} bytes`));
      });
    };

    parser.on('file', (name, file) => {
      // The parser's own error says the same; without a listener this one would be thrown.
      file.on('error', () => undefined);
      if (name === 'metadata') {
        collect(file);
        return;
      }
      if (settled || receiving) {
        file.resume();
        fail(new AppError('invalid-request', 'the form has more than one part named "image"'));
        return;
      }
      arriving = file;
      receiving = receive(file);
      // A system call that failed is no fault of the form, whatever it was.
      receiving.catch((error: unknown) =>
        fail(error, error instanceof Error && (error instanceof AppError || 'syscall' in error)),
      );
    });
    parser.on('partsLimit', () =>
      fail(new AppError('invalid-request', `the form has more than ${MAX_PARTS} parts`)),
    );
    parser.on('error', (error: unknown) => fail(error));
    parser.on('finish', () => {
      if (settled) return;
      Promise.resolve(receiving).then((image) => {
        if (settled) return;
        settled = true;
        resolve({
          ...(image && { image }),
          ...(metadata !== undefined && { metadata: Buffer.concat(metadata) }),
        });
      }, fail);
    });
    body.on('error', (error: unknown) => fail(error));
    body.pipe(parser);
  });
}

function malformed(cause: unknown): AppError {
  return new AppError('invalid-request', 'the body is not a well-formed multipart form', { cause });
}

/**
 * The text that the bytes are in UTF-8.
 * @throws AppError `invalid-metadata` if they are in none: what is replaced silently would be stored for ever.
 */
function decodeUTF8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const reason = 'altText must be valid Unicode: the metadata is not valid UTF-8';
    throw new AppError('invalid-metadata', reason, { cause, fields: { altText: reason } });
  }
}

/** What a metadata part says, or what is wrong with it by field. */
type DescriptionResult =
  | { readonly ok: true; readonly description: Description }
  | { readonly ok: false; readonly fields: FieldErrors };

/** A metadata part: JSON, flat or (as the published cURL has it) nested under `metadata`. */
function readMetadata(bytes: Uint8Array): DescriptionResult {
  let value: unknown;
  try {
    value = JSON.parse(decodeUTF8(bytes));
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('invalid-request', 'the metadata part is not valid JSON', { cause });
  }
  return readDescription(value);
}

/** What parsed metadata says; both shapes that clients send. */
export function readDescription(value: unknown): DescriptionResult {
  // What JSON.parse makes has no fields but its own, whatever they are called.
  const flat = isRecord(value) && ('altText' in value || !('metadata' in value));
  const given = isRecord(value) && !flat ? value.metadata : value;
  if (!isRecord(given)) {
    return { ok: false, fields: { altText: 'metadata must be a JSON object with altText' } };
  }
  const altText = parseAltText(given.altText);
  const focalPoint = 'focalPoint' in given ? parseFocalPoint(given.focalPoint) : undefined;
  if (!altText.ok || focalPoint?.ok === false) {
    const fields = {
      ...(!altText.ok && { altText: altText.reason }),
      ...(focalPoint?.ok === false && { focalPoint: focalPoint.reason }),
    };
    return { ok: false, fields };
  }
  return {
    ok: true,
    description: { altText: altText.altText, ...(focalPoint && { focalPoint: focalPoint.focalPoint }) },
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
