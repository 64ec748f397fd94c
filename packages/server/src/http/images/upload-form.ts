/**
 * Reads the multipart form of upload and update. The file streams to its receiver and is never in memory as a
 * whole.
 */
import type { Readable } from 'node:stream';
import { Busboy, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import type { StagedBlob } from '../../blobs/staging.ts';
import { AppError, type FieldErrors } from '../../errors.ts';
import {
  type Description,
  parseAltText,
  parseFileName,
  parseFocalPoint,
  parseTags,
  parseVisibility,
  uploadedFileName,
} from '../../image.ts';
import { asObject } from '../../validation/json.ts';

/** The largest metadata part, in bytes. */
const MAX_METADATA_BYTES = 64 * 1024;
/** The most parts of a form. Only `image` and `metadata` have a meaning, other parts are ignored. */
const MAX_PARTS = 16;
export interface UploadForm {
  /** The received file. The caller must discard it. */
  readonly file: StagedBlob;
  /** The name of the file. Absent if the part has none. */
  readonly fileName?: string;
  /** Absent if the form has no metadata part. */
  readonly description?: Description;
}

/** @throws AppError `invalid-request` if the content type is not `multipart/form-data` with a boundary. */
export function requireMultipart(contentType: string | undefined): void {
  if (!/^multipart\/form-data\s*;.*boundary=./is.test(contentType ?? '')) {
    throw new AppError('invalid-request', 'the body must be multipart/form-data with an image part');
  }
}

/**
 * Reads a form to its end. After an error, no file is left.
 * @param receive gets the file as a stream and stores it.
 * @throws AppError `invalid-request` (malformed form, two `image` parts, metadata that is not JSON),
 * `invalid-image` (no `image` part, invalid metadata), or any error of `receive`.
 */
export async function readUploadForm(
  request: FastifyRequest,
  body: Readable,
  receive: (file: Readable) => Promise<StagedBlob>,
): Promise<UploadForm> {
  const { image, fileName, metadata } = await readParts(request, body, receive);
  try {
    const result = metadata === undefined ? undefined : readMetadata(metadata);
    const fields = {
      ...(!image && { image: 'a file part named "image" is required' }),
      ...(result?.ok === false && result.fields),
    };
    if (!image || result?.ok === false) {
      throw new AppError('invalid-image', Object.values(fields).join('; '), { fields });
    }
    return {
      file: image,
      ...(fileName !== undefined && { fileName }),
      ...(result && { description: result.description }),
    };
  } catch (error) {
    await image?.discard();
    throw error;
  }
}

interface Parts {
  image?: StagedBlob;
  fileName?: string;
  metadata?: Buffer;
}

function readParts(
  request: FastifyRequest,
  body: Readable,
  receive: (file: Readable) => Promise<StagedBlob>,
): Promise<Parts> {
  return new Promise((resolve, reject) => {
    let stagedImage: Promise<StagedBlob> | undefined;
    let imagePart: Readable | undefined;
    let fileName: string | undefined;
    let metadata: Buffer[] | undefined;
    let settled = false;

    /** @param keep true: reject with this error. False: reject with "not a well-formed multipart form". */
    const fail = (error: unknown, keep = error instanceof AppError) => {
      if (settled) return;
      settled = true;
      const failure = keep ? error : malformedForm(error);
      body.unpipe(parser);
      body.destroy();
      parser.destroy();
      // The receiver must not wait for the rest of the file. A file that is already complete is discarded.
      imagePart?.destroy(failure instanceof Error ? failure : undefined);
      Promise.resolve(stagedImage)
        .then((staged) => staged?.discard())
        .catch(() => undefined)
        .finally(() => reject(failure));
    };

    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: request.headers as BusboyHeaders,
        // There is no limit for the file: the receiver counts its bytes exactly.
        limits: { parts: MAX_PARTS, fieldSize: MAX_METADATA_BYTES, fieldNameSize: 100, headerPairs: 32 },
        // By name alone: clients send the file with any content type, and some send no file name.
        // The metadata arrives as bytes, because the parser would replace invalid UTF-8.
        isPartAFile: (name) => name === 'image' || name === 'metadata',
      });
    } catch (error) {
      reject(malformedForm(error));
      return;
    }

    const collectMetadata = (part: Readable) => {
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

    parser.on('file', (name, file, nameOfFile?: string) => {
      // The parser emits the same error. Without a listener, this copy would be thrown.
      file.on('error', () => undefined);
      if (name === 'metadata') {
        collectMetadata(file);
        return;
      }
      if (settled || stagedImage) {
        file.resume();
        fail(new AppError('invalid-request', 'the form has more than one part named "image"'));
        return;
      }
      imagePart = file;
      fileName = uploadedFileName(nameOfFile ?? '');
      stagedImage = receive(file);
      // A failed system call, such as a full disk, is not an error of the form.
      stagedImage.catch((error: unknown) =>
        fail(error, error instanceof Error && (error instanceof AppError || 'syscall' in error)),
      );
    });
    parser.on('partsLimit', () =>
      fail(new AppError('invalid-request', `the form has more than ${MAX_PARTS} parts`)),
    );
    parser.on('error', (error: unknown) => fail(error));
    parser.on('finish', () => {
      if (settled) return;
      Promise.resolve(stagedImage).then((image) => {
        if (settled) return;
        settled = true;
        resolve({
          ...(image && { image }),
          ...(fileName !== undefined && { fileName }),
          ...(metadata !== undefined && { metadata: Buffer.concat(metadata) }),
        });
      }, fail);
    });
    body.on('error', (error: unknown) => fail(error));
    body.pipe(parser);
  });
}

function malformedForm(cause: unknown): AppError {
  return new AppError('invalid-request', 'the body is not a well-formed multipart form', { cause });
}

/**
 * Decodes UTF-8.
 * @throws AppError `invalid-metadata` for invalid UTF-8. A lenient decoder would silently store replacement
 * characters.
 */
function decodeUTF8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const reason = 'altText must be valid Unicode: the metadata is not valid UTF-8';
    throw new AppError('invalid-metadata', reason, { cause, fields: { altText: reason } });
  }
}

/** The description of an image, or the errors by field. */
type DescriptionResult =
  | { readonly ok: true; readonly description: Description }
  | { readonly ok: false; readonly fields: FieldErrors };

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

/** The fields of metadata, each with its rules. A field that is absent is not read. */
const READERS = {
  altText: (value: unknown) => parseAltText(value),
  focalPoint: (value: unknown) => parseFocalPoint(value),
  tags: (value: unknown) => parseTags(value),
  fileName: (value: unknown) => parseFileName(value),
  visibility: (value: unknown) => parseVisibility(value),
};

/** Reads parsed metadata. It is flat, or nested under `metadata` as in the published cURL examples. */
export function readDescription(value: unknown): DescriptionResult {
  const outer = asObject(value);
  const isNested =
    outer !== undefined && 'metadata' in outer && !Object.keys(READERS).some((name) => name in outer);
  const metadata = isNested ? asObject(outer.metadata) : outer;
  if (metadata === undefined) {
    return { ok: false, fields: { altText: 'metadata must be a JSON object with altText' } };
  }
  const fields: Record<string, string> = {};
  let description: Description = { altText: undefined };
  for (const [name, read] of Object.entries(READERS)) {
    if (!(name in metadata)) continue;
    const result = read(metadata[name]);
    if (!result.ok) fields[name] = result.reason;
    else {
      const { ok, ...field } = result;
      description = { ...description, ...field };
    }
  }
  return Object.keys(fields).length > 0 ? { ok: false, fields } : { ok: true, description };
}
