/**
 * The shortest way: a request that is byte for byte one that was answered from memory before need not be parsed again.
 * Owns which connections may take it, and what then goes out on them. Refuses to know what an answer is (warm.ts), and
 * parses nothing itself: what a head means, node's parser said the first time; whatever is not such a head goes there.
 *
 * Why: half of the time of a warm answer is node's request and response objects (figures in docs/adr/0009).
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Recalled, WarmAnswers } from '../delivery/warm-answers.ts';

/** Heads that are remembered, and how many bytes one may have. */
const MAX_HEADS = 10_000;
const MAX_HEAD_BYTES = 1_024;

const END = '\r\n\r\n';

/** Where a connection is between two requests. */
interface Connection {
  /** The parser has no request in hand, and was left at the end of one. */
  free: boolean;
  /** The head that the parser was given last, if it was all that it was given. */
  head: string | undefined;
  /** Something came in another way than one whole head at a time: the parser alone knows where it stands. */
  lost: boolean;
}

export class Repeats {
  readonly #warm: WarmAnswers;
  readonly #connections = new WeakMap<Socket, Connection>();
  readonly #heads = new LRUCache<string, Recalled>({ max: MAX_HEADS });
  readonly #keepAlive: string;

  /** Takes its place between the server's connections and their parser. */
  constructor(server: Server, warm: WarmAnswers) {
    this.#warm = warm;
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(server.keepAliveTimeout / 1_000)}${END}`;
    server.on('connection', (socket: Socket) => this.#watch(socket));
  }

  /** To be called with every request that the parser made, before it is answered; `warm`: whether it is from memory. */
  parsed(request: IncomingMessage, response: ServerResponse, warm: boolean): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined || connection.lost) return;
    const { head } = connection;
    connection.head = undefined;
    const { headers } = request;
    const body = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    if (head === undefined || body) {
      connection.lost = true;
      return;
    }
    response.once('finish', () => {
      if (connection.lost) return;
      connection.free = true;
      const recalled = warm && isPlain(request) ? this.#warm.recall(request) : undefined;
      if (recalled) this.#heads.set(head, recalled);
    });
  }

  #watch(socket: Socket): void {
    const [parse, ...others] = socket.listeners('data');
    // Another node may wire its parser in another way: then there is no shorter way.
    if (parse === undefined || others.length > 0) return;
    // The first request is always the parser's: with it begin the times after which an idle connection is closed.
    const connection: Connection = { free: true, head: undefined, lost: false };
    let first = true;
    this.#connections.set(socket, connection);
    socket.removeListener('data', parse as (chunk: Buffer) => void);
    socket.on('data', (chunk: Buffer) => {
      if (!connection.lost) {
        const head = connection.free ? loneHead(chunk) : undefined;
        if (head !== undefined && !first && this.#answer(socket, head)) return;
        first = false;
        connection.free = false;
        connection.head = head;
        connection.lost = head === undefined;
      }
      parse.call(socket, chunk);
    });
  }

  #answer(socket: Socket, head: string): boolean {
    const asked = this.#heads.get(head);
    // A client that does not read what it was sent is the server's to hold up.
    if (asked === undefined || socket.writableLength > 0 || !socket.writable) return false;
    const found = this.#warm.find(asked);
    if (found === undefined) return false;
    const id = this.#warm.requestID(asked);
    const { status, headers, bytes } = found;
    const rest = `x-request-id: ${id}\r\nDate: ${httpDate()}\r\n${this.#keepAlive}`;
    if (bytes === undefined) {
      socket.write(headers.text + rest, 'latin1');
    } else {
      socket.cork();
      socket.write(`${headers.text}content-length: ${bytes.length}\r\n${rest}`, 'latin1');
      socket.write(bytes);
      socket.uncork();
    }
    this.#warm.counted?.('repeat', status);
    this.#warm.answered?.(asked, id, status, socket.remoteAddress);
    return true;
  }
}

/** The chunk as text if it can be the one whole head of a request for a public link, and nothing else. */
function loneHead(chunk: Buffer): string | undefined {
  if (chunk.length > MAX_HEAD_BYTES) return undefined;
  const text = chunk.toString('latin1');
  return text.indexOf(END) === text.length - END.length ? text : undefined;
}

/** Nothing in it asks for more than an answer on a connection that goes on. */
function isPlain({ httpVersion, headers }: IncomingMessage): boolean {
  const { connection = 'keep-alive', expect, upgrade } = headers;
  const goesOn = connection.toLowerCase() === 'keep-alive';
  return httpVersion === '1.1' && goesOn && expect === undefined && upgrade === undefined;
}

let second = 0;
let date = '';

/** The time as HTTP writes it, made once a second. */
function httpDate(): string {
  const now = Date.now();
  if (now < second || now >= second + 1_000) {
    second = now - (now % 1_000);
    date = new Date(now).toUTCString();
  }
  return date;
}
