/**
 * One call as the contract describes it: method, path, query, body, and which refusals it knows. Owns how it becomes a
 * URL. Refuses to know credentials, connections and retries.
 */
import type { paths } from './contract.ts';
import type { Refusal } from './errors.ts';
import type { Form, OnProgress } from './form.ts';
import type { RetryConfig } from './retries.ts';

/** What can be different for one call. Each replaces what the client was made with. */
export interface CallOptions {
  /** Whether and how the call is tried again. */
  readonly retries?: RetryConfig | undefined;
  /** Milliseconds for each attempt, until its answer is read; for `getPublic` until the picture begins. */
  readonly timeoutMs?: number | undefined;
  /** Aborts the call, its pauses and its streams. The call then rejects with the reason of the signal. */
  readonly signal?: AbortSignal | null | undefined;
  /** Added to the request; each replaces the client's own of that name. */
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  /** The server for this call. */
  readonly serverURL?: string | URL | undefined;
}

/** A call that may send a file. */
export interface UploadOptions extends CallOptions {
  /** Is told how many bytes of the file have been sent. See `OnProgress`. */
  readonly onProgress?: OnProgress | undefined;
}

/** What a call resolves to that gives nothing back. */
export interface Done {
  /** The headers of the answer, by name in lower case; each is one text in an array, as the official SDK has them. */
  readonly headers: Record<string, string[]>;
}

/** What a call resolves to. */
export interface Answer<Result> extends Done {
  readonly result: Result;
}

/** What a call for bytes resolves to. */
export interface BytesAnswer extends Done {
  /** Absent if what the caller has is still current. */
  readonly result?: ReadableStream<Uint8Array>;
}

/** The parameters of a query or the fields of a request, of which each may also be undefined. */
export type Optional<T> = { readonly [Key in keyof T]?: T[Key] | undefined };

/** A request of the contract as callers may give it, at every depth: lists may be read-only, absent fields undefined. */
export type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? {
        readonly [Key in keyof T]:
          | Given<T[Key]>
          | (Partial<Pick<T, Key>> extends Pick<T, Key> ? undefined : never);
      }
    : T;

/** One call, as a resource describes it to the transport. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its parameters filled in: see `pathOf`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Default: JSON. */
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A body, to be sent as JSON. */
  readonly json?: unknown;
  /** A body, to be sent as a form. */
  readonly form?: Form;
  /** Sent without credentials and version: what is public needs none, and a browser then asks no leave first. */
  readonly isPublic?: boolean;
  /** Its body says who calls, so it is sent without the client's credentials. */
  readonly hasCredentials?: boolean;
  /** Whether doing it twice is as good as once. */
  readonly repeatable: boolean;
  /** The errors that it has for statuses; others are a plain APIError. */
  readonly refusals?: Readonly<Partial<Record<number, Refusal>>>;
}

type Parameters<Template> = Template extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Parameters<Rest>
  : never;

/**
 * A path of the contract with its parameters filled in.
 * @throws TypeError that names the parameter which is missing or empty.
 */
export function pathOf<Template extends keyof paths>(
  template: Template,
  values: Readonly<Record<Parameters<Template>, string>>,
): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    // Dots alone would climb to another path.
    if (typeof value !== 'string' || value === '' || value === '.' || value === '..')
      throw new TypeError(`${name} must be the ID of something, not ${JSON.stringify(value)}`);
    return encodeURIComponent(value);
  });
}

/** The whole address of a call. */
export function addressOf(serverURL: string | URL, { path, query = {} }: Operation): URL {
  const url = new URL(checkServerURL(serverURL));
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** @throws TypeError if it is no absolute http or https URL. */
export function checkServerURL(serverURL: string | URL): string {
  const text = String(serverURL);
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new TypeError(`serverURL must be an absolute http or https URL, not ${JSON.stringify(serverURL)}`);
}
