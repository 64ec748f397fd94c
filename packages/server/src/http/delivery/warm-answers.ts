/**
 * Answers public links from memory, ahead of the router: no database query, no disk read, no route. It
 * replays headers that the route sent before. All other requests go to the route.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Delivery, PlannedRendition } from '../../delivery/delivery.ts';
import type { PublicImages, RecordState } from '../../delivery/public-images.ts';
import type { RenditionPolicy } from '../shared/cache-policy.ts';
import { isNotModified, lastModified } from '../shared/conditional.ts';

/** The most stored answers. */
const MAX_ANSWERS = 20_000;
/** The longest URL and Accept header together, in characters. */
const MAX_KEY = 512;

/** Headers about the body, which a 304 does not have. `content-length` comes from the bytes. */
const BODY_HEADERS = new Set(['content-type', 'content-disposition', 'content-length']);
/** Headers that differ between answers or change with time. */
const VARYING_HEADERS = new Set([
  ...['x-request-id', 'date', 'connection', 'keep-alive', 'last-modified'],
  // The durations of the route do not apply to an answer from memory.
  'server-timing',
  // It depends on the state of the record.
  'cache-control',
]);

/** The parts of a request that decide about its answer. */
export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

interface StoredAnswer {
  readonly planned: PlannedRendition;
  /** The headers of a 200 about its body. */
  readonly bodyHeaders: Headers;
  /** With Last-Modified. */
  readonly dated: HeadersByStatus;
  /** Without Last-Modified, for the first seconds after a change of the image. */
  readonly undated: HeadersByStatus;
}

type HeadersByStatus = Readonly<Record<200 | 304, Headers>>;

/**
 * Alternating names and values, as `writeHead` takes them, without Content-Length and the varying headers.
 */
type Headers = readonly string[];

interface WarmAnswer {
  readonly status: 200 | 304;
  readonly state: RecordState;
  readonly headers: Headers;
  /** Absent for a 304. */
  readonly bytes?: Buffer;
}

export interface WarmOptions {
  readonly publicImages: PublicImages;
  readonly delivery: Delivery;
  /** The values of Cache-Control. */
  readonly policy: RenditionPolicy;
  readonly requestID: (request: RequestHead) => string;
  /** Called for each answer. It must take nanoseconds. */
  readonly count?: (status: WarmAnswer['status']) => void;
  /** Called for each answer that is to be logged. */
  readonly log?: (request: RequestHead, id: string, status: number, address: string | undefined) => void;
}

export class WarmAnswers {
  readonly #answers = new LRUCache<string, StoredAnswer>({ max: MAX_ANSWERS });
  readonly #options: WarmOptions;
  /** False where only the router knows the address for the log. */
  enabled = true;

  constructor(options: WarmOptions) {
    this.#options = options;
  }

  /**
   * Stores the answer of the route to a GET for identical requests. A 304 has no body headers. It renews a
   * stored answer with the same entity tag. So a link with only conditional requests stays warm after its
   * record is read again.
   */
  remember(
    request: IncomingMessage,
    planned: PlannedRendition,
    headers: Readonly<Record<string, number | string | string[] | undefined>>,
  ): void {
    const key = keyOf(request);
    if (key === undefined) return;
    const common: string[] = [];
    const ownBodyHeaders: string[] = [];
    for (const [name, value] of Object.entries(headers)) {
      if (typeof value !== 'string' || VARYING_HEADERS.has(name) || name === 'content-length') continue;
      (BODY_HEADERS.has(name) ? ownBodyHeaders : common).push(name, value);
    }
    const stored = this.#answers.peek(key);
    // The body headers of another rendition would not match the bytes.
    const storedBodyHeaders = stored?.planned.etag === planned.etag ? stored.bodyHeaders : undefined;
    const bodyHeaders = ownBodyHeaders.length > 0 ? ownBodyHeaders : storedBodyHeaders;
    if (bodyHeaders === undefined) return;
    const modified = lastModified(planned.image.updatedOn, Number.POSITIVE_INFINITY) ?? 0;
    const date = ['last-modified', new Date(modified).toUTCString()];
    const byStatus = (dates: Headers): HeadersByStatus => ({
      200: [...common, ...bodyHeaders, ...dates, 'server-timing', 'cache;desc=memory'],
      304: [...common, ...dates, 'server-timing', 'cache;desc=revalidated'],
    });
    this.#answers.set(key, { planned, bodyHeaders, dated: byStatus(date), undated: byStatus([]) });
  }

  /** Answers the request if a current answer is in memory. True if it did. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const answer = this.#find(request);
    if (!answer) return false;
    const { status, state, headers, bytes } = answer;
    const { policy, requestID, count, log } = this.#options;
    const id = requestID(request);
    const length = bytes === undefined ? [] : ['content-length', String(bytes.length)];
    response.writeHead(status, [...headers, ...length, 'cache-control', policy[state], 'x-request-id', id]);
    response.end(bytes);
    count?.(status);
    log?.(request, id, status, request.socket.remoteAddress);
    return true;
  }

  /** The answer from memory, if all of it is there and current. Counts as a delivery. */
  #find(request: RequestHead): WarmAnswer | undefined {
    if (!this.enabled) return undefined;
    const key = keyOf(request);
    const stored = key === undefined ? undefined : this.#answers.get(key);
    if (!stored) return undefined;
    const { delivery, publicImages } = this.#options;
    const { planned } = stored;
    const state = publicImages.stateOf(planned.image);
    if (state === undefined) return undefined;
    const current = {
      etag: planned.etag,
      lastModified: lastModified(planned.image.updatedOn, Date.now()),
    };
    const headers = current.lastModified === undefined ? stored.undated : stored.dated;
    if (isNotModified(request.headers, current)) return { status: 304, state, headers: headers[304] };
    const bytes = delivery.peek(planned.key);
    return bytes && { status: 200, state, headers: headers[200], bytes };
  }
}

/** The URL and the Accept header as sent; undefined for requests that only the route answers. */
function keyOf({ method, url = '', headers }: RequestHead): string | undefined {
  if (method !== 'GET' || !url.startsWith('/images/')) return undefined;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined;
  const key = `${url}\n${headers.accept ?? ''}`;
  return key.length <= MAX_KEY ? key : undefined;
}
