/**
 * The short way for what is in memory, ahead of the router: a public link that was answered before is answered again
 * with the same headers, from the same record and the same bytes, without a database query, a disk read or a route.
 * Owns nothing of what an answer is: it replays what the route said, and leaves to the route whatever it is not sure of.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Delivery, PlannedRendition } from '../../delivery/delivery.ts';
import type { PublicImages } from '../../delivery/public-images.ts';
import { isNotModified, lastModified } from '../shared/conditional.ts';

/** Answers that are remembered, and how long a URL and an Accept header may be together to be one of them. */
const MAX_ANSWERS = 20_000;
const MAX_KEY = 512;

/** Headers that tell of a body: a 304 has none. `content-length` is that of the bytes. */
const BODY_HEADERS = new Set(['content-type', 'content-disposition', 'content-length']);
/** What is different in every answer, or at another time. */
const OWN_HEADERS = new Set([
  ...['x-request-id', 'date', 'connection', 'keep-alive', 'last-modified'],
  // What the route said of its way is not true of this one.
  'server-timing',
]);

/** What of a request decides about its answer. */
export type Asked = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

interface Answer {
  readonly planned: PlannedRendition;
  /** Those headers of a 200 that tell of its body. */
  readonly body: readonly string[];
  /** For when a date can stand for the image, and for when it cannot. */
  readonly dated: HeadersByStatus;
  readonly undated: HeadersByStatus;
}

type HeadersByStatus = Readonly<Record<200 | 304, Headers>>;

/**
 * Names and values in turn, as `writeHead` takes them: without those that differ each time, and without the length of
 * the body.
 */
type Headers = readonly string[];

/** An answer from memory. */
interface Found {
  readonly status: 200 | 304;
  readonly headers: Headers;
  /** Absent for a 304. */
  readonly bytes?: Buffer;
}

export interface WarmOptions {
  readonly publicImages: PublicImages;
  readonly delivery: Delivery;
  readonly requestID: (request: Asked) => string;
  /** Called for each answer: as `answered`, but always, and to be done in nanoseconds. */
  readonly counted?: (status: Found['status']) => void;
  /** Called when an answer was sent. */
  readonly answered?: (request: Asked, id: string, status: number, address: string | undefined) => void;
}

export class WarmAnswers {
  readonly #answers = new LRUCache<string, Answer>({ max: MAX_ANSWERS });
  readonly #publicImages: PublicImages;
  readonly #delivery: Delivery;
  readonly requestID: WarmOptions['requestID'];
  readonly counted: WarmOptions['counted'];
  readonly answered: WarmOptions['answered'];
  /** While the server stops, every request takes the long way, which closes its connection. */
  enabled = true;

  constructor(options: WarmOptions) {
    this.#publicImages = options.publicImages;
    this.#delivery = options.delivery;
    this.requestID = options.requestID;
    this.counted = options.counted;
    this.answered = options.answered;
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
    // A body that is not of this rendition would make an answer of two halves.
    const of = body.length > 0 ? body : earlier?.planned.etag === planned.etag ? earlier.body : undefined;
    if (of === undefined) return;
    const modified = lastModified(planned.image.updatedOn, Number.POSITIVE_INFINITY) ?? 0;
    const date = ['last-modified', new Date(modified).toUTCString()];
    const byStatus = (dates: readonly string[]): HeadersByStatus => ({
      200: [...common, ...of, ...dates, 'server-timing', 'cache;desc=memory'],
      304: [...common, ...dates, 'server-timing', 'cache;desc=revalidated'],
    });
    this.#answers.set(key, { planned, body: of, dated: byStatus(date), undated: byStatus([]) });
  }

  /** The answer to the request, if all of it is in memory and still true. Counts as a delivery. */
  #find(request: Asked): Found | undefined {
    if (!this.enabled) return undefined;
    const key = keyOf(request);
    const answer = key === undefined ? undefined : this.#answers.get(key);
    if (!answer) return undefined;
    const { planned } = answer;
    // The very record that the answer was made from: any change of the image makes another one.
    if (this.#publicImages.peek(planned.image.publicID) !== planned.image) return undefined;
    const current = {
      etag: planned.etag,
      lastModified: lastModified(planned.image.updatedOn, Date.now()),
    };
    const headers = current.lastModified === undefined ? answer.undated : answer.dated;
    if (isNotModified(request.headers, current)) return { status: 304, headers: headers[304] };
    const bytes = this.#delivery.peek(planned.key);
    return bytes && { status: 200, headers: headers[200], bytes };
  }

  /** True if the request was answered. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const found = this.#find(request);
    if (!found) return false;
    const { status, headers, bytes } = found;
    const id = this.requestID(request);
    const length = bytes === undefined ? [] : ['content-length', String(bytes.length)];
    response.writeHead(status, [...headers, ...length, 'x-request-id', id]);
    response.end(bytes);
    this.counted?.(status);
    this.answered?.(request, id, status, request.socket.remoteAddress);
    return true;
  }
}

/** What decides about the answer, as it was sent; undefined for what always takes the long way. */
function keyOf({ method, url = '', headers }: Asked): string | undefined {
  if (method !== 'GET' || !url.startsWith('/images/')) return undefined;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined;
  const key = `${url}\n${headers.accept ?? ''}`;
  return key.length <= MAX_KEY ? key : undefined;
}
