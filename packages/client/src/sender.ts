/**
 * Sends a form with fetch. It streams the form for progress reports, for stream files, and for large files on
 * Node, where the platform can. Otherwise it sends the form as one Blob. Differences between platforms are
 * handled here.
 */
import type { Form, OnProgress } from './form.ts';

/** The subset of the fetch API that this client uses. */
export type Fetch = (url: string, init: RequestInit & { duplex?: 'half' }) => Promise<Response>;

/** An error of the caller's stream or callback during sending, as opposed to a connection error. */
export class SourceFailure extends Error {
  constructor(cause: unknown) {
    super('the file could not be read', { cause });
  }
}

/** Sends forms. Each client has one, because it caches which origins cannot receive streams. */
export class Sender {
  /** Origins that the browser reaches over HTTP/1.1. Browsers cannot stream requests over HTTP/1.1. */
  readonly #nonStreamingOrigins = new Set<string>();
  #supportsStreams: boolean | undefined;

  /** @throws SourceFailure, or the error of fetch. */
  async send(
    fetch: Fetch,
    url: URL,
    init: RequestInit & { headers: Headers },
    form: Form,
    onProgress: OnProgress | undefined,
  ): Promise<Response> {
    const report = createReporter(form, onProgress);
    report(0);
    const isBetterStreamed = onProgress || !form.repeatable || (hasHeaderTimeout() && isLarge(form));
    if (isBetterStreamed && this.#canStream(url)) {
      const response = await this.#stream(fetch, url, init, form, report);
      if (response) return response;
    }
    const { blob, sent } = await form.readBlob(init.signal ?? undefined).catch((cause) => {
      throw new SourceFailure(cause);
    });
    const response = await fetch(url.href, { ...init, body: blob });
    report(sent);
    return response;
  }

  /** Undefined if the browser cannot stream to this origin. It has not read the form then. */
  async #stream(
    fetch: Fetch,
    url: URL,
    init: RequestInit & { headers: Headers },
    form: Form,
    report: (sent: number) => void,
  ): Promise<Response | undefined> {
    const headers = new Headers(init.headers);
    // The server can then reject a large file early. Browsers forbid setting this header.
    if (form.length !== undefined && !isBrowser()) headers.set('content-length', String(form.length));
    let isReadStarted = false;
    let failure: SourceFailure | undefined;
    const reader = form.openReader(report);
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          isReadStarted = true;
          const piece = await reader.next().catch((cause) => {
            failure = new SourceFailure(cause);
            throw failure;
          });
          if (piece) controller.enqueue(piece);
          else controller.close();
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
    try {
      return await fetch(url.href, { ...init, headers, body, duplex: 'half' });
    } catch (error) {
      if (failure) throw failure;
      if (isReadStarted || !isBrowser() || init.signal?.aborted) throw error;
      this.#nonStreamingOrigins.add(url.origin);
      return undefined;
    }
  }

  #canStream({ origin }: URL): boolean {
    this.#supportsStreams ??= supportsRequestStreams();
    return this.#supportsStreams && !this.#nonStreamingOrigins.has(origin);
  }
}

/** Makes a function that calls `onProgress` when the number of sent bytes changes. */
function createReporter(form: Form, onProgress: OnProgress | undefined): (sent: number) => void {
  let last = -1;
  return (sent) => {
    if (sent === last) return;
    last = sent;
    try {
      onProgress?.(form.progressAt(sent));
    } catch (cause) {
      throw new SourceFailure(cause);
    }
  };
}

/** A platform without request streams converts the stream to text and sets a text Content-Type. */
function supportsRequestStreams(): boolean {
  try {
    const init = { method: 'POST', body: new ReadableStream(), duplex: 'half' };
    return !new Request('http://localhost/', init as RequestInit).headers.has('content-type');
  } catch {
    return false;
  }
}

/** Forms of more bytes take longer than the header timeout of Node over a link of 3 kB/s. */
const MAX_UNSTREAMED = 1024 * 1024;

function isLarge({ length = 0 }: Form): boolean {
  return length > MAX_UNSTREAMED;
}

/**
 * True in Node. Its fetch, undici, waits 300 seconds for the headers of an answer. Each piece of a stream
 * starts this time again. A Blob is written at once, so a slow link would need the time for the whole form.
 */
function hasHeaderTimeout(): boolean {
  const { navigator } = globalThis as { navigator?: { userAgent?: string } };
  return navigator?.userAgent?.startsWith('Node.js') === true;
}

/** True in pages and web workers: they have a `location`, server runtimes do not. */
export function isBrowser(): boolean {
  return (globalThis as { location?: unknown }).location !== undefined;
}
