/**
 * A file and its metadata as multipart/form-data. Framed here, because FormData cannot say how much of it was sent, nor
 * hold a stream. Refuses to know how it is sent.
 */

/** The bytes of a file. A stream is read once and never kept, so a call that sends one is not tried again. */
export type FileContent = Blob | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>;

/** A file to upload: its bytes, or its bytes under a name. The server goes by the bytes alone. */
export type ImageFile = FileContent | { readonly fileName: string; readonly content: FileContent };

/** How far an upload is. */
export interface Progress {
  /** Bytes of the file that were handed to the connection. */
  readonly sent: number;
  /** Bytes of the whole file; absent for a stream. */
  readonly total?: number;
}

/**
 * Is called at the start with 0, then whenever more of the file was sent, and again from 0 if the upload is tried again.
 * Where the platform cannot stream a request (browsers over HTTP/1.1; Firefox and Safari), only with 0 and at the end. What it throws ends the upload.
 */
export type OnProgress = (progress: Progress) => void;

/** Platforms hand out a whole Blob at once; that would be no progress. In bytes. */
const MAX_PIECE = 65_536;

/** One form, which can be sent whole or piece by piece; once, if its file is a stream. */
export class Form {
  /** The value of Content-Type. */
  readonly contentType: string;
  /** Whether it can be sent again. */
  readonly repeatable: boolean;
  /** Bytes of the whole form; undefined if its file is a stream. */
  readonly length: number | undefined;
  readonly #head: Uint8Array;
  readonly #content: Blob | ReadableStream<Uint8Array>;
  readonly #tail: Uint8Array;
  #reading: FormReader | undefined;

  /** @param metadata sent as JSON, if there is any. @throws TypeError if the file is nothing that can be sent. */
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
    const described =
      metadata === undefined
        ? ''
        : `--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n${JSON.stringify(metadata)}\r\n`;
    this.#tail = encoder.encode(`\r\n${described}--${boundary}--\r\n`);
    this.repeatable = content instanceof Blob;
    this.length = content instanceof Blob ? this.#head.length + content.size + this.#tail.length : undefined;
  }

  /** How far it is when so many bytes of the file are sent. */
  progress(sent: number): Progress {
    return this.#content instanceof Blob ? { sent, total: this.#content.size } : { sent };
  }

  /** The whole form at once; a file that is a stream is gathered in memory. @throws what its stream fails with. */
  async blob(signal?: AbortSignal): Promise<{ blob: Blob; sent: number }> {
    const content =
      this.#content instanceof Blob ? this.#content : await gather(this.#content.getReader(), signal);
    return { blob: new Blob([part(this.#head), content, part(this.#tail)]), sent: content.size };
  }

  /**
   * The form piece by piece. Nothing of the file is touched before its first piece is asked for.
   * @param onSent is told, when a piece of the file is handed out, how many bytes of it that makes
   */
  read(onSent: (sent: number) => void): FormReader {
    this.#reading = new FormReader(this.#head, this.#content, this.#tail, onSent);
    return this.#reading;
  }

  /**
   * Gives the file up, begun or not, so that its source can let go of what it holds. Node's fetch tells a stream neither
   * of an abort nor of an answer that came before its end.
   */
  discard(reason: unknown): void {
    this.#reading?.cancel(reason).catch(() => undefined);
    if (this.#content instanceof Blob || this.#content.locked) return;
    this.#content.cancel(reason).catch(() => undefined);
  }
}

/** A form that is being read. */
class FormReader {
  readonly #head: Uint8Array;
  readonly #content: Blob | ReadableStream<Uint8Array>;
  readonly #tail: Uint8Array;
  readonly #onSent: (sent: number) => void;
  #stage: 'head' | 'file' | 'end' = 'head';
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Of the last piece of the file, what was not handed out yet. */
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

  /** The next piece; undefined at the end. @throws what the stream of the file fails with. */
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
      // A file that was cancelled looks like one that has ended: it must not be sent as if it were whole.
      if (this.#cancelled) throw new Error('the form is no longer read');
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

  /** Stops reading, and tells the stream of the file if it was begun. */
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
  if (ArrayBuffer.isView(content)) return new Blob([part(content)]);
  if (content instanceof ReadableStream) {
    if (content.locked) throw new TypeError(`${field} is a stream that is being read already`);
    return content;
  }
  throw new TypeError(`${field} must be a Blob, a Uint8Array, an ArrayBuffer or a ReadableStream`);
}

/** As the HTML standard has it: the quotes and line ends of a name must not end its header. */
function escapeName(name: string): string {
  return name.replace(/\r/g, '%0D').replace(/\n/g, '%0A').replace(/"/g, '%22');
}

async function gather(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Blob> {
  const onAbort = () => void reader.cancel(signal?.reason).catch(() => undefined);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      checkPiece(next.value);
      pieces.push(part(next.value));
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

/** Blobs take no shared memory, which the types know; what is shared is copied. */
function part(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
}
