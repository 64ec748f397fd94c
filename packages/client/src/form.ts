/**
 * A file and its metadata as multipart/form-data.
 * The platform's FormData is not used, because it cannot report progress or send a stream.
 */

/** The bytes of a file. A stream can be read only once, so a call with a stream is never retried. */
export type FileContent = Blob | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>;

/** A file to upload: its bytes, or its bytes with a name. The server detects the format from the bytes. */
export type ImageFile = FileContent | { readonly fileName: string; readonly content: FileContent };

/** The progress of an upload. */
export interface Progress {
  /** Bytes of the file handed to the connection. */
  readonly sent: number;
  /** Bytes of the whole file. Absent for a stream. */
  readonly total?: number;
}

/**
 * A progress callback. It is called with 0 at the start and after each sent piece of the file. A retry starts
 * again at 0. An exception in the callback ends the upload. Browsers over HTTP/1.1, Firefox and Safari cannot
 * stream a request: there it is called with 0 and at the end.
 */
export type OnProgress = (progress: Progress) => void;

/** The most bytes between two progress reports. Platforms may read a whole Blob in one chunk. */
const MAX_PIECE = 65_536;

/** A multipart form. It can be sent whole or in pieces, and only once if its file is a stream. */
export class Form {
  /** The value of Content-Type. */
  readonly contentType: string;
  /** False if the file is a stream: the form can then be sent only once. */
  readonly repeatable: boolean;
  /** Bytes of the whole form. Undefined if the file is a stream. */
  readonly length: number | undefined;
  readonly #head: Uint8Array;
  readonly #content: Blob | ReadableStream<Uint8Array>;
  readonly #tail: Uint8Array;
  #reader: FormReader | undefined;

  /**
   * @param metadata an object to send as JSON
   * @throws TypeError if the file is of an unsupported type, or a stream with another reader.
   */
  constructor(file: ImageFile, metadata?: object) {
    const { fileName, content } = openFile(file);
    const random = crypto.getRandomValues(new Uint8Array(16));
    const boundary = `vitrine-${Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    this.contentType = `multipart/form-data; boundary=${boundary}`;
    const encoder = new TextEncoder();
    this.#head = encoder.encode(
      `--${boundary}\r\nContent-Disposition: form-data; name="image"; filename="${escapeName(fileName)}"\r\n` +
        'Content-Type: application/octet-stream\r\n\r\n',
    );
    this.#content = content;
    const metadataPart =
      metadata === undefined
        ? ''
        : `--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n${JSON.stringify(metadata)}\r\n`;
    this.#tail = encoder.encode(`\r\n${metadataPart}--${boundary}--\r\n`);
    this.repeatable = content instanceof Blob;
    this.length = content instanceof Blob ? this.#head.length + content.size + this.#tail.length : undefined;
  }

  /** The progress after `sent` bytes of the file. */
  progressAt(sent: number): Progress {
    return this.#content instanceof Blob ? { sent, total: this.#content.size } : { sent };
  }

  /**
   * The whole form as a Blob. A stream is first read into memory.
   * @throws the error of the stream, if it fails.
   */
  async readBlob(signal?: AbortSignal): Promise<{ blob: Blob; sent: number }> {
    const content =
      this.#content instanceof Blob ? this.#content : await readAll(this.#content.getReader(), signal);
    return { blob: new Blob([toBlobPart(this.#head), content, toBlobPart(this.#tail)]), sent: content.size };
  }

  /**
   * A reader of the form in pieces. The file is opened only when its first piece is read.
   * @param onSent called with the number of file bytes read so far, after each piece of the file
   */
  openReader(onSent: (sent: number) => void): FormReader {
    this.#reader = new FormReader(this.#head, this.#content, this.#tail, onSent);
    return this.#reader;
  }

  /**
   * Cancels the stream of the file, whether or not reading has begun, so that its source can free resources.
   * Node's fetch does not cancel a request stream after an abort or after an early response.
   */
  discard(reason: unknown): void {
    this.#reader?.cancel(reason).catch(() => undefined);
    if (this.#content instanceof Blob || this.#content.locked) return;
    this.#content.cancel(reason).catch(() => undefined);
  }
}

/** Reads a form in pieces: the head, the file, the tail. */
class FormReader {
  readonly #head: Uint8Array;
  readonly #content: Blob | ReadableStream<Uint8Array>;
  readonly #tail: Uint8Array;
  readonly #onSent: (sent: number) => void;
  #stage: 'head' | 'file' | 'end' = 'head';
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The unread rest of the last chunk of the file. */
  #rest: Uint8Array = new Uint8Array();
  #sent = 0;
  #cancelled = false;

  constructor(
    head: Uint8Array,
    content: Blob | ReadableStream<Uint8Array>,
    tail: Uint8Array,
    onSent: (sent: number) => void,
  ) {
    this.#head = head;
    this.#content = content;
    this.#tail = tail;
    this.#onSent = onSent;
  }

  /** The next piece, or undefined at the end. @throws the error of the file's stream, if it fails. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#stage === 'end') return undefined;
    if (this.#stage === 'head') {
      this.#stage = 'file';
      return this.#head;
    }
    if (this.#rest.length === 0) {
      this.#reader ??= (
        this.#content instanceof Blob ? this.#content.stream() : this.#content
      ).getReader() as ReadableStreamDefaultReader<Uint8Array>;
      const { done, value } = await this.#reader.read();
      // A cancelled stream reports its end, like a complete one. A truncated file must not look complete.
      if (this.#cancelled) throw new Error('the form was cancelled while it was read');
      if (done) {
        this.#stage = 'end';
        return this.#tail;
      }
      checkPiece(value);
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, MAX_PIECE);
    this.#rest = this.#rest.subarray(MAX_PIECE);
    this.#sent += piece.length;
    this.#onSent(this.#sent);
    return piece;
  }

  /** Stops reading and cancels the file's stream, if it was opened. */
  async cancel(reason: unknown): Promise<void> {
    if (this.#stage === 'end') return;
    this.#cancelled = true;
    await this.#reader?.cancel(reason);
  }
}

function openFile(file: ImageFile): { fileName: string; content: Blob | ReadableStream<Uint8Array> } {
  if (isNamed(file)) {
    if (typeof file.fileName !== 'string') throw new TypeError('image.fileName must be a string');
    return { fileName: file.fileName, content: openContent(file.content, 'image.content') };
  }
  const name = (file as { name?: unknown } | undefined)?.name;
  return { fileName: typeof name === 'string' ? name : 'image', content: openContent(file, 'image') };
}

function isNamed(file: ImageFile): file is Extract<ImageFile, { fileName: string }> {
  return typeof file === 'object' && file !== null && 'content' in file;
}

function openContent(content: FileContent, field: string): Blob | ReadableStream<Uint8Array> {
  if (content instanceof Blob) return content;
  if (content instanceof ArrayBuffer) return new Blob([content]);
  if (ArrayBuffer.isView(content)) return new Blob([toBlobPart(content)]);
  if (content instanceof ReadableStream) {
    if (content.locked) throw new TypeError(`${field} must be an unlocked stream: it already has a reader`);
    return content;
  }
  throw new TypeError(`${field} must be a Blob, a Uint8Array, an ArrayBuffer or a ReadableStream`);
}

/** Escapes a file name as the HTML standard does, so that quotes and line ends cannot end the header. */
function escapeName(name: string): string {
  return name.replace(/\r/g, '%0D').replace(/\n/g, '%0A').replace(/"/g, '%22');
}

async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Blob> {
  const onAbort = () => void reader.cancel(signal?.reason).catch(() => undefined);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      checkPiece(next.value);
      pieces.push(toBlobPart(next.value));
    }
    signal?.throwIfAborted();
    return new Blob(pieces);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

function checkPiece(piece: unknown): void {
  if (!(piece instanceof Uint8Array)) throw new TypeError('the stream of the image must yield Uint8Arrays');
}

/** Blobs cannot hold a SharedArrayBuffer, so shared bytes are copied. */
function toBlobPart(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
}
