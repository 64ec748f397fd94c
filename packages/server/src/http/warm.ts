/**
 * The short way for what is in memory, ahead of the router: a public link that was answered before is answered again
 * with the same headers, from the same record and the same bytes, without a database query, a disk read or a route.
 * Owns nothing of what an answer is: it replays what the route said, and leaves to the route whatever it is not sure of.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Delivery, PlannedRendition } from '../delivery.ts';
import { isNotModified } from './conditional.ts';

/** Answers that are remembered, and how long a URL and an Accept header may be together to be one of them. */
const MAX_ANSWERS = 20_000;
const MAX_KEY = 512;

/** Headers that tell of a body: a 304 has none. `content-length` is that of the bytes. */
const BODY_HEADERS = new Set(['content-type', 'content-disposition', 'content-length']);
/** What is different in every answer. */
const OWN_HEADERS = new Set(['x-request-id', 'date', 'connection', 'keep-alive']);

interface Answer {
  readonly planned: PlannedRendition;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly common: readonly string[];
  readonly body: readonly string[];
}

export interface WarmOptions {
  readonly delivery: Delivery;
  readonly requestID: (request: IncomingMessage) => string;
  /** Called when an answer was sent. */
  readonly answered: (request: IncomingMessage, id: string, status: number) => void;
}

export class WarmAnswers {
  readonly #answers = new LRUCache<string, Answer>({ max: MAX_ANSWERS });
  readonly #options: WarmOptions;
  /** While the server stops, every request takes the long way, which closes its connection. */
  enabled = true;

  constructor(options: WarmOptions) {
    this.#options = options;
  }

  /**
   * Keeps what the route answered to a GET, for the next request that is the same to the letter. A 304 tells nothing of
   * a body: it renews an answer with the same entity tag, so that a link that is only ever asked about stays warm when
   * its record was read anew.
   */
  remember(
    request: IncomingMessage,
    planned: PlannedRendition,
    headers: Readonly<Record<string, number | string | string[] | undefined>>,
  ): void {
    const key = keyOf(request);
    if (key === undefined) return;
    const common: string[] = [];
    const body: string[] = [];
    for (const [name, value] of Object.entries(headers)) {
      if (typeof value !== 'string' || OWN_HEADERS.has(name) || name === 'content-length') continue;
      (BODY_HEADERS.has(name) ? body : common).push(name, value);
    }
    const earlier = this.#answers.peek(key);
    if (body.length > 0) this.#answers.set(key, { planned, common, body });
    else if (earlier?.planned.etag === planned.etag) this.#answers.set(key, { ...earlier, planned, common });
  }

  /** True if the request was answered. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const key = this.enabled ? keyOf(request) : undefined;
    const answer = key === undefined ? undefined : this.#answers.get(key);
    if (!answer) return false;
    const { planned } = answer;
    const { delivery, requestID, answered } = this.#options;
    // The very record that the answer was made from: any change of the image makes another one.
    if (delivery.peekRecord(planned.image.publicID) !== planned.image) return false;
    const current = { etag: planned.etag, lastModified: planned.image.updatedOn };
    const id = requestID(request);
    if (isNotModified(request.headers, current)) {
      response.writeHead(304, [...answer.common, 'x-request-id', id]);
      response.end();
      answered(request, id, 304);
      return true;
    }
    const bytes = delivery.peek(planned.key);
    if (!bytes) return false;
    const length = ['content-length', String(bytes.length)];
    response.writeHead(200, [...answer.common, ...answer.body, ...length, 'x-request-id', id]);
    response.end(bytes);
    answered(request, id, 200);
    return true;
  }
}

/** What decides about the answer, as it was sent; undefined for what always takes the long way. */
function keyOf({ method, url = '', headers }: IncomingMessage): string | undefined {
  if (method !== 'GET' || !url.startsWith('/images/')) return undefined;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined;
  const key = `${url}\n${headers.accept ?? ''}`;
  return key.length <= MAX_KEY ? key : undefined;
}
