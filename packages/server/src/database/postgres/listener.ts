/**
 * Hears the changes of all nodes: LISTEN on a connection of its own, which is opened again when it fails.
 *
 * The proof that it hears is a beat: each second the node notifies itself through the pool, as a change does.
 * PostgreSQL delivers notifications in the order of their commits. So a beat that arrives here proves that
 * every change before it has arrived too. A query on this connection would prove less: PgBouncer answers it,
 * and so does another database, although they deliver no notification.
 */
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import type pg from 'pg';
import type { RecordChange, RecordChanges } from '../../delivery/records.ts';
import { FailureLog } from '../../telemetry/failure-log.ts';
import type { ServiceLog } from '../../telemetry/log.ts';

/** The channel of changes. The payload is `image PUBLICID` or `account ACCOUNTID`. */
const CHANGES = 'vitrine_changes';

// All in milliseconds.
const BEAT_INTERVAL = 1_000;
/** The longest time from the commit of a beat until it arrives. Later, the connection counts as dead. */
const BEAT_DEADLINE = 1_000;
const CONNECT_DEADLINE = 3_000;
const MIN_PAUSE = 100;
const MAX_PAUSE = 5_000;

export interface ListenerOptions {
  readonly driver: typeof pg;
  /** A direct connection to the database that the pool uses. */
  readonly url: string;
  /** Commits a notification through the pool. */
  readonly notify: (channel: string, payload: string) => Promise<unknown>;
  readonly log: ServiceLog;
}

const UNHEARD =
  'notifications do not arrive: the connection must lead to the same database, and not through a pooler';

/** A beat that has not arrived. */
interface Beat {
  readonly number: number;
  /** The time of `performance.now()` before it was sent. */
  readonly sentAt: number;
}

export class PostgresListener implements RecordChanges {
  listeningSince = Number.POSITIVE_INFINITY;
  heardUntil = Number.NEGATIVE_INFINITY;
  readonly #options: ListenerOptions;
  readonly #beatChannel = `vitrine_beat_${randomBytes(8).toString('hex')}`;
  readonly #reports: ((change: RecordChange) => void)[] = [];
  readonly #beating: NodeJS.Timeout;
  #connection: { readonly client: pg.Client; readonly socket: Socket } | undefined;
  /** True as soon as LISTEN has taken effect on the connection. */
  #isListening = false;
  #pause = MIN_PAUSE;
  #reconnecting: NodeJS.Timeout | undefined;
  #beat: Beat | undefined;
  #beats = 0;
  readonly #failures: FailureLog;
  #isClosed = false;

  /** Starts to listen in the background. */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#failures = new FailureLog(options.log, {
      failed:
        'changes by other servers are not heard at once, but within six seconds: see VITRINE_DATABASE_LISTEN',
      recovered: 'changes by other servers are heard at once again',
    });
    void this.#connect();
    this.#beating = setInterval(() => {
      if (this.#isListening && this.#beat === undefined) this.#sendBeat();
    }, BEAT_INTERVAL);
    this.#beating.unref();
  }

  subscribe(report: (change: RecordChange) => void): void {
    this.#reports.push(report);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#beating);
    clearTimeout(this.#reconnecting);
    this.#disconnect();
  }

  async #connect(): Promise<void> {
    const { driver, url } = this.#options;
    const socket = new Socket();
    const client = new driver.Client({
      connectionString: url,
      stream: () => socket,
      application_name: 'vitrine-listener',
      connectionTimeoutMillis: CONNECT_DEADLINE,
      query_timeout: CONNECT_DEADLINE,
      keepAlive: true,
    });
    this.#connection = { client, socket };
    const isCurrent = () => this.#connection?.client === client;
    const lose = (error: unknown) => isCurrent() && this.#lose(error);
    client.on('error', lose);
    client.on('end', () => lose(new Error('the connection ended')));
    client.on('notification', ({ channel, payload = '' }) => {
      if (isCurrent()) this.#receive(channel, payload);
    });
    try {
      await client.connect();
      await client.query(`listen ${CHANGES}`);
      await client.query(`listen ${this.#beatChannel}`);
    } catch (error) {
      lose(error);
      return;
    }
    if (!isCurrent()) return;
    this.#isListening = true;
    // Records that were read before this moment may have changed while nothing was heard.
    this.listeningSince = performance.now();
    this.#beat = undefined;
    this.#sendBeat();
  }

  #receive(channel: string, payload: string): void {
    if (channel === this.#beatChannel) this.#hear(Number(payload));
    else for (const report of this.#reports) report(changeFrom(payload));
  }

  #hear(number: number): void {
    if (this.#beat?.number !== number) return;
    this.heardUntil = this.#beat.sentAt;
    this.#beat = undefined;
    this.#pause = MIN_PAUSE;
    this.#failures.recovered();
  }

  #sendBeat(): void {
    this.#beats += 1;
    const beat: Beat = { number: this.#beats, sentAt: performance.now() };
    const isMissing = () => this.#beat === beat;
    this.#beat = beat;
    this.#options.notify(this.#beatChannel, String(beat.number)).then(
      () => {
        const fail = () => {
          if (isMissing()) this.#lose(new Error(UNHEARD));
        };
        // After the pending input, because a busy process may not have read a beat that has arrived.
        if (isMissing()) setTimeout(() => setImmediate(fail), BEAT_DEADLINE).unref();
      },
      // The database is away for the pool. The next beat is sent at the next interval.
      () => {
        if (isMissing()) this.#beat = undefined;
      },
    );
  }

  #lose(error: unknown): void {
    this.#disconnect();
    if (this.#isClosed) return;
    this.#failures.failed(error);
    // Nodes that lose their connections at the same time do not come back at the same time.
    const pause = this.#pause * (0.5 + Math.random() / 2);
    this.#pause = Math.min(MAX_PAUSE, this.#pause * 2);
    this.#reconnecting = setTimeout(() => void this.#connect(), pause);
    this.#reconnecting.unref();
  }

  #disconnect(): void {
    const { client, socket } = this.#connection ?? {};
    this.#connection = undefined;
    this.#isListening = false;
    this.#beat = undefined;
    // A dead connection answers nothing, so nothing is waited for.
    client?.end().catch(() => undefined);
    socket?.destroy();
  }
}

function changeFrom(payload: string): RecordChange {
  const [kind, id = ''] = payload.split(' ');
  if (kind === 'image') return { kind, publicID: id };
  if (kind === 'account') return { kind, accountID: id };
  return { kind: 'all' };
}
