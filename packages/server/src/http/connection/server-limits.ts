/**
 * Gathers how long the server waits for a client and how many clients it has at once, from where each number is kept and
 * explained, so that tests can try the real behaviour with others. Refuses to know what happens when a limit is reached.
 */
import { PACE, type Pace } from '../shared/body.ts';
import { CONNECTION_LIMITS, type ConnectionLimits } from './limits.ts';

export interface ServerLimits {
  /** Milliseconds in which all headers of a request must have come; also of the first, from the connection on. */
  readonly headersTimeout: number;
  /** Milliseconds in which a whole request must have come. */
  readonly requestTimeout: number;
  /** Milliseconds that a connection is kept on which everything was answered. */
  readonly keepAliveTimeout: number;
  /** How often the first two are looked at, in milliseconds. */
  readonly checkInterval: number;
  readonly pace: Pace;
  readonly connections: ConnectionLimits;
}

export const SERVER_LIMITS: ServerLimits = {
  headersTimeout: 10_000,
  // 16 MiB at 64 KiB a second, and some.
  requestTimeout: 300_000,
  // Longer than proxies keep theirs, which would otherwise find that it was just closed.
  keepAliveTimeout: 72_000,
  checkInterval: 1_000,
  pace: PACE,
  connections: CONNECTION_LIMITS,
};
