/**
 * The operation that checks credentials.
 */
import { buildPath, type CallOptions, type Done } from './operation.ts';
import type { Transport } from './transport.ts';

/** The check of credentials. */
export class Ping {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Resolves if the server can be reached and the credentials work. */
  async ping(options?: CallOptions): Promise<Done> {
    return this.#transport.empty({ method: 'GET', path: buildPath('/ping', {}), idempotent: true }, options);
  }
}
