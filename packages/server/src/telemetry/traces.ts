/**
 * Owns the spans of OpenTelemetry, through its API alone: whoever runs the server brings the SDK, which is loaded before
 * it (docs/observability.md). Where there is none, not even the API is loaded. Refuses to know exporters and sampling.
 */
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { isAppError } from '../errors.ts';
import type { Step, Telemetry } from './telemetry.ts';

type Api = typeof import('@opentelemetry/api');

/** Where all versions of the API's first generation look for a registered SDK. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');

/** A span under way, and the context in which what it does belongs to it. */
export interface Traced {
  readonly span: Span;
  readonly context: Context;
}

/** Undefined if no SDK was registered in this process. */
export async function openTraces(version: string): Promise<Traces | undefined> {
  if (!Object.hasOwn(globalThis, REGISTERED)) return undefined;
  return new Traces(await import('@opentelemetry/api'), version);
}

export class Traces {
  readonly #api: Api;
  readonly #tracer: ReturnType<Api['trace']['getTracer']>;

  constructor(api: Api, version: string) {
    this.#api = api;
    this.#tracer = api.trace.getTracer('vitrine', version);
  }

  /** Begins the span of a request, within the trace that its headers tell of. */
  request({ method, route, requestID, headers }: Parameters<Telemetry['request']>[0]): Traced {
    const { context, propagation, SpanKind, trace } = this.#api;
    // Whoever instruments node's own server as well has continued the trace already.
    const active = context.active();
    const parent = trace.getSpan(active) ? active : propagation.extract(active, headers);
    const attributes = {
      'http.request.method': method,
      'http.route': route,
      'vitrine.request_id': requestID,
    };
    const span = this.#tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
    return { span, context: trace.setSpan(parent, span) };
  }

  within<T>({ context }: Traced, work: () => T): T {
    return this.#api.context.with(context, work);
  }

  /** Ends the span of a request. @param failure what it failed with, if that was the server's doing. */
  answered({ span }: Traced, status: number, failure: unknown): void {
    span.setAttribute('http.response.status_code', status);
    if (failure !== undefined) this.#fail(span, failure);
    else if (status >= 500) span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    span.end();
  }

  async step<T>(step: Step, work: () => Promise<T>): Promise<T> {
    const { context, SpanKind, trace } = this.#api;
    const { name, attributes } = described(step);
    const kind = step.kind === 'database' ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const span = this.#tracer.startSpan(name, { kind, attributes });
    try {
      return await context.with(trace.setSpan(context.active(), span), work);
    } catch (error) {
      // What a client did wrong is no fault of the step that found it out.
      if (isAppError(error) && !FAULTS.has(error.code)) span.setAttribute('vitrine.outcome', error.code);
      else this.#fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  #fail(span: Span, error: unknown): void {
    const known = error instanceof Error ? error : new Error(String(error));
    span.recordException(known);
    span.setAttribute('error.type', isAppError(error) ? error.code : known.name);
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
  }
}

const FAULTS: ReadonlySet<string> = new Set(['unavailable', 'storage-full']);

function described(step: Step): { name: string; attributes: Attributes } {
  switch (step.kind) {
    case 'receive':
    case 'decode':
      return { name: step.kind, attributes: {} };
    case 'ingest':
      return { name: `ingest ${step.operation}`, attributes: { 'vitrine.bytes': step.bytes } };
    case 'render': {
      const attributes = { 'vitrine.from': step.from, 'vitrine.format': step.format };
      return { name: 'render', attributes };
    }
    case 'database':
      return { name: `database ${step.operation}`, attributes: { 'db.operation.name': step.operation } };
    case 'blob':
      return { name: `blob ${step.operation}`, attributes: { 'vitrine.operation': step.operation } };
  }
}
