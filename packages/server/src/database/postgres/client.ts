/**
 * A connection to PostgreSQL: the client of pg, and its socket. pg waits for the server when it closes a
 * connection. So the socket is made here, and can be closed at any moment.
 */
import { connect, Socket } from 'node:net';
import type pg from 'pg';
import { READERS } from './types.ts';

/** Milliseconds that a server gets to close a connection, and to take a request to cancel. */
const CLOSE_TIMEOUT = 1_000;
/** Milliseconds of silence before TCP checks a connection. */
const KEEP_ALIVE = 10_000;
const CANCEL_REQUEST = 80_877_102;

export interface Client extends pg.Client {
  /** False: the connection must be closed, and not be used again. */
  isUsable: boolean;
  /** The process of the server that works for this connection; undefined before it is connected. */
  readonly pid: number | undefined;
  /** Closes the connection without waiting for the server. */
  destroy(): void;
  /**
   * Asks the server to end the running statement. The connection may not be used after that. It must stay
   * open until the request is taken: PgBouncer forgets the statement of a client that is gone.
   * @returns resolves when the request is taken, or after a time. Never rejects.
   */
  cancel(): Promise<void>;
}

export type ClientClass = new (settings?: pg.ClientConfig) => Client;

/** Watches the start of a connection. @returns a function that ends the watch. */
export type StartWatch = (giveUp: (error: Error) => void) => () => void;

/** @param watchStart absent: the caller watches the start. */
export function createClientClass(driver: typeof pg, watchStart?: StartWatch): ClientClass {
  return class extends driver.Client implements Client {
    isUsable = true;
    readonly #socket: Socket;

    constructor(settings?: pg.ClientConfig) {
      const socket = new Socket();
      super({
        ...settings,
        stream: () => socket,
        application_name: 'vitrine',
        keepAlive: true,
        keepAliveInitialDelayMillis: KEEP_ALIVE,
        types: {
          getTypeParser: ((oid: number, format: 'text' | 'binary' = 'text') =>
            (format === 'text' ? READERS.get(oid) : undefined) ??
            driver.types.getTypeParser(oid, format as 'text')) as typeof driver.types.getTypeParser,
        },
      });
      this.#socket = socket;
      // A connection that ends while it is in use also rejects its statement, which reports the error.
      // Without a listener the event ends the process.
      this.on('error', () => undefined);
      if (watchStart === undefined) return;
      const stopWatch = watchStart((error) => void socket.destroy(error));
      this.once('connect', stopWatch);
      socket.once('close', stopWatch);
    }

    get pid(): number | undefined {
      return session(this).processID ?? undefined;
    }

    override end(callback?: (error: Error) => void): Promise<void> {
      const timer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT);
      this.#socket.once('close', () => clearTimeout(timer));
      const ended = new Promise<void>((resolve) => super.end(() => resolve()));
      if (callback !== undefined) void ended.then(callback as () => void);
      return ended;
    }

    destroy(): void {
      this.isUsable = false;
      this.#socket.destroy();
    }

    async cancel(): Promise<void> {
      this.isUsable = false;
      const { processID, secretKey } = session(this);
      if (processID === null || secretKey === null) return;
      const request = Buffer.alloc(16);
      for (const [index, value] of [16, CANCEL_REQUEST, processID, secretKey].entries()) {
        request.writeInt32BE(value, index * 4);
      }
      // The server takes it without encryption and without a login.
      const socket = this.host.startsWith('/')
        ? connect(`${this.host}/.s.PGSQL.${this.port}`)
        : connect(this.port, this.host);
      socket.on('error', () => undefined);
      const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT);
      // The server closes the connection when it has taken the request. PgBouncer drops the request of a
      // client that closes it first.
      socket.write(request);
      await new Promise((resolve) => socket.resume().once('close', resolve));
      clearTimeout(timer);
    }
  };
}

/** What pg knows about the session, and its types do not have. */
function session(client: pg.Client): { processID: number | null; secretKey: number | null } {
  return client as unknown as { processID: number | null; secretKey: number | null };
}
