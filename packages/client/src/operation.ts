/**
 * The description of one call: method, path, query, body and typed errors. The transport sends it.
 */
import type { paths } from './contract.ts';
import type { Refusal } from './errors.ts';
import type { Form, OnProgress } from './form.ts';
import type { RetryConfig } from './retries.ts';

/** The options of one call. Each overrides the client's option of the same name. */
export interface CallOptions {
  /** How the call is retried. */
  readonly retries?: RetryConfig | undefined;
  /**
   * The timeout of each attempt in milliseconds, until its body is read. For streams: until the body begins.
   */
  readonly timeoutMs?: number | undefined;
  /** Aborts the call, its pauses and its streams. The call then rejects with the reason of the signal. */
  readonly signal?: AbortSignal | null | undefined;
  /** Extra request headers. They override the client's headers. */
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  /** The server for this call. */
  readonly serverURL?: string | URL | undefined;
}

/** The options of a call that may send a file. */
export interface UploadOptions extends CallOptions {
  /** Reports how many bytes of the file have been sent. */
  readonly onProgress?: OnProgress | undefined;
}

/** The result of a call without a response body. */
export interface Done {
  /**
   * The response headers by lower-case name. Each value is one string in an array, as in the official SDK.
   */
  readonly headers: Record<string, string[]>;
}

/** The result of a call. */
export interface Answer<Result> extends Done {
  readonly result: Result;
}

/** The result of a call for bytes. */
export interface BytesAnswer extends Done {
  /** Absent if the caller's copy is current (304). */
  readonly result?: ReadableStream<Uint8Array>;
}

/** The fields of T, all optional. Unlike `Partial`, it also accepts undefined values. */
export type Optional<T> = { readonly [Key in keyof T]?: T[Key] | undefined };

/** The input form of T, at every depth: arrays may be read-only, and optional fields may be undefined. */
export type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? {
        readonly [Key in keyof T]:
          | Given<T[Key]>
          | (Partial<Pick<T, Key>> extends Pick<T, Key> ? undefined : never);
      }
    : T;

/** The description of one call, from a resource to the transport. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The path without template parameters. See `buildPath`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** The Accept header. Default: JSON. */
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A body to send as JSON. */
  readonly json?: unknown;
  /** A body to send as a form. */
  readonly form?: Form;
  /** Sends neither credentials nor version, so that a browser needs no CORS preflight. */
  readonly isPublic?: boolean;
  /** True if the body has credentials. The client then sends no Authorization header. */
  readonly hasCredentials?: boolean;
  /** True if sending the request twice has the same effect as sending it once. */
  readonly idempotent: boolean;
  /** The typed errors by status. Other statuses become a plain APIError. */
  readonly refusals?: Readonly<Partial<Record<number, Refusal>>>;
}

type Parameters<Template> = Template extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Parameters<Rest>
  : never;

/**
 * Fills in the parameters of a path template.
 * @throws TypeError with the name of the missing or empty parameter.
 */
export function buildPath<Template extends keyof paths>(
  template: Template,
  values: Readonly<Record<Parameters<Template>, string>>,
): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    // URL parsing would resolve "." and ".." to another path.
    if (typeof value !== 'string' || value === '' || value === '.' || value === '..')
      throw new TypeError(`${name} must be an ID, not ${JSON.stringify(value)}`);
    return encodeURIComponent(value);
  });
}

/** Builds the URL of a call. */
export function buildURL(serverURL: string | URL, { path, query = {} }: Operation): URL {
  const url = new URL(checkServerURL(serverURL));
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** @throws TypeError unless `serverURL` is an absolute http or https URL. */
export function checkServerURL(serverURL: string | URL): string {
  const text = String(serverURL);
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new TypeError(`serverURL must be an absolute http or https URL, not ${JSON.stringify(serverURL)}`);
}
