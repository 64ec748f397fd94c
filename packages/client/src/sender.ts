/**
 * Sends a form through fetch: as a stream where its progress is wanted or its file is one, and the platform can; else at
 * once. Owns what is known of platforms. Refuses to know what the answer means.
 */
import type { Form, OnProgress } from './form.ts';

/** The part of fetch that this client uses. */
export type Fetch = (url: string, init: RequestInit & { duplex?: 'half' }) => Promise<Response>;

/** What the caller's own stream or callback threw while a form was sent: it is not the connection's fault. */
export class SourceFailure extends Error {
  constructor(cause: unknown) {
    super('the file could not be read', { cause });
  }
}

/** Sends forms, and remembers which servers take no streams. One for each client. */
export class Sender {
  /** Origins that turned out to be reached over HTTP/1.1, over which browsers stream no request. */
  readonly #unstreamed = new Set<string>();
  #streams: boolean | undefined;

  /** @throws SourceFailure, or what fetch throws. */
  async send(
    fetch: Fetch,
    url: URL,
    init: RequestInit & { headers: Headers },
    form: Form,
    onProgress: OnProgress | undefined,
  ): Promise<Response> {
    const report = reporter(form, onProgress);
    report(0);
    if ((onProgress || !form.repeatable) && this.#canStream(url)) {
      const response = await this.#stream(fetch, url, init, form, report);
      if (response) return response;
    }
    const { blob, sent } = await form.blob(init.signal ?? undefined).catch((cause) => {
      throw new SourceFailure(cause);
    });
    const response = await fetch(url.href, { ...init, body: blob });
    report(sent);
    return response;
  }

  /** Undefined if the browser did not begin to read the form: then it would not stream, and the form is as it was. */
  async #stream(
    fetch: Fetch,
    url: URL,
    init: RequestInit & { headers: Headers },
    form: Form,
    report: (sent: number) => void,
  ): Promise<Response | undefined> {
    const headers = new Headers(init.headers);
    // So that the server can refuse by it. Browsers count for themselves and do not let it be set.
    if (form.length !== undefined && !inBrowser()) headers.set('content-length', String(form.length));
    let begun = false;
    let failure: SourceFailure | undefined;
    const reader = form.read(report);
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          begun = true;
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
      if (begun || !inBrowser() || init.signal?.aborted) throw error;
      this.#unstreamed.add(url.origin);
      return undefined;
    }
  }

  #canStream({ origin }: URL): boolean {
    this.#streams ??= takesStreams();
    return this.#streams && !this.#unstreamed.has(origin);
  }
}

/** Tells only of what is new: the last piece is often followed by nothing. */
function reporter(form: Form, onProgress: OnProgress | undefined): (sent: number) => void {
  let last = -1;
  return (sent) => {
    if (sent === last) return;
    last = sent;
    try {
      onProgress?.(form.progress(sent));
    } catch (cause) {
      throw new SourceFailure(cause);
    }
  };
}

/** A platform without request streams turns one into text, and says so in a type. */
function takesStreams(): boolean {
  try {
    const init = { method: 'POST', body: new ReadableStream(), duplex: 'half' };
    return !new Request('http://localhost/', init as RequestInit).headers.has('content-type');
  } catch {
    return false;
  }
}

/** Pages and their workers have a location; servers have none. */
export function inBrowser(): boolean {
  return (globalThis as { location?: unknown }).location !== undefined;
}
