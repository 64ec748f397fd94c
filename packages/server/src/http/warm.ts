/**
 * The short way for what is in memory, ahead of the router: a public link that was answered before is answered again
 * with the same headers, from the same record and the same bytes, without a database query, a disk read or a route.
 * Owns nothing of what an answer is: it replays what the route said, and leaves to the route whatever it is not sure of.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Delivery, PlannedRendition } from '../delivery.ts';
import { isNotModified, lastModified } from './conditional.ts';

/** Answers that are remembered, and how long a URL and an Accept header may be together to be one of them. */
const MAX_ANSWERS = 20_000;
const MAX_KEY = 512;

/** Headers that tell of a body: a 304 has none. `content-length` is that of the bytes. */
const BODY_HEADERS = new Set(['content-type', 'content-disposition', 'content-length']);
/** What is different in every answer, or at another time. */
const OWN_HEADERS = new Set(['x-request-id', 'date', 'connection', 'keep-alive', 'last-modified']);

/** What of a request decides about its answer. */
export type Asked = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

interface Answer {
  readonly planned: PlannedRendition;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly common: readonly string[];
  readonly body: readonly string[];
  /** The same as lines of text: of a 304, and of a 200. */
  readonly lines: { readonly 304: string; readonly 200: string };
  /** The image's date, for when a date can stand for it: name and value, and the same as a line. */
  readonly dated: { readonly headers: readonly string[]; readonly line: string };
}

const UNDATED: Answer['dated'] = { headers: [], line: '' };

/** An answer from memory. */
export interface Found {
  readonly status: 200 | 304;
  /** Names and values in turn, but for `x-request-id`, and the length of the body. */
  readonly headers: readonly string[];
  /** The same as lines of text, each with its end. */
  readonly lines: string;
  /** Absent for a 304. */
  readonly bytes?: Buffer;
}

export interface WarmOptions {
  readonly delivery: Delivery;
  readonly requestID: (request: Asked) => string;
  /** Called when an answer was sent. */
  readonly answered: (request: Asked, id: string, status: number, address: string | undefined) => void;
}

export class WarmAnswers {
  readonly #answers = new LRUCache<string, Answer>({ max: MAX_ANSWERS });
  readonly #delivery: Delivery;
  readonly requestID: WarmOptions['requestID'];
  readonly answered: WarmOptions['answered'];
  /** While the server stops, every request takes the long way, which closes its connection. */
  enabled = true;

  constructor(options: WarmOptions) {
    this.#delivery = options.delivery;
    this.requestID = options.requestID;
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
    const lines = { 304: linesOf(common), 200: linesOf([...common, ...of]) };
    const date = lastModified(planned.image.updatedOn, Number.POSITIVE_INFINITY) ?? 0;
    const dated = ['last-modified', new Date(date).toUTCString()];
    this.#answers.set(key, {
      planned,
      common,
      body: of,
      lines,
      dated: { headers: dated, line: linesOf(dated) },
    });
  }

  /** The answer to such a request, if all of it is in memory and still true. Counts as a delivery. */
  find(request: Asked): Found | undefined {
    const key = this.enabled ? keyOf(request) : undefined;
    const answer = key === undefined ? undefined : this.#answers.get(key);
    if (!answer) return undefined;
    const { planned, common, body, lines } = answer;
    // The very record that the answer was made from: any change of the image makes another one.
    if (this.#delivery.peekRecord(planned.image.publicID) !== planned.image) return undefined;
    const current = {
      etag: planned.etag,
      lastModified: lastModified(planned.image.updatedOn, Date.now()),
    };
    const dated = current.lastModified === undefined ? UNDATED : answer.dated;
    if (isNotModified(request.headers, current)) {
      return { status: 304, headers: [...common, ...dated.headers], lines: lines[304] + dated.line };
    }
    const bytes = this.#delivery.peek(planned.key);
    if (!bytes) return undefined;
    const headers = [...common, ...body, ...dated.headers];
    return { status: 200, headers, lines: lines[200] + dated.line, bytes };
  }

  /** True if the request was answered. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const found = this.find(request);
    if (!found) return false;
    const { status, headers, bytes } = found;
    const id = this.requestID(request);
    const length = bytes === undefined ? [] : ['content-length', String(bytes.length)];
    response.writeHead(status, [...headers, ...length, 'x-request-id', id]);
    response.end(bytes);
    this.answered(request, id, status, request.socket.remoteAddress);
    return true;
  }
}

function linesOf(headers: readonly string[]): string {
  return headers.map((part, index) => `${part}${index % 2 === 0 ? ': ' : '\r\n'}`).join('');
}

/** What decides about the answer, as it was sent; undefined for what always takes the long way. */
function keyOf({ method, url = '', headers }: Asked): string | undefined {
  if (method !== 'GET' || !url.startsWith('/images/')) return undefined;
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return undefined;
  const key = `${url}\n${headers.accept ?? ''}`;
  return key.length <= MAX_KEY ? key : undefined;
}
