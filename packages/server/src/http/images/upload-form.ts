/**
 * Reads the multipart form of upload and update. The file streams to its receiver and is never in memory as a
 * whole.
 */
import type { Readable } from 'node:stream';
import { Busboy, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import type { StagedBlob } from '../../blobs/staging.ts';
import { AppError } from '../../errors.ts';
import { type Description, uploadedFileName } from '../../image.ts';
import { BoundaryPadding } from './boundary-padding.ts';
import { type FormField, isMetadataField, readFormDescription } from './form-fields.ts';

/** The largest metadata of a form, in bytes. */
const MAX_METADATA_BYTES = 64 * 1024;
/** The most parts of a form. Parts that are neither the image nor metadata are ignored. */
const MAX_PARTS = 80;

export interface UploadForm {
  /** The received file. The caller must discard it. */
  readonly file: StagedBlob;
  /** The name of the file. Absent if the part has none. */
  readonly fileName?: string;
  /** Absent if the form has no metadata. */
  readonly description?: Description;
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
  const {
    image,
    fileName,
    metadata,
    fields: formFields,
    otherFile,
  } = await readParts(request, body, receive);
  try {
    const result = readFormDescription(metadata, formFields);
    const fields = {
      ...(!image && { image: missingImage(otherFile) }),
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

function missingImage(otherFile: string | undefined): string {
  const reason = 'a file part named "image" is required';
  return otherFile === undefined ? reason : `${reason}, but the file of the form is named "${otherFile}"`;
}

interface Parts {
  image?: StagedBlob;
  fileName?: string;
  metadata?: Buffer;
  /** The parts with single fields of the metadata. */
  fields: readonly FormField[];
  /** The name of a file part with another name than `image`. */
  otherFile?: string;
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
    const metadata: { readonly name: string; readonly chunks: Buffer[] }[] = [];
    let metadataSize = 0;
    let otherFile: string | undefined;
    let settled = false;
    const padding = new BoundaryPadding(request.headers['content-type'] ?? '');

    /** @param keep true: reject with this error. False: reject with "not a well-formed multipart form". */
    const fail = (error: unknown, keep = error instanceof AppError) => {
      if (settled) return;
      settled = true;
      const failure = keep ? error : malformedForm(error, padding);
      body.unpipe(padding);
      body.destroy();
      padding.destroy();
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
        // The values of ignored parts are not kept.
        limits: { parts: MAX_PARTS, fieldSize: 0, fieldNameSize: 100, headerPairs: 32 },
        // By name alone: clients send the file with any content type, and some send no file name.
        // The metadata arrives as bytes, because the parser would replace invalid UTF-8.
        isPartAFile: (name, _type, fileName) => {
          if (name === 'image' || name === 'metadata' || isMetadataField(name)) return true;
          if (fileName !== undefined) otherFile ??= name;
          return false;
        },
      });
    } catch (error) {
      reject(malformedForm(error, padding));
      return;
    }

    const collectMetadata = (name: string, part: Readable) => {
      if (settled || (name === 'metadata' && metadata.some((other) => other.name === name))) {
        part.resume();
        fail(new AppError('invalid-request', 'the form has more than one part named "metadata"'));
        return;
      }
      const chunks: Buffer[] = [];
      metadata.push({ name, chunks });
      part.on('data', (chunk: Buffer) => {
        metadataSize += chunk.length;
        if (metadataSize <= MAX_METADATA_BYTES) chunks.push(chunk);
        else fail(new AppError('too-large', `the metadata part is larger than ${MAX_METADATA_BYTES} bytes`));
      });
    };

    parser.on('file', (name, file, nameOfFile?: string) => {
      // The parser emits the same error. Without a listener, this copy would be thrown.
      file.on('error', () => undefined);
      if (name !== 'image') {
        collectMetadata(name, file);
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
        const parts = metadata.map(({ name, chunks }) => ({ name, bytes: Buffer.concat(chunks) }));
        const part = parts.find(({ name }) => name === 'metadata')?.bytes;
        resolve({
          ...(image && { image }),
          ...(fileName !== undefined && { fileName }),
          ...(part && { metadata: part }),
          fields: parts.filter(({ name }) => name !== 'metadata'),
          ...(otherFile !== undefined && { otherFile }),
        });
      }, fail);
    });
    body.on('error', (error: unknown) => fail(error));
    body.pipe(padding).pipe(parser);
  });
}

function malformedForm(cause: unknown, boundaries: BoundaryPadding): AppError {
  const isCut = cause instanceof Error && /unexpected end/i.test(cause.message);
  const reason = isCut ? `: ${cutReason(boundaries)}` : '';
  return new AppError('invalid-request', `the body is not a well-formed multipart form${reason}`, { cause });
}

function cutReason({ count, endsLinesWithLF }: BoundaryPadding): string {
  if (endsLinesWithLF) return 'its lines end with LF, but they must end with CRLF';
  if (count > 0) return 'it ends before its last boundary, so a part of it is missing';
  return 'no line begins with two dashes and the boundary of Content-Type';
}
