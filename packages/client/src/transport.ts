/**
 * Sends a call: credentials, attempts, retries, reading the body and typed errors.
 * All requests of the client go through here; the sender sends requests with a file.
 */
import { Deadline } from './deadline.ts';
import { readVerified } from './digest.ts';
import { type APIError, type ErrorResponse, ResponseValidationError, toAPIError } from './errors.ts';
import type { OnProgress } from './form.ts';
import {
  type Answer,
  type BytesAnswer,
  buildURL,
  type CallOptions,
  type Done,
  type Operation,
  type UploadOptions,
} from './operation.ts';
import { pause, type RetryConfig, startRetries } from './retries.ts';
import { buildAuthorization, type Security } from './security.ts';
import { type Fetch, isBrowser, Sender } from './sender.ts';

/** The checked options of a client, with defaults applied. */
export interface TransportOptions {
  readonly serverURL: string | URL;
  readonly security: Security | undefined;
  readonly version: string;
  readonly retries: RetryConfig;
  readonly timeoutMs: number | undefined;
  /** Undefined: the platform's `fetch`, resolved at each call. */
  readonly fetch: Fetch | undefined;
}

type ReadResponse<Result> = (response: Response, deadline: Deadline, url: URL) => Promise<Result>;

/** Sends the calls of the resources. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #sender = new Sender();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * Sends a call with a JSON response.
   * @param read converts the parsed JSON to the result. Its errors become a ResponseValidationError.
   */
  json<Result>(
    operation: Operation,
    options: UploadOptions | undefined,
    read: (data: unknown) => Result,
  ): Promise<Answer<Result>> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const answer = await readText(response, deadline, url);
      try {
        return { headers: readHeaders(response), result: read(JSON.parse(answer.body)) };
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new ResponseValidationError(answer, describeInvalid(answer, reason), { cause });
      } finally {
        deadline.end();
      }
    });
  }

  /** Sends a call without a response body. */
  empty(operation: Operation, options: CallOptions | undefined): Promise<Done> {
    return this.#call(operation, options, async (response, deadline, url) => {
      await readText(response, deadline, url);
      deadline.end();
      return { headers: readHeaders(response) };
    });
  }

  /** Sends a call with a stream as its result. A 304 has no result. */
  bytes(operation: Operation, options: CallOptions | undefined): Promise<BytesAnswer> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const headers = readHeaders(response);
      if (response.status === 304 || response.body === null) {
        deadline.end();
        return { headers };
      }
      deadline.stopTimer();
      return { headers, result: trackBody(response.body, deadline, url) };
    });
  }

  /** Sends a call for an original, and reads and verifies the whole body before it resolves. */
  verifiedBytes(operation: Operation, options: CallOptions | undefined): Promise<BytesAnswer> {
    return this.#call(operation, options, async (response, deadline, url) => {
      const headers = readHeaders(response);
      if (response.status === 304) {
        deadline.end();
        return { headers };
      }
      try {
        const body = response.body && trackBody(response.body, deadline, url);
        return { headers, result: toStream(await readVerified(body, response.headers)) };
      } catch (cause) {
        if (!(cause instanceof TypeError)) throw cause;
        const answer = { status: response.status, headers: response.headers, body: '' };
        throw new ResponseValidationError(answer, describeInvalid(answer, cause.message), { cause });
      } finally {
        deadline.end();
      }
    });
  }

  async #call<Result>(
    operation: Operation,
    options: UploadOptions = {},
    read: ReadResponse<Result>,
  ): Promise<Result> {
    try {
      const { form, idempotent } = operation;
      // A stream can be read only once.
      const config: RetryConfig =
        form?.repeatable === false ? { strategy: 'none' } : (options.retries ?? this.#options.retries);
      const retries = startRetries(config, idempotent);
      const timeoutMs = checkTimeout(options.timeoutMs ?? this.#options.timeoutMs);
      const url = buildURL(options.serverURL ?? this.#options.serverURL, operation);
      const start = performance.now();
      for (;;) {
        try {
          return await this.#attempt(operation, options, url, timeoutMs, read);
        } catch (error) {
          const milliseconds = retries.pauseAfter(error, performance.now() - start);
          if (milliseconds === undefined) throw error;
          await retries.report(error, milliseconds);
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
    read: ReadResponse<Result>,
  ): Promise<Result> {
    const deadline = new Deadline(signal, timeoutMs);
    try {
      const request = await deadline.race(this.#buildRequest(operation, headers));
      const init = { ...request, signal: deadline.signal };
      const response = await this.#fetch(operation, url, init, onProgress).catch((error) => {
        throw deadline.translateError(error, url.origin);
      });
      if (!response.ok && response.status !== 304)
        throw await readRefusal(operation, response, deadline, url);
      return await read(response, deadline, url);
    } catch (error) {
      deadline.end();
      throw error;
    }
  }

  async #buildRequest(
    operation: Operation,
    extraHeaders: CallOptions['headers'],
  ): Promise<RequestInit & { headers: Headers }> {
    const { method, accept = 'application/json', json, form, isPublic = false } = operation;
    const { hasCredentials = false } = operation;
    const headers = new Headers({ accept, ...operation.headers });
    if (!isPublic) headers.set('x-moov-version', this.#options.version);
    if (!isPublic && !hasCredentials) {
      const credentials = await buildAuthorization(this.#options.security);
      if (credentials !== undefined) headers.set('authorization', credentials);
    }
    if (json !== undefined) headers.set('content-type', 'application/json');
    if (form) headers.set('content-type', form.contentType);
    new Headers(extraHeaders).forEach((value, name) => {
      headers.set(name, value);
    });
    return {
      method,
      headers,
      ...(json !== undefined && { body: JSON.stringify(json) }),
      // Without "omit", a browser adds its own credentials and shows a login dialog after a 401.
      ...(isBrowser() && (hasCredentials || headers.has('authorization')) && { credentials: 'omit' }),
    };
  }

  #fetch(
    { form }: Operation,
    url: URL,
    init: RequestInit & { headers: Headers },
    onProgress: OnProgress | undefined,
  ): Promise<Response> {
    // A local variable, because browsers throw if `fetch` is called as a method of another object.
    const fetch = this.#options.fetch ?? (globalThis.fetch as Fetch);
    return form ? this.#sender.send(fetch, url, init, form, onProgress) : fetch(url.href, init);
  }
}

/** @throws RangeError unless `timeoutMs` is undefined or above 0. */
export function checkTimeout(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs > 0)) return timeoutMs;
  throw new RangeError(`timeoutMs must be a number above 0, not ${timeoutMs}`);
}

function describeInvalid({ status }: ErrorResponse, reason: string): string {
  return `the server answered ${status} with an invalid response: ${reason}`;
}

async function readRefusal(
  { refusals = {} }: Operation,
  response: Response,
  deadline: Deadline,
  url: URL,
): Promise<APIError> {
  return toAPIError(await readText(response, deadline, url), refusals);
}

async function readText(response: Response, deadline: Deadline, { origin }: URL): Promise<ErrorResponse> {
  const { status, headers } = response;
  try {
    return { status, headers, body: await response.text() };
  } catch (error) {
    throw deadline.translateError(error, origin);
  }
}

function readHeaders({ headers }: Response): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  headers.forEach((value, name) => {
    all[name] = [value];
  });
  return all;
}

function toStream(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new Blob([bytes]).stream();
}

/** Passes the bytes through, ends the deadline at the end of the body, and translates errors of the body. */
function trackBody(
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
          throw deadline.translateError(error, origin);
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
