/**
 * Counts every answer of the cluster and sorts the failed ones. A failure that the running faults do not
 * explain is a problem.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Answer, sendRequest, type TestRequest } from '../crash/requests.ts';

/**
 * How a request failed:
 * - `rejected`: 503 with Retry-After. Every fault may cause it.
 * - `bad-gateway`: 502, a node ended while it had the request
 * - `gateway-timeout`: 504, a node had the request and did not answer
 * - `no-answer`: the connection broke, or there was none
 * - `slow-decode`: 422 of a busy machine that did not decode a picture within the deadline
 * - the others are never right
 */
export type Failure =
  | 'rejected'
  | 'rejected-without-retry-after'
  | 'bad-gateway'
  | 'gateway-timeout'
  | 'no-answer'
  | 'slow-decode'
  | 'server-error';

/** Milliseconds between a failed request and the next one of the same client. */
const BACK_OFF = 150;

/** The last failures that are kept for a report. */
const MAX_FAILURES = 2_000;

const ALWAYS: readonly Failure[] = ['rejected', 'slow-decode'];

export interface Counts {
  answered: number;
  readonly failures: Map<Failure, number>;
}

export class Traffic {
  readonly problems: string[] = [];
  /** All requests of the run. */
  readonly total: Counts = { answered: 0, failures: new Map() };
  /** The requests since the last call of `beginPeriod`. */
  period: Counts = { answered: 0, failures: new Map() };
  /** What the running faults may cause, besides the failures that are always right. */
  allowed: ReadonlySet<Failure> = new Set();
  /** Names the running faults in a problem. */
  cause = 'start';
  /** The last failures, for a report. */
  readonly failures: string[] = [];

  beginPeriod(): void {
    this.period = { answered: 0, failures: new Map() };
  }

  /** Sends a request through the proxy. @returns the complete answer; undefined if there was none */
  readonly send = async (url: string, request: TestRequest): Promise<Answer | undefined> => {
    // Faults that begin or end meanwhile explain a failure as well.
    const { allowed, cause } = this;
    let reason = '';
    const answer = await sendRequest(url, request, (text) => {
      reason = text;
    });
    const failure = classify(answer);
    for (const counts of [this.total, this.period]) {
      if (failure === undefined) counts.answered += 1;
      else counts.failures.set(failure, (counts.failures.get(failure) ?? 0) + 1);
    }
    if (failure === undefined) return answer;
    const response = answer ? `${answer.status} ${answer.body.toString().slice(0, 150)}` : reason;
    const text = `${request.method ?? 'GET'} ${request.path}: ${failure}: ${response} (${cause}; ${this.cause})`;
    this.failures.push(`${new Date().toISOString()} ${text}`);
    if (this.failures.length > MAX_FAILURES) this.failures.shift();
    const isExplained = ALWAYS.includes(failure) || allowed.has(failure) || this.allowed.has(failure);
    if (!isExplained) this.problems.push(text);
    await pause(BACK_OFF);
    return answer;
  };
}

function classify(answer: Answer | undefined): Failure | undefined {
  if (answer === undefined) return 'no-answer';
  const { status, headers, body } = answer;
  if (status === 503) return headers.has('retry-after') ? 'rejected' : 'rejected-without-retry-after';
  if (status === 502) return 'bad-gateway';
  if (status === 504) return 'gateway-timeout';
  if (status === 422 && body.includes('to decode')) return 'slow-decode';
  return status >= 500 ? 'server-error' : undefined;
}
