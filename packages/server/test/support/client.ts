/**
 * The HTTP client of the tests: requests to a server under test with the key that every test server has.
 */
import type { ImageMetadata } from '@vitrine/client';

/** The account that every test server has. */
export const ACCOUNT = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';

/** The bootstrap key, which has all scopes for all accounts. */
export const KEY = { publicKey: 'test-public', secretKey: 'test-secret' } as const;

/** The variables that create the account and the key at the start of a server. */
export const BOOTSTRAP = {
  VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
  VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
} as const;

/** The header value of the bootstrap key. */
export const AUTHORIZATION = basic(KEY.publicKey, KEY.secretKey);

export type ImageJSON = ImageMetadata;

export interface JSONAnswer<T> {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON; undefined if the answer has no body. */
  readonly body: T;
}

export interface UploadOptions {
  readonly account?: string;
  /** The metadata part: JSON, or a string that is sent unchanged. */
  readonly metadata?: unknown;
  readonly headers?: Record<string, string>;
  /** Replaces the image with this ID instead of adding an image. */
  readonly replace?: string;
}

export interface TestClient {
  readonly url: string;
  /** The header value of the bootstrap key. */
  readonly authorization: string;
  /** Requests a path with the bootstrap key, unless `init` has another authorization. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Sends a body as JSON, or a string unchanged. Parses the answer as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the test checks the shape of the body.
  send<T = any>(method: string, path: string, body?: unknown, authorization?: string): Promise<JSONAnswer<T>>;
  /** Uploads bytes as `example.file`. The server ignores the type. */
  upload(bytes: Uint8Array, options?: UploadOptions): Promise<Response>;
  /** Uploads bytes and returns the metadata. @throws Error if the server rejects them. */
  addImage(bytes: Uint8Array, options?: UploadOptions): Promise<ImageJSON>;
}

export function createClient(url: string): TestClient {
  const client: TestClient = {
    url,
    authorization: AUTHORIZATION,
    fetch: (path, init = {}) =>
      fetch(new URL(path, url), {
        ...init,
        headers: { authorization: AUTHORIZATION, ...(init.headers as object) },
      }),
    async send<T>(method: string, path: string, body?: unknown, authorization = AUTHORIZATION) {
      const response = await fetch(new URL(path, url), {
        method,
        headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: (text === '' ? undefined : JSON.parse(text)) as T,
      };
    },
    upload: (bytes, { account = ACCOUNT, metadata, headers, replace } = {}) =>
      client.fetch(`/accounts/${account}/images${replace === undefined ? '' : `/${replace}`}`, {
        method: replace === undefined ? 'POST' : 'PUT',
        body: uploadForm(bytes, metadata),
        ...(headers && { headers }),
      }),
    async addImage(bytes, options) {
      const response = await client.upload(bytes, options);
      const text = await response.text();
      if (!response.ok) throw new Error(`upload answered ${response.status}: ${text}`);
      return JSON.parse(text) as ImageJSON;
    },
  };
  return client;
}

export function basic(publicKey: string, secretKey: string): string {
  return `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString('base64')}`;
}

/** The form of an upload. @param metadata JSON, or a string that is sent unchanged */
export function uploadForm(bytes: Uint8Array, metadata?: unknown): FormData {
  const form = new FormData();
  form.append(
    'image',
    new Blob([Uint8Array.from(bytes)], { type: 'application/octet-stream' }),
    'example.file',
  );
  if (metadata !== undefined) {
    form.append('metadata', typeof metadata === 'string' ? metadata : JSON.stringify(metadata));
  }
  return form;
}
