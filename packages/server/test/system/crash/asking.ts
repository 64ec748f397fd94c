/**
 * Requests to a server that may end at any moment. An answer counts only when it has arrived whole.
 */
import { ACCOUNT, AUTHORIZATION, uploadForm } from '../../support/client.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: what it is, is what the test is to find out.
  json(): any;
}

export interface Question {
  readonly method?: string;
  readonly path: string;
  readonly json?: unknown;
  readonly form?: FormData;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Where the images of the account are, and what is under them. */
export const IMAGES = `/accounts/${ACCOUNT}/images`;
export const PRODUCTS = `/accounts/${ACCOUNT}/products`;
export const LINE_ITEMS = `/accounts/${ACCOUNT}/line-items`;

/**
 * True for an answer that says: not now. It leaves open whether anything was written. A machine that does too much else may
 * also not decode a picture in time, of which nothing is written.
 */
export function saysNotNow({ status, body }: Answer): boolean {
  return [502, 503, 504, 507].includes(status) || (status === 422 && body.includes('to decode'));
}

const PATIENCE = 20;

/** Asks again while the answer is: not now; the last answer, if it never is another. */
export async function askPatiently(url: string, question: () => Question): Promise<Answer | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask(url, question());
    if (answer === undefined || !saysNotNow(answer) || attempt === PATIENCE) return answer;
  }
}

/** The whole answer, or undefined if the connection ended before. */
export async function ask(url: string, question: Question): Promise<Answer | undefined> {
  const { method = 'GET', path, json, form, headers = {} } = question;
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
    // What fetch throws for a connection that broke, before or within the answer.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** An upload, or with `replace` an update of that image. */
export function uploading(
  bytes: Uint8Array,
  options: { altText?: string | undefined; key?: string | undefined; replace?: string } = {},
): Question {
  const { altText, key, replace } = options;
  return {
    method: replace === undefined ? 'POST' : 'PUT',
    path: replace === undefined ? IMAGES : `${IMAGES}/${replace}`,
    form: uploadForm(bytes, altText === undefined ? undefined : { altText }),
    ...(key !== undefined && { headers: { 'x-idempotency-key': key } }),
  };
}
