/**
 * One call from its options to its answer: credentials, attempts, the body read, errors made. The only file that calls
 * fetch, through the sender where there is a file. Refuses to know what any operation is for.
 */
import { Deadline } from './deadline.ts';
import { readChecked } from './digest.ts';
import { type APIError, type ErrorResponse, ResponseValidationError, refusalOf } from './errors.ts';
import type { OnProgress } from './form.ts';
import {
  type Answer,
  addressOf,
  type BytesAnswer,
  type CallOptions,
  type Done,
  type Operation,
  type UploadOptions,
} from './operation.ts';
import { pause, type RetryConfig, startRetries } from './retries.ts';
import { authorization, type Security } from './security.ts';
import { type Fetch, inBrowser, Sender } from './sender.ts';

/** What all calls of a client have in common; what it was made with, checked and with its defaults. */
export interface TransportOptions {
  readonly serverURL: string | URL;
  readonly security: Security | undefined;
  readonly version: string;
  readonly retries: RetryConfig;
  readonly timeoutMs: number | undefined;
  /** Undefined: the platform's own, looked up at each call. */
  readonly fetch: Fetch | undefined;
}

type Read<Result> = (response: Response, deadline: Deadline, url: URL) => Promise<Result>;

/** Makes the calls of the resources. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #sender = new Sender();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** A call that answers with JSON. @param read makes the result; the TypeError that it throws becomes a ResponseValidationError. */
  json<Result>(
    operation: Operation,
    options: UploadOptions | undefined,
    read: (data: unknown) => Result,
  ): Promise<Answer<Result>> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const answer = await readText(response, deadline, url);
      try {
        return { headers: headersOf(response), result: read(JSON.parse(answer.body)) };
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        const message = `the server answered ${answer.status}, but not as it should: ${why}`;
        throw new ResponseValidationError(answer, message, { cause });
      } finally {
        deadline.end();
      }
    });
  }

  /** A call whose answer says nothing but that it was done. */
  empty(operation: Operation, options: CallOptions | undefined): Promise<Done> {
    return this.#call(operation, options, async (response, deadline, url) => {
      await readText(response, deadline, url);
      deadline.end();
      return { headers: headersOf(response) };
    });
  }

  /** A call that answers with bytes, or with 304: then without a result. */
  bytes(operation: Operation, options: CallOptions | undefined): Promise<BytesAnswer> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const headers = headersOf(response);
      if (response.status === 304 || response.body === null) {
        deadline.end();
        return { headers };
      }
      deadline.stopClock();
      return { headers, result: watched(response.body, deadline, url) };
    });
  }

  /** A call that answers with an original, read whole and checked before the call resolves. */
  checkedBytes(operation: Operation, options: CallOptions | undefined): Promise<BytesAnswer> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const headers = headersOf(response);
      if (response.status === 304) {
        deadline.end();
        return { headers };
      }
      try {
        const body = response.body && watched(response.body, deadline, url);
        return { headers, result: streamOf(await readChecked(body, response.headers)) };
      } catch (cause) {
        if (!(cause instanceof TypeError)) throw cause;
        const answer = { status: response.status, headers: response.headers, body: '' };
        const message = `the server answered ${answer.status}, but not as it should: ${cause.message}`;
        throw new ResponseValidationError(answer, message, { cause });
      } finally {
        deadline.end();
      }
    });
  }

  async #call<Result>(
    operation: Operation,
    options: UploadOptions = {},
    read: Read<Result>,
  ): Promise<Result> {
    try {
      const { form, repeatable } = operation;
      // A stream that was begun is gone.
      const config: RetryConfig =
        form?.repeatable === false ? { strategy: 'none' } : (options.retries ?? this.#options.retries);
      const retries = startRetries(config, repeatable);
      const timeoutMs = checkTimeout(options.timeoutMs ?? this.#options.timeoutMs);
      const url = addressOf(options.serverURL ?? this.#options.serverURL, operation);
      const start = performance.now();
      for (;;) {
        try {
          return await this.#attempt(operation, options, url, timeoutMs, read);
        } catch (error) {
          const milliseconds = retries.pauseAfter(error, performance.now() - start);
          if (milliseconds === undefined) throw error;
          await pause(milliseconds, options.signal);
        }
      }
    } catch (error) {
      operation.form?.discard(error);
      throw error;
    }
  }

  async #attempt<Result>(
    operation: Operation,
    { signal, headers, onProgress }: UploadOptions,
    url: URL,
    timeoutMs: number | undefined,
    read: Read<Result>,
  ): Promise<Result> {
    const deadline = new Deadline(signal, timeoutMs);
    try {
      const init = { ...(await deadline.within(this.#init(operation, headers))), signal: deadline.signal };
      const response = await this.#fetch(operation, url, init, onProgress).catch((error) => {
        throw deadline.explain(error, url.origin);
      });
      if (!response.ok && response.status !== 304) throw await refused(operation, response, deadline, url);
      return await read(response, deadline, url);
    } catch (error) {
      deadline.end();
      throw error;
    }
  }

  async #init(
    operation: Operation,
    given: CallOptions['headers'],
  ): Promise<RequestInit & { headers: Headers }> {
    const { method, accept = 'application/json', json, form, isPublic = false } = operation;
    const { hasCredentials = false } = operation;
    const headers = new Headers({ accept, ...operation.headers });
    if (!isPublic) headers.set('x-moov-version', this.#options.version);
    if (!isPublic && !hasCredentials) {
      const credentials = await authorization(this.#options.security);
      if (credentials !== undefined) headers.set('authorization', credentials);
    }
    if (json !== undefined) headers.set('content-type', 'application/json');
    if (form) headers.set('content-type', form.contentType);
    new Headers(given).forEach((value, name) => {
      headers.set(name, value);
    });
    return {
      method,
      headers,
      ...(json !== undefined && { body: JSON.stringify(json) }),
      // With credentials of its own a call wants none of the browser's, nor its dialog when they are refused.
      ...(inBrowser() && (hasCredentials || headers.has('authorization')) && { credentials: 'omit' }),
    };
  }

  #fetch(
    { form }: Operation,
    url: URL,
    init: RequestInit & { headers: Headers },
    onProgress: OnProgress | undefined,
  ): Promise<Response> {
    // Not as a method of this object: browsers refuse that.
    const fetch = this.#options.fetch ?? (globalThis.fetch as Fetch);
    return form ? this.#sender.send(fetch, url, init, form, onProgress) : fetch(url.href, init);
  }
}

/** @throws RangeError */
export function checkTimeout(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs > 0)) return timeoutMs;
  throw new RangeError(`timeoutMs must be a number above 0, not ${timeoutMs}`);
}

async function refused(
  { refusals = {} }: Operation,
  response: Response,
  deadline: Deadline,
  url: URL,
): Promise<APIError> {
  return refusalOf(await readText(response, deadline, url), refusals);
}

async function readText(response: Response, deadline: Deadline, { origin }: URL): Promise<ErrorResponse> {
  const { status, headers } = response;
  try {
    return { status, headers, body: await response.text() };
  } catch (error) {
    throw deadline.explain(error, origin);
  }
}

function headersOf({ headers }: Response): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  headers.forEach((value, name) => {
    all[name] = [value];
  });
  return all;
}

function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new Blob([bytes]).stream();
}

/** The same bytes; the caller's signal is let go of when they end, and their failures are named as everywhere. */
function watched(
  body: ReadableStream<Uint8Array>,
  deadline: Deadline,
  { origin }: URL,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          deadline.end();
          controller.close();
        } catch (error) {
          deadline.end();
          throw deadline.explain(error, origin);
        }
      },
      cancel(reason) {
        deadline.end();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
