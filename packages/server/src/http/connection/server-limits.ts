/**
 * The time and connection limits of the server in one object. Each number is explained in its own file, and
 * tests run the same code with smaller numbers.
 */

import { PACE, type Pace } from '../shared/body.ts';
import { RENDER_WAITING, type RenderLimits } from '../shared/render-queues.ts';
import { CONNECTION_LIMITS, type ConnectionLimits } from './limits.ts';

export interface ServerLimits {
  /** Milliseconds for all headers of a request. For the first request they run from the connection. */
  readonly headersTimeout: number;
  /** Milliseconds for a whole request. */
  readonly requestTimeout: number;
  /** The interval of the checks of the first two timeouts, in milliseconds. */
  readonly checkInterval: number;
  readonly pace: Pace;
  readonly connections: ConnectionLimits;
  readonly renders: Omit<RenderLimits, 'slots'>;
}

export const SERVER_LIMITS: ServerLimits = {
  headersTimeout: 10_000,
  // Only a last resort: the pace ends bodies that are too slow. The largest form takes 75 minutes at the
  // lowest rate.
  requestTimeout: 7_200_000,
  checkInterval: 1_000,
  pace: PACE,
  connections: CONNECTION_LIMITS,
  renders: RENDER_WAITING,
};
