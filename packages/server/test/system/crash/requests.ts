/**
 * Requests to a server that may end at any moment. An answer counts only when all of it arrived.
 */
import { ACCOUNT, AUTHORIZATION, uploadForm } from '../../support/client.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** Parses the body. */
  // biome-ignore lint/suspicious/noExplicitAny: the test checks the shape of the body.
  json(): any;
}

export interface TestRequest {
  /** Default: GET. */
  readonly method?: string;
  readonly path: string;
  readonly json?: unknown;
  readonly form?: FormData;
  readonly headers?: Readonly<Record<string, string>>;
}

export const IMAGES = `/accounts/${ACCOUNT}/images`;
export const PRODUCTS = `/accounts/${ACCOUNT}/products`;
export const LINE_ITEMS = `/accounts/${ACCOUNT}/line-items`;

/**
 * True for an answer that rejects the request only for now. The write may have happened.
 * The 422 is from a busy machine that did not decode the picture within the deadline. It writes nothing.
 */
export function isTemporaryRejection({ status, body }: Answer): boolean {
  return [502, 503, 504, 507].includes(status) || (status === 422 && body.includes('to decode'));
}

const MAX_ATTEMPTS = 20;

/** Sends a new request until the answer is no temporary rejection. @returns the last answer */
export async function retryWhileRejected(
  url: string,
  createRequest: () => TestRequest,
): Promise<Answer | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await sendRequest(url, createRequest());
    if (answer === undefined || !isTemporaryRejection(answer) || attempt === MAX_ATTEMPTS) return answer;
  }
}

/**
 * Sends a request.
 * @param onBroken gets the reason if there is no complete answer
 * @returns the complete answer, or undefined if the connection ended before its end
 */
export async function sendRequest(
  url: string,
  request: TestRequest,
  onBroken?: (reason: string) => void,
): Promise<Answer | undefined> {
  const { method = 'GET', path, json, form, headers = {} } = request;
  try {
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        authorization: AUTHORIZATION,
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(form && { body: form }),
    });
    const body = Buffer.from(await response.arrayBuffer());
    return {
      status: response.status,
      headers: response.headers,
      body,
      json: () => JSON.parse(body.toString()),
    };
  } catch (error) {
    // The error of fetch for a broken connection, before or within the answer.
    if (!(error instanceof TypeError)) throw error;
    onBroken?.(`${error.message}: ${String(error.cause)}`);
    return undefined;
  }
}

/** @param options with `replace`, the ID of an image, the request updates that image */
export function createUpload(
  bytes: Uint8Array,
  options: { altText?: string | undefined; key?: string | undefined; replace?: string } = {},
): TestRequest {
  const { altText, key, replace } = options;
  return {
    method: replace === undefined ? 'POST' : 'PUT',
    path: replace === undefined ? IMAGES : `${IMAGES}/${replace}`,
    form: uploadForm(bytes, altText === undefined ? undefined : { altText }),
    ...(key !== undefined && { headers: { 'x-idempotency-key': key } }),
  };
}
